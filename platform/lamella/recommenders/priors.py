"""What click counts alone say, before anything personal: where every network starts, and how far it may go."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lamella.recommenders.dataset import MAX_RANK, Dataset, Impressions, Outcome

_ROUNDS: Final = 20
_LEAST_RATE: Final = 1e-6
_MOST_WEIGHT: Final = 1e6

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """P(click) = examination[rank] · rate[item], with examination 1 at the first rank.

    `rates`: (items,) posterior means, strictly between 0 and 1. `examination`: (ranks seen,). `mean` is the click
    rate of all items together at the first rank; `prior_impressions` how many of those the prior is worth.
    """

    rates: Doubles
    examination: Doubles
    mean: float
    prior_impressions: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Priors:
    """Where the biases start and how tightly they are held, on the logit scale.

    `rank_bias`: (MAX_RANK,). `item_bias`: (m,), around the mean item. The precisions are those of the zero-mean normal
    priors of the items' and the users' biases.
    """

    rank_bias: Doubles
    item_bias: Doubles
    item_precision: float
    user_precision: float


def smoothed_rates(impressions: Impressions, items: int, prior_impressions: float = 0.0) -> Rates:
    """The click rates of `items` items, freed of their positions and shrunk towards the mean.

    Fitted by alternating: rates given examination are posterior means (clicks + weight · mean) / (examined
    impressions + weight) of a gamma prior; examination given rates is clicks over expected clicks. The weight is
    `prior_impressions`, or where that is 0 the method-of-moments estimate.
    Source: the examination hypothesis (Richardson et al. 2007); gamma-Poisson empirical Bayes.
    """
    ranks = int(impressions.rank.max()) + 1
    clicks = weighted_counts(impressions.item, impressions.clicked, items)
    rank_clicks = weighted_counts(impressions.rank, impressions.clicked, ranks)
    examination, rates, mean, weight = np.ones(ranks), np.zeros(items), 0.0, prior_impressions
    for _ in range(_ROUNDS):
        exposure = weighted_counts(impressions.item, examination[impressions.rank], items)
        mean = float(clicks.sum() / exposure.sum())
        weight = prior_impressions or prior_weight(clicks, exposure)
        rates = (clicks + weight * mean) / (exposure + weight)
        expected = weighted_counts(impressions.rank, rates[impressions.item], ranks)
        raw = (rank_clicks + 1.0) / (expected + 1.0)
        examination = np.clip(raw / raw[0], 1e-3, 1e3)
    rates = np.clip(rates, _LEAST_RATE, 1 - _LEAST_RATE)
    return Rates(rates=rates, examination=examination, mean=min(mean, 1 - _LEAST_RATE), prior_impressions=weight)


def prior_weight(clicks: Doubles, exposure: Doubles) -> float:
    """The exposure that a gamma prior of the true rates is worth: mean / variance, by the method of moments; 1 to 1e6.

    What counting noise adds to the exposure-weighted spread of the observed rates is the sum of the true rates, of
    which the observed ones are unbiased estimates even where better items were shown more often.
    """
    shown = exposure > 0
    observed = clicks[shown] / exposure[shown]
    mean = clicks.sum() / exposure.sum()
    spread = float((exposure[shown] * (observed - mean) ** 2).sum())
    variance = (spread - float(observed.sum())) / float(exposure.sum())
    return float(np.clip(mean / variance if variance > 0 else _MOST_WEIGHT, 1.0, _MOST_WEIGHT))


def priors_of(dataset: Dataset) -> Priors:
    """The priors that the training part of `dataset` gives.

    The log of a gamma variable of shape a has a variance near 1/a, so a, mean · prior weight, is the precision.
    """
    if dataset.outcome is Outcome.RATING:
        return _rating_priors(dataset)
    training = dataset.training
    fitted = smoothed_rates(training, len(dataset.items))
    seen = np.minimum(np.arange(MAX_RANK), len(fitted.examination) - 1)
    users = len(dataset.users)
    chance = fitted.examination[training.rank] * fitted.rates[training.item]
    clicks = weighted_counts(training.user, training.clicked, users)
    return Priors(
        rank_bias=logit(fitted.mean * fitted.examination[seen]),
        item_bias=logit(fitted.rates) - logit(np.array(fitted.mean)),
        item_precision=fitted.mean * fitted.prior_impressions,
        user_precision=prior_weight(clicks, weighted_counts(training.user, chance, users)),
    )


def _rating_priors(dataset: Dataset) -> Priors:
    """The priors of ratings, whose noise is less than that of a click: see `rating_precision`."""
    training = dataset.training
    items = len(dataset.items)
    precision = rating_precision(training.item, training.clicked, items)
    means = shrunk_means(training.item, training.clicked, items, precision)
    centre = logit(np.array(float(training.clicked.mean())))
    return Priors(
        rank_bias=np.full(MAX_RANK, centre),
        item_bias=logit(means) - centre,
        item_precision=precision,
        user_precision=rating_precision(training.user, training.clicked, len(dataset.users)),
    )


def rating_precision(groups: NDArray[np.int32], shares: NDArray[np.float32], count: int) -> float:
    """The precision of the groups' biases on the logit scale, as beside a log loss over graded shares.

    With the variance w within groups and v between them, by the method of moments, and k = m (1 - m) the slope of the
    sigmoid at the mean m: k w / v. The log loss takes an observation for one of variance k, of which w / k is left.
    """
    values = shares.astype(np.float64)
    sizes = weighted_counts(groups, np.ones(len(groups)), count)
    seen = sizes > 0
    means = weighted_counts(groups, values, count)[seen] / sizes[seen]
    mean, n, found = float(values.mean()), len(values), int(seen.sum())
    squares = float((sizes[seen] * means**2).sum())
    within = max((float((values**2).sum()) - squares) / max(n - found, 1), 1e-6)
    between = (squares - n * mean**2 - (found - 1) * within) / max(n - float((sizes**2).sum()) / n, 1.0)
    return float(np.clip(mean * (1 - mean) * within / max(between, 1e-9), 1e-2, _MOST_WEIGHT))


def shrunk_means(groups: NDArray[np.int32], shares: NDArray[np.float32], count: int, precision: float) -> Doubles:
    """Each group's mean share, shrunk as a bias of that precision is: (count,); the mean of all for an empty one."""
    mean = float(shares.mean())
    weight = precision / max(mean * (1 - mean), _LEAST_RATE)
    sizes = weighted_counts(groups, np.ones(len(groups)), count)
    return np.asarray((weighted_counts(groups, shares, count) + weight * mean) / (sizes + weight))


