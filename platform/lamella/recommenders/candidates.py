"""Candidates on their way through the stages: rows of the model that proposed them, named only where somebody asks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from lamella.recommenders.orders import Order


class ItemRows(Sequence[str]):
    """Item keys, as the rows that they have in the catalogue `keys` of one model version.

    They are `rows`, in the order given with them. A sequence like any other to whoever reads it; the next stage takes
    `rows` instead and looks no key up.
    """

    __slots__ = ("_given", "_order", "keys", "reference")

    def __init__(
        self, reference: str, keys: Sequence[str], rows: NDArray[np.int64], order: Order | None = None
    ) -> None:
        self.reference, self.keys, self._given, self._order = reference, keys, rows, order

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows in their order: (n,)."""
        return self._given if self._order is None else self._given[self._order.whole()]

    def __len__(self) -> int:
        return len(self._given)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> "ItemRows": ...
    def __getitem__(self, place: int | slice) -> "str | ItemRows":
        if not isinstance(place, slice):
            return self.keys[int(self.rows[place])]
        rows = self._given[place] if self._order is None else self._order.part(self._given, place)
        return ItemRows(self.reference, self.keys, rows)

    def __iter__(self) -> Iterator[str]:
        keys = self.keys
        return iter([keys[row] for row in self.rows.tolist()])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and not isinstance(other, str) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # a sequence that compares by its keys is not for sets

    def __repr__(self) -> str:
        return repr(list(self))


class _Translation(NamedTuple):
    """Where the rows of one version are in another: `rows`, None where they are the same.

    `is_whole` says that the other version knows every item of the first.
    """

    rows: NDArray[np.int64] | None
    is_whole: bool


class Translations:
    """For two versions, where the rows of the one are in the other; kept for the pairs that requests have used."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], _Translation] = {}

    def rows(self, items: Sequence[str], reference: str, places: Mapping[str, int]) -> NDArray[np.int64]:
        """The row of each item in `reference`, whose rows by key are `places`; -1 for an unknown one: (len(items),)."""
        return self.known_rows(items, reference, places)[0]

    def known_rows(
        self, items: Sequence[str], reference: str, places: Mapping[str, int]
    ) -> tuple[NDArray[np.int64], bool]:
        """As `rows`; and whether it is certain, without a look at them, that none of them is -1."""
        if not isinstance(items, ItemRows):
            return look_up(items, places), False
        if items.reference == reference:
            return items.rows, True
        pair = (items.reference, reference)
        known = self._pairs.get(pair)
        if known is None:
            known = self._pairs[pair] = _translation(items.keys, places)
        return items.rows if known.rows is None else known.rows[items.rows], known.is_whole

    def forget(self, reference: str) -> None:
        """Lets go of what it knows of a version that left the memory."""
        self._pairs = {pair: rows for pair, rows in self._pairs.items() if reference not in pair}


def _translation(keys: Sequence[str], places: Mapping[str, int]) -> _Translation:
    rows = look_up(keys, places)
    if np.array_equal(rows, np.arange(len(rows))):
        return _Translation(None, is_whole=True)
    return _Translation(rows, is_whole=bool((rows >= 0).all()))


def look_up(items: Sequence[str], places: Mapping[str, int]) -> NDArray[np.int64]:
    """The place of each item, -1 for an unknown one: (len(items),)."""
    return np.fromiter((places.get(item, -1) for item in items), dtype=np.int64, count=len(items))


def chosen(items: Sequence[str], places: NDArray[np.int64]) -> Sequence[str]:
    """The items at these places of the sequence, in that order."""
    if isinstance(items, ItemRows):
        return ItemRows(items.reference, items.keys, items.rows[places])
    return [items[place] for place in places.tolist()]
