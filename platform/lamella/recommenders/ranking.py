"""Lists over the whole catalogue, and what they are worth: recall, NDCG, by history length and by item age."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.dataset import Dataset, Impressions, Outcome
from lamella.recommenders.history import Histories, histories_of
from lamella.recommenders.orders import best_rows
from lamella.services.model_ports import Reader

LIST_LENGTH: Final = 10
HISTORY_LENGTH: Final = 50
HISTORY_GROUPS: Final[Mapping[str, tuple[int, int]]] = {
    "0": (0, 0),
    "1_4": (1, 4),
    "5_19": (5, 19),
    "20": (20, 2**31),
}
AGE_GROUPS: Final[Mapping[str, tuple[float, float]]] = {
    "under_7_days": (-np.inf, 7.0),
    "under_30_days": (7.0, 30.0),
    "older": (30.0, np.inf),
}

Lists: TypeAlias = Sequence[NDArray[np.int64]]
Scores: TypeAlias = Callable[[int], NDArray[np.floating]]
"""The score of every item of the dataset for a user's row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The users whose held-out choices are looked for: `liked` their items, `seen` what may not be proposed again."""

    users: NDArray[np.int32]
    liked: Sequence[frozenset[int]]
    seen: Sequence[NDArray[np.int64]]


def task_of(dataset: Dataset, *, most_users: int, seed: int) -> Task:
    """The task of the held-out part, over at most `most_users` drawn users.

    What a user rated or chose before is not proposed again, so it is not looked for either; items of a log may be
    shown twice, so there it may be.
    """
    held_out = dataset.held_out
    seen: dict[int, list[int]] = {}
    if dataset.outcome is not Outcome.CLICK:
        for part in (dataset.training, dataset.validation):
            known = part.clicked > 0 if dataset.outcome is Outcome.CHOICE else np.ones(len(part), dtype=bool)
            for user, items in _by_user(part, known).items():
                seen.setdefault(user, []).extend(items)
    found = _by_user(held_out, dataset.is_liked(held_out))
    liked = {user: frozenset(items).difference(seen.get(user, ())) for user, items in found.items()}
    users = np.array(sorted(user for user, items in liked.items() if items), dtype=np.int32)
    if len(users) > most_users:
        users = np.sort(np.random.default_rng(seed).choice(users, most_users, replace=False))
    chosen = users.tolist()
    return Task(
        users=users,
        liked=[liked[user] for user in chosen],
        seen=[np.array(seen.get(user, []), dtype=np.int64) for user in chosen],
    )


def lists_of(scores: Scores, task: Task) -> Lists:
    """The ten best items for each user of the task, best first, as rows of the dataset's items."""
    found = []
    for user, seen in zip(task.users.tolist(), task.seen, strict=True):
        values = np.array(scores(user), dtype=np.float64)
        values[seen] = -np.inf
        found.append(best_rows(values, min(LIST_LENGTH, len(values) - len(np.unique(seen)))))
    return found


def model_scores(model: FactorModel, dataset: Dataset) -> Scores:
    """The logits of `model`, which knows of each user what it would at serving: attributes and the last 50 reads."""
    readers = readers_of(dataset)
    rows = model.rows_of(dataset.items)

    def scores(user: int) -> NDArray[np.floating]:
        logits = model.logits(dataset.users[user], readers(user))
        cold = np.float32(model.unknown_item_bias + model.intercept)
        return np.where(rows >= 0, logits[np.maximum(rows, 0)], cold)

    return scores


def readers_of(dataset: Dataset) -> Callable[[int], Reader]:
    """What was known of each user, by row, when the held-out part began."""
    histories: Histories = histories_of(dataset, length=HISTORY_LENGTH)

    def reader(user: int) -> Reader:
        reads = histories.reads_of(user)[-HISTORY_LENGTH:].tolist()
        attributes = dataset.user_attributes[user] if dataset.user_attributes else {}
        return Reader(history=[dataset.items[row] for row in reads], attributes=attributes)

    return reader


def worth(lists: Lists, task: Task, *, prefix: str = "") -> dict[str, float]:
    """`recall_at_10` and `ndcg_at_10`, means over users."""
    found = [_recall_and_gain(shown, liked) for shown, liked in zip(lists, task.liked, strict=True)]
    recall, gain = np.mean(np.array(found), axis=0).tolist()
    return {f"{prefix}recall_at_10": recall, f"{prefix}ndcg_at_10": gain}


def worth_by_history(lists: Lists, task: Task, dataset: Dataset) -> dict[str, float]:
    """`recall_at_10_history_0`, `_1_4`, `_5_19`, `_20`: over the users with so many reads in the training part."""
    training = dataset.training
    reads = np.bincount(training.user[dataset.is_liked(training)], minlength=len(dataset.users))[task.users]
    recalls = np.array(
        [_recall_and_gain(shown, liked)[0] for shown, liked in zip(lists, task.liked, strict=True)], dtype=np.float64
    )
    groups = {name: (reads >= low) & (reads <= high) for name, (low, high) in HISTORY_GROUPS.items()}
    return {f"recall_at_10_history_{name}": float(recalls[rows].mean()) for name, rows in groups.items() if rows.any()}


def worth_by_age(lists: Lists, task: Task, dataset: Dataset) -> dict[str, float]:
    """`recall_at_10_age_…`: the share of held-out choices that were proposed, by the age of the item at the end.

    `never_shown` are items without an impression in the training part, whatever their age.
    """
    ages = (dataset.until - dataset.published) / 86_400
    is_shown = dataset.is_shown
    hits: dict[str, list[bool]] = {}
    for shown, liked in zip(lists, task.liked, strict=True):
        proposed = set(shown.tolist())
        for item in sorted(liked):
            for name in _age_groups(float(ages[item]), is_new=not is_shown[item]):
                hits.setdefault(name, []).append(item in proposed)
    return {f"recall_at_10_age_{name}": float(np.mean(found)) for name, found in sorted(hits.items())}


def _age_groups(age: float, *, is_new: bool) -> list[str]:
    named = [name for name, (low, high) in AGE_GROUPS.items() if np.isfinite(age) and low <= age < high]
    return ["never_shown"] if is_new else named


def _recall_and_gain(shown: NDArray[np.int64], liked: frozenset[int]) -> tuple[float, float]:
    discounts = 1 / np.log2(np.arange(2, LIST_LENGTH + 2))
    hits = np.array([item in liked for item in shown.tolist()], dtype=np.float64)
    possible = min(len(liked), LIST_LENGTH)
    return float(hits.sum()) / possible, float(discounts[: len(hits)] @ hits) / float(discounts[:possible].sum())


def _by_user(impressions: Impressions, chosen: NDArray[np.bool_]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for user, item in zip(impressions.user[chosen].tolist(), impressions.item[chosen].tolist(), strict=True):
        found.setdefault(user, []).append(item)
    return found
