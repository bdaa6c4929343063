"""What each user had read before each impression: reading histories cut into windows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lamella.recommenders.dataset import Dataset, Impressions

Rows = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Histories:
    """The reads of the training and validation parts, as windows of `length` reads.

    `windows` (w, length): item rows + 1, oldest first, 0 after the last. `starts` and `ends` (users,): where each
    user's reads lie in `reads`, item rows in time order. `training` and `validation` say for each of their impressions
    which window and after how many of its reads: (n, 2). A long history is cut into windows that overlap by half, so
    that every impression but the first few sees at least half a window.
    """

    length: int
    windows: Rows
    reads: Rows
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    training: NDArray[np.int64]
    validation: NDArray[np.int64]

    def newest(self, users: NDArray[np.integer]) -> tuple[Rows, NDArray[np.int64]]:
        """The newest reads of these users before the held-out part, as a window each, and how many they are."""
        counts = np.minimum(self.ends[users] - self.starts[users], self.length)
        return _cut(self.reads, self.ends[users] - counts, self.ends[users], self.length), counts

    def reads_of(self, user: int) -> Rows:
        """All reads of a user before the held-out part, as item rows, oldest first."""
        return self.reads[self.starts[user] : self.ends[user]]


def histories_of(dataset: Dataset, *, length: int) -> Histories:
    """The histories of `dataset`; a read is an impression that was liked, of an item that the training part shows.

    What is read from a list counts from the next list on: the same list's other items do not see it.
    """
    parts = dataset.training, dataset.validation
    user, item, rank = (np.concatenate([getattr(part, name) for part in parts]) for name in ("user", "item", "rank"))
    is_read = np.concatenate([dataset.is_liked(part) for part in parts]) & dataset.is_shown[item]
    order = np.argsort(user, kind="stable")
    reads = item[order][is_read[order]]
    counts = np.bincount(user[is_read], minlength=len(dataset.users)).astype(np.int64)
    ends = np.cumsum(counts)
    before = np.empty(len(user), dtype=np.int64)
    before[order] = _reads_before(user, rank, is_read, order) - (ends - counts)[user[order]]
    stride = max(1, length // 2)
    extra = np.maximum(0, -(-(counts - length) // stride))
    first = np.cumsum(extra + 1) - (extra + 1)
    owner = np.repeat(np.arange(len(counts)), extra + 1)
    start = (ends - counts)[owner] + (np.arange(len(owner)) - first[owner]) * stride
    window = np.maximum(0, -(-(before - length) // stride))
    places = np.stack([first[user] + window, before - window * stride], axis=1)
    at = len(dataset.training)
    return Histories(
        length=length,
        windows=_cut(reads, start, np.minimum(start + length, ends[owner]), length),
        reads=reads,
        starts=ends - counts,
        ends=ends,
        training=places[:at],
        validation=places[at:],
    )


def window_blocks(
    impressions: Impressions, places: NDArray[np.int64], batch_size: int, rng: np.random.Generator | None
) -> Iterator[tuple[Impressions, NDArray[np.int64], NDArray[np.int64]]]:
    """One epoch in blocks of all impressions of `batch_size` windows, drawn by `rng` or, without one, in order.

    Each is (impressions, the block's windows, for each impression the row among those windows and how many reads).
    """
    by_window = np.argsort(places[:, 0], kind="stable")
    used, starts, counts = np.unique(places[by_window, 0], return_index=True, return_counts=True)
    order = np.arange(len(used)) if rng is None else rng.permutation(len(used))
    for at in range(0, len(order), batch_size):
        block = order[at : at + batch_size]
        lengths = counts[block]
        offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        rows = by_window[np.repeat(starts[block], lengths) + offsets]
        local = np.stack([np.repeat(np.arange(len(block)), lengths), places[rows, 1]], axis=1)
        yield impressions.take(rows), used[block], local


def _reads_before(user: Rows, rank: Rows, is_read: NDArray[np.bool_], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each impression, in `order`, the reads of all impressions in `order` before its list began."""
    begins = np.ones(len(user), dtype=bool)
    begins[1:] = (user[1:] != user[:-1]) | (rank[1:] <= rank[:-1])
    listed = np.cumsum(begins)[order]
    first = np.ones(len(listed), dtype=bool)
    first[1:] = listed[1:] != listed[:-1]
    earlier: NDArray[np.int64] = np.cumsum(is_read[order]) - is_read[order]
    head: NDArray[np.int64] = earlier[first][np.cumsum(first) - 1]
    return head


def _cut(reads: Rows, starts: NDArray[np.int64], ends: NDArray[np.int64], length: int) -> Rows:
    """The reads from each start to its end, as item rows + 1, 0 after the last: (len(starts), length)."""
    at = starts[:, None] + np.arange(length)
    is_there = at < ends[:, None]
    padded = np.append(reads, np.int32(0))
    return np.where(is_there, padded[np.minimum(at, len(reads))] + 1, 0).astype(np.int32)