def weighted_counts(rows: NDArray[np.int32], weights: NDArray[np.floating], count: int) -> Doubles:
    """The sum of the weights of each row from 0 to count - 1: (count,)."""
    return np.bincount(rows, weights=weights, minlength=count).astype(np.float64)


def logit(shares: Doubles) -> Doubles:
    """log(p / (1 - p)), with p kept 1e-6 away from 0 and 1."""
    bounded = np.clip(shares, _LEAST_RATE, 1 - _LEAST_RATE)
    return np.asarray(np.log(bounded / (1 - bounded)))


def residual_biases(
    groups: NDArray[np.int32], count: int, offset: Doubles, clicked: Doubles, precision: float
) -> Doubles:
    """For each of `count` groups, the bias that best explains its clicks beside `offset`: (count,).

    Maximises the log likelihood of sigmoid(offset + bias) less precision/2 · bias², by Newton's method; a group
    without impressions gets 0.
    """
    biases = np.zeros(count)
    for _ in range(_ROUNDS):
        chance = 1 / (1 + np.exp(-(offset + biases[groups])))
        slope = weighted_counts(groups, clicked - chance, count) - precision * biases
        curvature = weighted_counts(groups, chance * (1 - chance), count) + precision
        biases += np.clip(slope / curvature, -1.0, 1.0)
    return biases
