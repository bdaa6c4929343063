import numpy as np
import pytest

from lamella.errors import InvalidInput
from lamella.stats.estimates import difference
from lamella.stats.quantiles import clustered_quantile
from lamella.stats.undefined import Reason


def reads(rng, units):
    """Read seconds, some of whose spread is between units; and whose they are."""
    sizes = rng.poisson(4.0, units) + 1
    owner = np.repeat(np.arange(units), sizes)
    return np.exp(rng.normal(2.7, 1.0, len(owner)) + rng.normal(0.0, 0.8, units)[owner]), owner


def test_the_variance_agrees_with_a_bootstrap_over_units():
    rng = np.random.default_rng(1)
    events, owner = reads(rng, 800)
    groups = np.split(events, np.flatnonzero(np.diff(owner)) + 1)
    draws = [np.quantile(np.concatenate([groups[unit] for unit in rng.integers(0, 800, 800)]), 0.9) for _ in range(600)]
    found = clustered_quantile(events, owner, quantile=0.9)
    # 600 draws have a relative error of 2.9 %, the order-statistic variance itself some 15 %.
    assert found.variance**0.5 == pytest.approx(np.std(draws), rel=0.35)
    assert found.n == 800


def test_independent_events_get_the_binomial_variance():
    rng = np.random.default_rng(2)
    events = rng.random(20_000)
    found = clustered_quantile(events, np.arange(20_000), quantile=0.5)
    assert found.value == pytest.approx(0.5, abs=0.02)
    assert found.variance == pytest.approx(0.25 / 20_000, rel=0.25)


def test_it_holds_its_level_between_arms():
    """A/A, 600 runs of 300 units an arm at the 75th percentile; nominal 5 %; false alarms below 1e-4."""
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(600):
        pair = [clustered_quantile(*reads(rng, 300), quantile=0.75) for _ in range(2)]
        alarms += difference(*pair).p < 0.05
    assert 0.02 < alarms / 600 < 0.09


def test_degenerate_events_are_undefined():
    assert clustered_quantile([1.0, 2.0], [7, 7], quantile=0.5).reason is Reason.TOO_FEW_UNITS
    assert clustered_quantile([3.0] * 8, [1, 2, 3, 4] * 2, quantile=0.5).reason is Reason.ZERO_VARIANCE
    assert clustered_quantile([1.0, float("nan")], [1, 2], quantile=0.5).reason is Reason.NOT_FINITE
    assert clustered_quantile([], [], quantile=0.5).reason is Reason.TOO_FEW_UNITS


def test_lists_of_different_length_and_levels_outside_are_refused():
    with pytest.raises(InvalidInput, match="same length"):
        clustered_quantile([1.0, 2.0], [1], quantile=0.5)
    with pytest.raises(InvalidInput, match="quantile"):
        clustered_quantile([1.0], [1], quantile=1.0)
