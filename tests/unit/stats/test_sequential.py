import numpy as np
import pytest
from scipy import stats

from lamella.errors import InvalidInput
from lamella.stats.sequential import Spending, boundaries, crossing, inflation, spent

FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)


def test_five_equal_looks_have_the_published_obrien_fleming_boundaries():
    # Lan and DeMets; the same numbers in R's gsDesign (sfLDOF) and in ldbounds.
    assert boundaries(FIVE) == pytest.approx((4.877, 3.357, 2.680, 2.290, 2.031), abs=5e-4)


def test_five_equal_looks_have_the_published_pocock_boundaries():
    assert boundaries(FIVE, spending=Spending.POCOCK) == pytest.approx((2.438, 2.427, 2.410, 2.397, 2.386), abs=5e-4)


def test_one_look_is_the_fixed_test():
    assert boundaries([1.0]) == pytest.approx((stats.norm.isf(0.025),))
    assert inflation(1) == pytest.approx(1.0)


@pytest.mark.parametrize("shares", [(0.07, 0.3, 0.31, 0.9, 1.0), (0.5, 1.0), tuple(np.arange(1, 31) / 30)])
@pytest.mark.parametrize("spending", Spending)
def test_looks_at_any_shares_spend_exactly_alpha(shares, spending):
    assert crossing(shares, boundaries(shares, spending=spending)).total == pytest.approx(0.05, abs=1e-8)


def test_a_plan_that_ends_early_has_spent_what_its_share_allows():
    shares = (0.2, 0.45, 0.7)
    assert crossing(shares, boundaries(shares, alpha=0.01)).total == pytest.approx(spent(0.7, alpha=0.01), rel=1e-6)


def test_a_boundary_depends_only_on_the_looks_up_to_it():
    assert boundaries(FIVE)[:3] == pytest.approx(boundaries(FIVE[:3]))


def test_the_spent_alpha_as_the_level_of_each_look_is_wrong():
    levels = [spent(share) for share in FIVE]
    naive = [float(stats.norm.isf(level / 2)) for level in levels]
    assert crossing(FIVE, naive).total > 0.055


def test_crossing_agrees_with_the_multivariate_normal():
    shares, limits = (0.3, 0.7, 1.0), (2.5, 2.2, 2.0)
    covariance = [[min(a, b) / np.sqrt(a * b) for b in shares] for a in shares]
    law = stats.multivariate_normal(mean=[1.5 * np.sqrt(share) for share in shares], cov=covariance)
    stays = law.cdf(limits, lower_limit=[-limit for limit in limits], rng=np.random.default_rng(1))
    assert crossing(shares, limits, drift=1.5).total == pytest.approx(1.0 - stays, abs=5e-5)


def test_a_negative_drift_mirrors_a_positive_one():
    up, down = (crossing(FIVE, boundaries(FIVE), drift=drift) for drift in (2.0, -2.0))
    assert up.upper == pytest.approx(down.lower)
    assert up.lower == pytest.approx(down.upper)


def test_the_price_of_five_looks_is_the_published_one():
    # METHODS: 1.025 for O'Brien-Fleming and 1.212 for Pocock spending.
    assert inflation(5) == pytest.approx(1.025, abs=0.002)
    assert inflation(5, spending=Spending.POCOCK) == pytest.approx(1.212, abs=0.003)


def test_inflated_units_have_the_wanted_power():
    limits = boundaries(FIVE)
    drift = (stats.norm.isf(0.025) + stats.norm.isf(0.2)) * inflation(5) ** 0.5
    assert sum(crossing(FIVE, limits, drift=drift).upper) == pytest.approx(0.8, abs=1e-6)


def test_a_look_that_is_too_early_cannot_be_crossed():
    found = boundaries([0.001, 1.0])
    assert found[0] == float("inf")
    assert found[1] == pytest.approx(stats.norm.isf(0.025))
    assert crossing([0.001, 1.0], found).upper[0] < 1e-280


def test_peeking_at_random_walks_holds_the_level():
    """20,000 walks, five looks; nominal 5 %; false alarms of this test below 1e-5."""
    steps = np.random.default_rng(3).normal(0.0, np.sqrt(0.2), (20_000, 5))
    z = np.cumsum(steps, axis=1) / np.sqrt(FIVE)
    assert 0.043 < (np.abs(z) > boundaries(FIVE)).any(axis=1).mean() < 0.057


@pytest.mark.parametrize("shares", [[], [0.0, 1.0], [0.5, 0.5], [0.8, 0.4], [0.5, 1.2], [float("nan")]])
def test_looks_that_do_not_rise_within_0_to_1_are_refused(shares):
    with pytest.raises(InvalidInput, match="rise strictly"):
        boundaries(shares)


def test_impossible_questions_are_refused():
    with pytest.raises(InvalidInput, match="at least 1"):
        inflation(0)
    with pytest.raises(InvalidInput, match="boundaries above 0"):
        crossing([0.5, 1.0], [2.0])
    with pytest.raises(InvalidInput, match="information"):
        spent(1.5)
