"""What a model is worth, measured on a held-out part, which no kind trains on."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lamella.recommenders.artifact import FactorModel, sigmoid
from lamella.recommenders.dataset import Dataset, Impressions, Outcome
from lamella.recommenders.ease import ease_scores
from lamella.recommenders.ranking import Scores, lists_of, model_scores, task_of, worth, worth_by_age, worth_by_history

SAMPLED_USERS: Final = 500

Doubles = NDArray[np.float64]


def evaluate(
    model: FactorModel,
    baseline: FactorModel,
    dataset: Dataset,
    *,
    seed: int,
    predicts: bool = True,
    most_users: int = SAMPLED_USERS,
) -> dict[str, float]:
    """The offline metrics of `model`, some of them beside those of `baseline` (popularity) and EASE.

    Of a log or of choices `log_loss` (with the position's bias), `constant_log_loss` (of the training part's rate)
    and `auc`, the chance that a clicked impression scores above another; of ratings `rmse`, `mae` and `constant_rmse`.
    Over at most `most_users` drawn users with held-out choices, when all items are ranked: `recall_at_10`,
    `ndcg_at_10`, the same `popularity_…` and `ease_…`; the recall by history length and item age; `coverage_at_10`,
    the share of items in any of the lists; `gini_at_10`, how unequally items share them (0 equal, 1 one item has all).
    A metric that is undefined, such as the AUC where nothing was clicked, is left out; so are losses and errors where
    the model only orders (`predicts` False).
    """
    metrics = _rating_errors(model, dataset) if dataset.outcome is Outcome.RATING else _losses(model, dataset)
    if not predicts:
        metrics = {name: value for name, value in metrics.items() if name == "auc"}
    task = task_of(dataset, most_users=most_users, seed=seed)
    if not len(task.users):
        return metrics
    lists = lists_of(model_scores(model, dataset), task)
    metrics |= worth(lists, task)
    metrics |= worth(lists_of(_popular(baseline, dataset), task), task, prefix="popularity_")
    metrics |= worth(lists_of(ease_scores(dataset), task), task, prefix="ease_")
    metrics |= worth_by_history(lists, task, dataset) | worth_by_age(lists, task, dataset)
    shown = np.bincount(np.concatenate(lists), minlength=len(dataset.items))
    return metrics | {"coverage_at_10": float((shown > 0).mean()), "gini_at_10": gini(shown)}


def _popular(baseline: FactorModel, dataset: Dataset) -> Scores:
    """The scores of popularity: the click rates of `baseline`; of ratings, how often an item was liked."""
    if dataset.outcome is not Outcome.RATING:
        return model_scores(baseline, dataset)
    liked = -dataset.item_idf
    return lambda _: liked


def _losses(model: FactorModel, dataset: Dataset) -> dict[str, float]:
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
    return metrics


def _rating_errors(model: FactorModel, dataset: Dataset) -> dict[str, float]:
    """In stars: the model's shares stretched to the scale."""
    held_out, (low, high) = dataset.held_out, dataset.scale
    predicted = sigmoid(impression_logits(model, dataset, held_out).astype(np.float32))
    errors = (high - low) * (predicted - held_out.clicked).astype(np.float64)
    constant = (high - low) * (float(dataset.training.clicked.mean()) - held_out.clicked).astype(np.float64)
    return {
        "rmse": float(np.sqrt(np.mean(errors**2))),
        "mae": float(np.mean(np.abs(errors))),
        "constant_rmse": float(np.sqrt(np.mean(constant**2))),
    }


def impression_logits(model: FactorModel, dataset: Dataset, impressions: Impressions) -> Doubles:
    """The logit of each impression as if it were shown first: (n,)."""
    users = np.array([model.user_rows.get(user, -1) for user in dataset.users], dtype=np.int64)[impressions.user]
    return model.pair_logits(users, model.rows_of(dataset.items)[impressions.item])


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


def _log_loss(chances: NDArray[np.floating], clicked: NDArray[np.float32]) -> float:
    bounded = np.clip(chances.astype(np.float64), 1e-9, 1 - 1e-9)
    return float(-(clicked * np.log(bounded) + (1 - clicked) * np.log(1 - bounded)).mean())
