"""The logged impressions as arrays that a model kind can learn from, split in time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lamella.errors import TrainingFault
from lamella.experiments.model import Json
from lamella.services.model_ports import Item, TrainingLog

MAX_RANK: Final = 50
"""Ranks from here on share one position bias."""

MINIMUM_IMPRESSIONS: Final = 50
VALIDATION_SHARE: Final = 0.1
HELD_OUT_SHARE: Final = 0.1
LIKED: Final = 0.75
"""A rating from this part of its scale up (4 of 1..5) counts as liked."""


class Outcome(Enum):
    """What `clicked` holds: 0 or 1 of an impression, a rating stretched to 0..1, or 1 of a choice and 0 of a draw."""

    CLICK = "click"
    RATING = "rating"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Impressions:
    """Impressions in time order; four columns of equal length n.

    `user` and `item` are rows of the dataset's tables (int32), `rank` starts at 0 and ends at MAX_RANK - 1 (int32),
    `clicked` is 0..1 (float32); see Outcome.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    rank: NDArray[np.int32]
    clicked: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.clicked)

    def take(self, rows: NDArray[np.int64] | slice) -> "Impressions":
        """The impressions at these rows, in their order."""
        return Impressions(user=self.user[rows], item=self.item[rows], rank=self.rank[rows], clicked=self.clicked[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Users, items and impressions; the impressions fall into three parts, in time.

    `training` comes first and is what a model fits; `validation` stops the training early; `held_out`, the newest
    tenth, is only measured. `items` are all catalogue items and all items that were shown, by key; `titles` stand
    beside them ("" where the catalogue has none), and `published`: (len(items),) float64, POSIX seconds (-inf where
    the catalogue has none). `users` are those of all three parts, by key. `user_attributes` and `item_attributes`
    stand beside users and items. `scale` is what 0 and 1 of a rating mean. `until` is when the data end, POSIX
    seconds (NaN where that is not known).
    """

    users: tuple[str, ...]
    items: tuple[str, ...]
    titles: tuple[str, ...]
    published: NDArray[np.float64]
    training: Impressions
    validation: Impressions
    held_out: Impressions
    user_attributes: tuple[Mapping[str, Json], ...] = ()
    item_attributes: tuple[Mapping[str, Json], ...] = ()
    outcome: Outcome = Outcome.CLICK
    scale: tuple[float, float] = (0.0, 1.0)
    until: float = 0.0

    def is_liked(self, impressions: Impressions) -> NDArray[np.bool_]:
        """Which of them were clicked or chosen, or rated well: (n,)."""
        return np.greater_equal(impressions.clicked, LIKED if self.outcome is Outcome.RATING else 1.0)

    @property
    def item_idf(self) -> NDArray[np.float32]:
        """How rare each item is among what was liked in the training part: log((1 + all) / (1 + its own)), mean 0."""
        liked = self.training.item[self.is_liked(self.training)]
        counts = np.bincount(liked, minlength=len(self.items))
        rarity: NDArray[np.float64] = np.log((1 + len(liked)) / (1 + counts))
        centred: NDArray[np.float32] = (rarity - rarity.mean()).astype(np.float32)
        return centred

    @property
    def is_shown(self) -> NDArray[np.bool_]:
        """Which items have an impression in the training part: (len(items),)."""
        return np.bincount(self.training.item, minlength=len(self.items)) > 0

    @property
    def is_active(self) -> NDArray[np.bool_]:
        """Which users have an impression in the training part: (len(users),)."""
        return np.bincount(self.training.user, minlength=len(self.users)) > 0


def build(log: TrainingLog, items: Sequence[Item]) -> Dataset:
    """The dataset of a log (in time order) and the catalogue.

    Raises TrainingFault if there are fewer than 50 impressions, or if the training part has no click or nothing but
    clicks: there is nothing to learn then.
    """
    n = len(log.units)
    if n < MINIMUM_IMPRESSIONS:
        raise TrainingFault(f"{n} impressions are too few to learn from; at least {MINIMUM_IMPRESSIONS} are needed")
    titles = {item.key: item.title for item in items}
    item_keys = sorted(titles.keys() | set(log.items))
    users = sorted(set(log.units))
    whole = Impressions(
        user=rows_of(log.units, users),
        item=rows_of(log.items, item_keys),
        rank=np.clip(np.asarray(log.ranks, dtype=np.int32) - 1, 0, MAX_RANK - 1),
        clicked=np.asarray(log.clicked, dtype=np.float32),
    )
    held_out, validation = max(1, round(n * HELD_OUT_SHARE)), max(1, round(n * VALIDATION_SHARE))
    first, second = n - held_out - validation, n - held_out
    training = whole.take(slice(0, first))
    clicks = int(training.clicked.sum())
    if clicks in (0, first):
        raise TrainingFault(f"{clicks} of {first} impressions were clicked; a model learns from both outcomes")
    return Dataset(
        users=tuple(users),
        items=tuple(item_keys),
        titles=tuple(titles.get(key, "") for key in item_keys),
        published=published_of(items, item_keys),
        training=training,
        validation=whole.take(slice(first, second)),
        held_out=whole.take(slice(second, n)),
        user_attributes=tuple(log.contexts.get(user, {}) for user in users),
        item_attributes=attributes_of(items, item_keys),
        until=log.until.timestamp(),
    )


def without_log(items: Sequence[Item]) -> Dataset:
    """The dataset of the catalogue alone. Raises TrainingFault if that is empty."""
    if not items:
        raise TrainingFault("the catalogue is empty; put items first: lamella items import FILE")
    rows, shares = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32)
    nothing = Impressions(user=rows, item=rows, rank=rows, clicked=shares)
    ordered = sorted(items, key=lambda item: item.key)
    keys = tuple(item.key for item in ordered)
    return Dataset(
        users=(),
        items=keys,
        titles=tuple(item.title for item in ordered),
        published=published_of(items, keys),
        training=nothing,
        validation=nothing,
        held_out=nothing,
        item_attributes=attributes_of(items, keys),
    )


def attributes_of(items: Sequence[Item], keys: Sequence[str]) -> tuple[Mapping[str, Json], ...]:
    """The attributes of the items with these keys; none for one that is not in the catalogue."""
    attributes = {item.key: item.attributes for item in items}
    return tuple(attributes.get(key, {}) for key in keys)


def published_of(items: Sequence[Item], keys: Sequence[str]) -> NDArray[np.float64]:
    """When the items with these keys were published, POSIX seconds; -inf for one that is not in the catalogue."""
    moments = {item.key: item.published_at.timestamp() for item in items}
    return np.array([moments.get(key, -np.inf) for key in keys], dtype=np.float64)


def rows_of(keys: Iterable[str], table: Sequence[str]) -> NDArray[np.int32]:
    """The place of each key in `table`, which holds them all: (n,) int32."""
    row: Mapping[str, int] = {key: number for number, key in enumerate(table)}
    return np.fromiter((row[key] for key in keys), dtype=np.int32)
