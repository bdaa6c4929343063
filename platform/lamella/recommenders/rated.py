"""Ratings files as datasets: of ratings, to predict them, or of choices, to rank the whole catalogue."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lamella.errors import TrainingFault
from lamella.recommenders.dataset import (
    HELD_OUT_SHARE,
    MINIMUM_IMPRESSIONS,
    VALIDATION_SHARE,
    Dataset,
    Impressions,
    Outcome,
    attributes_of,
    published_of,
    rows_of,
)
from lamella.services.ratings_ports import Ratings

RANDOM_HELD_OUT_SHARE: Final = 0.2
_LEAST_MOMENT: Final = 1e8
"""Times below this, in 1973, only order the ratings: they are no moments, and items have no age."""
_LEAST_STRATUM: Final = 5
"""A rating value that occurs less often has no fifth of its own."""
DRAWS: Final = 4
"""Items drawn for each choice, to stand for what was not chosen."""


class Split(Enum):
    """Which ratings are held out: the newest tenth, a random fifth of each rating, or each user's last."""

    TIME = "time"
    RANDOM = "random"
    LAST = "last"


Places = NDArray[np.int64]


def build_ratings(ratings: Ratings, *, outcome: Outcome, split: Split, seed: int, draws: int = DRAWS) -> Dataset:
    """The dataset of a ratings file, in time order.

    With outcome RATING `clicked` holds the rating stretched to 0..1 over the file's scale. With CHOICE every rating is
    a choice, and for each of them up to `draws` items that its user never rated are drawn, which come before it.
    Raises TrainingFault if there are fewer than 50 ratings or, to predict them, if all are equal.
    """
    values = np.asarray(ratings.ratings, dtype=np.float64)
    scale = _scale(values, outcome)
    users = sorted(set(ratings.units))
    items = sorted({item.key for item in ratings.catalogue} | set(ratings.items))
    times = np.asarray(ratings.times, dtype=np.float64)
    order = np.argsort(times, kind="stable")
    whole = Impressions(
        user=rows_of(ratings.units, users)[order],
        item=rows_of(ratings.items, items)[order],
        rank=np.zeros(len(values), dtype=np.int32),
        clicked=((values - scale[0]) / (scale[1] - scale[0])).astype(np.float32)[order],
    )
    rng = np.random.default_rng(seed)
    parts = _SPLITS[split](whole, rng)
    if not all(len(part) for part in parts):
        raise TrainingFault(f"the split {split.value!r} holds nothing out: no user has three ratings; add --split time")
    if outcome is Outcome.CHOICE:
        whole = Impressions(user=whole.user, item=whole.item, rank=whole.rank, clicked=np.ones_like(whole.clicked))
    taken = [whole.take(part) for part in parts]
    if outcome is Outcome.CHOICE:
        taken = [_with_draws(part, whole, len(items), draws, rng) for part in taken]
    titles = {item.key: item.title for item in ratings.catalogue}
    return Dataset(
        users=tuple(users),
        items=tuple(items),
        titles=tuple(titles.get(key, "") for key in items),
        published=published_of(ratings.catalogue, items),
        training=taken[0],
        validation=taken[1],
        held_out=taken[2],
        user_attributes=tuple(ratings.attributes.get(user, {}) for user in users),
        item_attributes=attributes_of(ratings.catalogue, items),
        outcome=outcome,
        scale=scale,
        until=float(times.max()) if times.max() > _LEAST_MOMENT else float("nan"),
    )


def _scale(values: NDArray[np.float64], outcome: Outcome) -> tuple[float, float]:
    if len(values) < MINIMUM_IMPRESSIONS:
        raise TrainingFault(
            f"{len(values)} ratings are too few to learn from; at least {MINIMUM_IMPRESSIONS} are needed"
        )
    low, high = float(values.min()), float(values.max())
    if low < high:
        return low, high
    if outcome is Outcome.RATING:
        raise TrainingFault(f"every rating is {low:g}, which teaches nothing; train on choices instead: --goal choice")
    return low - 1, high


def _by_time(whole: Impressions, rng: np.random.Generator) -> tuple[Places, Places, Places]:  # noqa: ARG001
    n = len(whole)
    held_out, validation = max(1, round(n * HELD_OUT_SHARE)), max(1, round(n * VALIDATION_SHARE))
    first, second, third = np.split(np.arange(n), [n - held_out - validation, n - held_out])
    return first, second, third


def _at_random(whole: Impressions, rng: np.random.Generator) -> tuple[Places, Places, Places]:
    """A fifth of each rating value is held out; of the rest a tenth validates.

    Of the values that are too rare it is a fifth of them together: what was measured hardly ever has one value twice.
    """
    _, values, counts = np.unique(whole.clicked, return_inverse=True, return_counts=True)
    is_rare = counts < _LEAST_STRATUM
    strata = [np.flatnonzero(values == value) for value in np.flatnonzero(~is_rare)]
    strata += [np.flatnonzero(is_rare[values])] if is_rare.any() else []
    held = [rng.choice(rows, round(len(rows) * RANDOM_HELD_OUT_SHARE), replace=False) for rows in strata]
    held_out = np.sort(np.concatenate(held))
    rest = np.setdiff1d(np.arange(len(whole)), held_out)
    validation = np.sort(rng.choice(rest, max(1, round(len(rest) * VALIDATION_SHARE)), replace=False))
    return np.setdiff1d(rest, validation), validation, held_out


def _last_of_each(whole: Impressions, rng: np.random.Generator) -> tuple[Places, Places, Places]:  # noqa: ARG001
    """Each user's last rating is held out and the one before validates, where at least three were given."""
    n = len(whole)
    order = np.argsort(whole.user, kind="stable")
    counts = np.bincount(whole.user)[whole.user[order]]
    ends = np.cumsum(np.bincount(whole.user))[whole.user[order]]
    left = np.empty(n, dtype=np.int64)
    left[order] = np.where(counts >= 3, ends - 1 - np.arange(n), 3)
    return np.flatnonzero(left > 1), np.flatnonzero(left == 1), np.flatnonzero(left == 0)


_SPLITS: Final[Mapping[Split, Callable[[Impressions, np.random.Generator], tuple[Places, Places, Places]]]] = {
    Split.TIME: _by_time,
    Split.RANDOM: _at_random,
    Split.LAST: _last_of_each,
}


def _with_draws(part: Impressions, whole: Impressions, items: int, draws: int, rng: np.random.Generator) -> Impressions:
    """`part` with drawn items before each choice; what the user rated anywhere is not among them."""
    rated = np.unique(whole.user.astype(np.int64) * items + whole.item)
    user = np.repeat(part.user, draws + 1)
    item = rng.integers(0, items, len(user)).astype(np.int32)
    clicked = np.zeros(len(user), dtype=np.float32)
    item[draws :: draws + 1], clicked[draws :: draws + 1] = part.item, 1.0
    code = user.astype(np.int64) * items + item
    place = np.minimum(np.searchsorted(rated, code), len(rated) - 1)
    kept = (rated[place] != code) | (clicked > 0)
    return Impressions(
        user=user[kept], item=item[kept], rank=np.zeros(int(kept.sum()), dtype=np.int32), clicked=clicked[kept]
    )
