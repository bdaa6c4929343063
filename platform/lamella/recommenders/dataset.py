"""The logged impressions as arrays that a model kind can learn from, split in time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lamella.errors import TrainingFault
from lamella.services.ports import Item, TrainingLog

MAX_RANK: Final = 50
"""Ranks from here on share one position bias."""

MINIMUM_IMPRESSIONS: Final = 50
VALIDATION_SHARE: Final = 0.1
HELD_OUT_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Impressions:
    """Impressions in time order; four columns of equal length n.

    `user` and `item` are rows of the dataset's tables (int32), `rank` starts at 0 and ends at MAX_RANK - 1 (int32),
    `clicked` is 0 or 1 (float32).
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
    the catalogue has none). `users` are those of all three parts, by key.
    """

    users: tuple[str, ...]
    items: tuple[str, ...]
    titles: tuple[str, ...]
    published: NDArray[np.float64]
    training: Impressions
    validation: Impressions
    held_out: Impressions

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
        user=_rows(log.units, users),
        item=_rows(log.items, item_keys),
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
        published=_published(items, item_keys),
        training=training,
        validation=whole.take(slice(first, second)),
        held_out=whole.take(slice(second, n)),
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
        published=_published(items, keys),
        training=nothing,
        validation=nothing,
        held_out=nothing,
    )


def _published(items: Sequence[Item], keys: Sequence[str]) -> NDArray[np.float64]:
    moments = {item.key: item.published_at.timestamp() for item in items}
    return np.array([moments.get(key, -np.inf) for key in keys], dtype=np.float64)


def _rows(keys: Iterable[str], table: Sequence[str]) -> NDArray[np.int32]:
    row: Mapping[str, int] = {key: number for number, key in enumerate(table)}
    return np.fromiter((row[key] for key in keys), dtype=np.int32)
