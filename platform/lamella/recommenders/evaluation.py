"""What a model is worth, measured on the newest tenth of the log, which no kind trains on."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lamella.recommenders.artifact import FactorModel, sigmoid
from lamella.recommenders.dataset import Dataset, Impressions

LIST_LENGTH: Final = 10
SAMPLED_USERS: Final = 500

Doubles = NDArray[np.float64]


def evaluate(model: FactorModel, baseline: FactorModel, dataset: Dataset, *, seed: int) -> dict[str, float]:
    """The offline metrics of `model`, some of them beside those of `baseline` (popularity, from the same part).

    `log_loss` (with the position's bias) and `constant_log_loss` (of the training part's click rate); `auc`, the
    chance that a clicked impression scores above another; over at most 500 sampled users with held-out clicks,
    `recall_at_10` and `ndcg_at_10` of those clicks when all items are ranked, and the same `popularity_…`;
    `coverage_at_10`, the share of items in any of these lists; `gini_at_10`, how unequally items share them (0 equal,
    1 one item has all). A metric that is undefined, such as the AUC where nothing was clicked, is left out.
    """
    held_out = dataset.held_out
    logits = impression_logits(model, dataset, held_out)
    position = model.rank_bias[np.minimum(held_out.rank, len(model.rank_bias) - 1)]
    rate = np.full(len(held_out), dataset.training.clicked.mean())
    metrics = {
        "log_loss": _log_loss(sigmoid((logits + position).astype(np.float32)), held_out.clicked),
        "constant_log_loss": _log_loss(rate, held_out.clicked),
    }
    if 0 < held_out.clicked.sum() < len(held_out):
        metrics["auc"] = auc(logits, held_out.clicked)
    users = _users_with_clicks(held_out, seed)
    if not len(users):
        return metrics
    lists = [top(model, dataset.users[user]) for user in users]
    metrics |= _ranking(lists, held_out, users, prefix="")
    metrics |= _ranking([top(baseline, dataset.users[user]) for user in users], held_out, users, prefix="popularity_")
    shown = np.bincount(np.concatenate(lists), minlength=len(dataset.items))
    return metrics | {"coverage_at_10": float((shown > 0).mean()), "gini_at_10": gini(shown)}


def impression_logits(model: FactorModel, dataset: Dataset, impressions: Impressions) -> Doubles:
    """The logit of each impression as if it were shown first: (n,)."""
    users = np.array([model.user_rows.get(user, -1) for user in dataset.users], dtype=np.int64)[impressions.user]
    items = model.rows_of(dataset.items)[impressions.item]
    is_user, is_item = users >= 0, items >= 0
    logits = np.full(len(impressions), model.intercept, dtype=np.float64)
    logits[is_item] += model.item_bias[items[is_item]]
    logits[~is_item] += model.unknown_item_bias
    logits[is_user] += model.user_bias[users[is_user]]
    is_known = is_user & is_item
    pairs = model.user_vectors[users[is_known]], model.item_vectors[items[is_known]]
    logits[is_known] += np.einsum("nk,nk->n", *pairs)
    return logits


def auc(scores: Doubles, clicked: NDArray[np.float32]) -> float:
    """The chance that a random clicked impression scores above a random other one; ties count half.

    Undefined (division by zero) unless both outcomes occur. Source: Mann and Whitney (1947).
    """
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    positives = float(clicked.sum())
    rank_sum = float(mean_rank[inverse][clicked > 0].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * (len(clicked) - positives))


def gini(counts: NDArray[np.int64]) -> float:
    """How unequal the counts are: 0 where all are equal, towards 1 where one has all; 0 for nothing at all."""
    n, total = len(counts), counts.sum()
    if not total:
        return 0.0
    places = np.arange(1, n + 1)
    return float((2 * places - n - 1) @ np.sort(counts) / (n * total))


def top(model: FactorModel, user: str) -> NDArray[np.int64]:
    """The rows of the ten items that `model` would show to `user` first."""
    logits = model.logits(user)
    count = min(LIST_LENGTH, len(logits))
    rows = np.argpartition(-logits, count - 1)[:count]
    return rows[np.lexsort((rows, -logits[rows]))]


def _log_loss(chances: NDArray[np.floating], clicked: NDArray[np.float32]) -> float:
    bounded = np.clip(chances.astype(np.float64), 1e-9, 1 - 1e-9)
    return float(-(clicked * np.log(bounded) + (1 - clicked) * np.log(1 - bounded)).mean())


def _users_with_clicks(impressions: Impressions, seed: int) -> NDArray[np.int32]:
    users = np.unique(impressions.user[impressions.clicked > 0])
    if len(users) <= SAMPLED_USERS:
        return users
    return np.sort(np.random.default_rng(seed).choice(users, SAMPLED_USERS, replace=False))


def _ranking(
    lists: list[NDArray[np.int64]], impressions: Impressions, users: NDArray[np.int32], *, prefix: str
) -> dict[str, float]:
    """Recall and NDCG, each the mean over users. `lists` hold rows of the dataset's items, best first."""
    clicks: dict[int, set[int]] = {int(user): set() for user in users}
    is_click = impressions.clicked > 0
    for user, item in zip(impressions.user[is_click].tolist(), impressions.item[is_click].tolist(), strict=True):
        if user in clicks:
            clicks[user].add(item)
    discounts = 1 / np.log2(np.arange(2, LIST_LENGTH + 2))
    recalls, gains = [], []
    for user, shown in zip(users.tolist(), lists, strict=True):
        hits = np.array([item in clicks[user] for item in shown.tolist()])
        possible = min(len(clicks[user]), LIST_LENGTH)
        recalls.append(hits.sum() / possible)
        gains.append(float(discounts[: len(hits)] @ hits) / discounts[:possible].sum())
    return {f"{prefix}recall_at_10": float(np.mean(recalls)), f"{prefix}ndcg_at_10": float(np.mean(gains))}
