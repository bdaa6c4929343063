"""Popularity: each item's click rate, freed of its positions and shrunk towards the mean."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from lamella.recommenders.artifact import FactorModel, centred
from lamella.recommenders.dataset import Dataset, Outcome
from lamella.recommenders.hyperparameters import Hyperparameters, number
from lamella.recommenders.kind import Fitted, Kind, Progress
from lamella.recommenders.priors import Rates, logit, rating_precision, shrunk_means, smoothed_rates


@dataclass(frozen=True, slots=True, kw_only=True)
class PopularityHyperparameters(Hyperparameters):
    """`prior_impressions`: how many impressions at the mean rate every item is given; 0 lets the data choose."""

    prior_impressions: float = number(0.0, 0.0, 1e9)


def fit(dataset: Dataset, chosen: PopularityHyperparameters, seed: int, progress: Progress) -> Fitted:  # noqa: ARG001
    """The model whose score is the item's smoothed click rate at the first rank, the same for every user.

    Never-shown items are unknown to it. `seed` changes nothing: there is no randomness.
    """
    fitted = _rates(dataset, chosen.prior_impressions)
    factors = _compile(dataset, fitted)
    shown = np.flatnonzero(dataset.is_shown)
    served = factors.score("", [dataset.items[row] for row in shown])
    progress(1.0, f"{len(shown)} items shown, the prior is worth {fitted.prior_impressions:.0f} impressions")
    return Fitted(factors=factors, files={}, probe_error=float(np.abs(served - fitted.rates[shown]).max()))


def _rates(dataset: Dataset, prior: float) -> Rates:
    """The click rates; of ratings, the mean of each item, as a share of the scale."""
    training, items = dataset.training, len(dataset.items)
    if dataset.outcome is not Outcome.RATING:
        return smoothed_rates(training, items, prior)
    mean = float(training.clicked.mean())
    spread = mean * (1 - mean)
    precision = prior * spread or rating_precision(training.item, training.clicked, items)
    return Rates(
        rates=shrunk_means(training.item, training.clicked, items, precision),
        examination=np.ones(1),
        mean=mean,
        prior_impressions=precision / spread,
    )


def _compile(dataset: Dataset, fitted: Rates) -> FactorModel:
    items = len(dataset.items)
    return centred(
        users=(),
        user_vectors=np.zeros((0, 0), dtype=np.float32),
        user_bias=np.zeros(0, dtype=np.float32),
        is_active=np.zeros(0, dtype=bool),
        items=dataset.items,
        item_vectors=np.zeros((items, 0), dtype=np.float32),
        item_bias=logit(fitted.rates).astype(np.float32),
        has_evidence=dataset.is_shown,
        rank_bias=np.log(fitted.examination).astype(np.float32),
        item_idf=dataset.item_idf,
    )


KIND: Final = Kind(
    name="popularity",
    summary="the smoothed click rate of each item, the same for everybody; trains in a second; the fallback",
    hyperparameters=PopularityHyperparameters,
    fit=fit,
)
