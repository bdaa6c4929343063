"""The health of a recommender: what its lists cover, repeat, and favour, out of counts by block of units.

A block is a set of units that a hash puts together; leaving out one block after the other gives a jackknife. Figures:

- item coverage: items shown at least once, as a share of the catalogue;
- Gini of exposure: how unequally impressions fall on the items of the catalogue, 0 equal, towards 1 all on one;
- intra-list diversity: the mean over lists of the share of pairs of items that differ in category;
- novelty: the mean over impressions of -log2 of the item's share of all impressions of all variants, in bits;
- share of new items: impressions of items published at most NEW_DAYS before, as a share of those of dated items;
- position-normalised CTR: clicks over those expected if each rank were clicked as often as in all variants together.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

NEW_DAYS: Final = 7
COVERAGE: Final = "item_coverage"
GINI: Final = "gini_of_exposure"
DIVERSITY: Final = "intra_list_diversity"
NOVELTY: Final = "novelty"
NEW_ITEMS: Final = "new_item_share"
NORMALISED_CTR: Final = "position_normalised_ctr"
FIGURES: Final[Mapping[str, tuple[str, str]]] = {
    COVERAGE: ("Item coverage", "内容覆盖率"),
    GINI: ("Gini of exposure", "曝光基尼系数"),
    DIVERSITY: ("Intra-list diversity", "列表内多样性"),
    NOVELTY: ("Novelty, in bits", "新颖度（比特）"),
    NEW_ITEMS: ("Share of new items", "新内容占比"),
    NORMALISED_CTR: ("Position-normalised CTR", "位置归一化点击率"),
}
"""Every figure with its labels, English and Chinese."""

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the units of one variant and one block of units were shown.

    `items` counts impressions by item, `ranks` (impressions, clicked impressions) by rank. Of the `dated` impressions,
    whose item has a time of publication, `fresh` came at most NEW_DAYS after it. `lists` counts slates with at least
    two items of known category, `unlike` sums their shares of pairs of items that differ in category.
    """

    variant: str
    block: int
    items: Mapping[str, int]
    ranks: Mapping[int, tuple[int, int]]
    fresh: int
    dated: int
    lists: int
    unlike: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of one variant, and what it is `without` each block in turn; None is nothing to divide by."""

    value: float | None
    without: tuple[float | None, ...]


def health(shown: Sequence[Shown], catalogue_size: int) -> dict[str, dict[str, Figure]]:
    """Every figure of every variant, by figure and variant.

    The catalogue has at least as many items as were shown. Leaving out a block leaves it out of all variants.

    >>> one = Shown(
    ...     variant="a", block=0, items={"x": 3, "y": 1}, ranks={1: (4, 2)}, fresh=1, dated=4, lists=0, unlike=0
    ... )
    >>> {name: found["a"].value for name, found in health([one], 4).items()}[COVERAGE]
    0.5
    """
    counts = _Counts(shown, catalogue_size)
    made: Mapping[str, Callable[[int, int | None], float | None]] = {
        COVERAGE: counts.coverage,
        GINI: counts.gini,
        DIVERSITY: counts.diversity,
        NOVELTY: counts.novelty,
        NEW_ITEMS: counts.new_items,
        NORMALISED_CTR: counts.normalised_ctr,
    }
    return {
        name: {
            variant: Figure(value=of(place, None), without=tuple(of(place, block) for block in counts.blocks))
            for place, variant in enumerate(counts.variants)
        }
        for name, of in made.items()
    }


def gini(counts: Vector) -> float | None:
    """How unequal `counts` (n,), none negative, are: 0 where all are the same; None where all are 0.

    >>> gini(np.array([1.0, 1.0, 1.0, 1.0])), gini(np.array([0.0, 0.0, 0.0, 4.0]))
    (0.0, 0.75)
    """
    total, n = float(counts.sum()), len(counts)
    if not total:
        return None
    places = np.arange(1, n + 1)
    return float(((2 * places - n - 1) * np.sort(counts)).sum() / (n * total))


class _Counts:
    """The counts as arrays: variants × blocks × items or ranks."""

    def __init__(self, shown: Sequence[Shown], catalogue_size: int) -> None:
        self.variants = list(dict.fromkeys(each.variant for each in shown))
        blocks = sorted({each.block for each in shown})
        at = {block: place for place, block in enumerate(blocks)}
        items = _places(name for each in shown for name in each.items)
        ranks = _places(rank for each in shown for rank in each.ranks)
        shape = (len(self.variants), len(blocks))
        self._items = np.zeros((*shape, len(items)), dtype=np.float32)
        self._seen, self._clicked = np.zeros((*shape, len(ranks))), np.zeros((*shape, len(ranks)))
        self._sums = np.zeros((*shape, 4))
        self._size = max(catalogue_size, len(items))
        for each in shown:
            place = (self.variants.index(each.variant), at[each.block])
            self._items[place][[items[name] for name in each.items]] = list(each.items.values())
            for rank, (impressions, clicks) in each.ranks.items():
                self._seen[place][ranks[rank]], self._clicked[place][ranks[rank]] = impressions, clicks
            self._sums[place] = (each.fresh, each.dated, each.lists, each.unlike)
        self._own_items = self._items.sum(axis=1, dtype=np.float64)
        self._all_items = self._items.sum(axis=0, dtype=np.float64)

    @property
    def blocks(self) -> range:
        """The blocks in which any variant has units, the same for all, so that a difference may leave them out too."""
        return range(self._items.shape[1])

    def coverage(self, variant: int, left_out: int | None) -> float | None:
        counts = self._items_of(variant, left_out)
        return float((counts > 0).sum()) / self._size if self._size else None

    def gini(self, variant: int, left_out: int | None) -> float | None:
        counts = self._items_of(variant, left_out)
        return gini(np.concatenate([counts, np.zeros(self._size - len(counts))]))

    def novelty(self, variant: int, left_out: int | None) -> float | None:
        counts, everywhere = self._items_of(variant, left_out), self._all_items.sum(axis=0)
        if left_out is not None:
            everywhere = everywhere - self._all_items[left_out]
        total, seen = float(counts.sum()), counts > 0
        return float(-(counts[seen] * np.log2(everywhere[seen] / everywhere.sum())).sum() / total) if total else None

    def normalised_ctr(self, variant: int, left_out: int | None) -> float | None:
        kept = np.ones(self._seen.shape[1], dtype=bool)
        if left_out is not None:
            kept[left_out] = False
        seen, clicked = self._seen[:, kept].sum(axis=1), self._clicked[:, kept].sum(axis=1)
        everywhere = seen.sum(axis=0)
        rates = np.divide(clicked.sum(axis=0), everywhere, out=np.zeros_like(everywhere), where=everywhere > 0)
        expected = float(seen[variant] @ rates)
        return float(clicked[variant].sum()) / expected if expected else None

    def new_items(self, variant: int, left_out: int | None) -> float | None:
        return self._share(variant, left_out, 0, 1)

    def diversity(self, variant: int, left_out: int | None) -> float | None:
        return self._share(variant, left_out, 3, 2)

    def _items_of(self, variant: int, left_out: int | None) -> Vector:
        own: Vector = self._own_items[variant]
        return own if left_out is None else own - self._items[variant, left_out]

    def _share(self, variant: int, left_out: int | None, above: int, below: int) -> float | None:
        sums = self._sums[variant].sum(axis=0)
        if left_out is not None:
            sums = sums - self._sums[variant, left_out]
        return float(sums[above] / sums[below]) if sums[below] else None


def _places(names: Iterable[object]) -> dict[object, int]:
    return {name: place for place, name in enumerate(dict.fromkeys(names))}
