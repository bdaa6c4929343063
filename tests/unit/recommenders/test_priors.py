"""Click rates, freed of their positions and shrunk."""

import numpy as np
import pytest

from lamella.recommenders.dataset import Impressions
from lamella.recommenders.priors import prior_weight, residual_biases, smoothed_rates

RNG_SEED = 5


def impressions(item: np.ndarray, rank: np.ndarray, clicked: np.ndarray) -> Impressions:
    return Impressions(
        user=np.zeros(len(item), dtype=np.int32),
        item=item.astype(np.int32),
        rank=rank.astype(np.int32),
        clicked=clicked.astype(np.float32),
    )


def test_examination_and_rates_are_told_apart() -> None:
    rng = np.random.default_rng(RNG_SEED)
    n, rates, examination = 200_000, np.array([0.1, 0.2, 0.4]), np.array([1.0, 0.5, 0.25])
    item, rank = rng.integers(0, 3, n), rng.integers(0, 3, n)
    rank = np.where(item == 2, np.maximum(rank, rng.integers(0, 3, n)), rank)
    found = smoothed_rates(impressions(item, rank, rng.random(n) < rates[item] * examination[rank]), 3)
    assert found.rates == pytest.approx(rates, rel=0.05)
    assert found.examination == pytest.approx(examination, rel=0.05)


def test_a_given_prior_shrinks_towards_the_mean_as_written() -> None:
    item, clicked = np.repeat([0, 1], 10), np.repeat([1, 0], [5, 15])
    found = smoothed_rates(impressions(item, np.zeros(20), clicked), 2, 10)
    assert found.rates == pytest.approx([(5 + 10 * 0.25) / 20, (0 + 10 * 0.25) / 20])


def test_an_item_that_was_never_shown_has_the_mean_rate() -> None:
    found = smoothed_rates(impressions(np.array([0, 0]), np.zeros(2), np.array([1, 0])), 3, 4)
    assert found.rates[2] == pytest.approx(found.mean)


@pytest.mark.parametrize("favours_the_good", [False, True])
def test_the_prior_weight_is_the_mean_over_the_variance_even_where_good_items_are_shown_more(
    favours_the_good: bool,
) -> None:
    rng = np.random.default_rng(RNG_SEED)
    shape, mean = 4.0, 0.05
    rates = rng.gamma(shape, mean / shape, 20_000)
    exposure = np.where(favours_the_good & (rates > mean), 200.0, 40.0)
    clicks = rng.poisson(rates * exposure).astype(np.float64)
    weights = np.repeat(rates, exposure.astype(int))
    assert prior_weight(clicks, exposure) == pytest.approx(weights.mean() / weights.var(), rel=0.15)


def test_counts_that_vary_no_more_than_noise_get_the_heaviest_prior() -> None:
    assert prior_weight(np.array([2.0, 2.0, 2.0]), np.array([100.0, 100.0, 100.0])) == 1e6


def test_a_residual_bias_solves_its_own_equation_and_is_0_without_impressions() -> None:
    rng = np.random.default_rng(RNG_SEED)
    groups, offset = rng.integers(0, 2, 500).astype(np.int32), rng.normal(size=500)
    clicked = (rng.random(500) < 0.3).astype(np.float64)
    biases = residual_biases(groups, 3, offset, clicked, 2.0)
    for group in (0, 1):
        rows = groups == group
        chance = 1 / (1 + np.exp(-(offset[rows] + biases[group])))
        assert (clicked[rows] - chance).sum() == pytest.approx(2.0 * biases[group], abs=1e-8)
    assert biases[2] == 0
