import numpy as np
import pytest
from scipy import stats

from lamella.stats.estimates import Estimate, difference
from lamella.stats.means import mean, welch
from lamella.stats.moments import Moments
from lamella.stats.undefined import Reason, Undefined


def column(values):
    return Moments.from_rows(("x",), np.reshape(values, (-1, 1)))


@pytest.mark.parametrize("sizes", [(2, 2), (5, 40), (300, 300)])
def test_welch_agrees_with_scipy(sizes):
    rng = np.random.default_rng(7)
    one, other = rng.gamma(1.0, 2.0, sizes[0]), rng.gamma(1.2, 3.0, sizes[1])
    found = welch(column(one), column(other), "x")
    expected = stats.ttest_ind(other, one, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-10)
    assert found.df == pytest.approx(expected.df, rel=1e-10)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.value == pytest.approx(other.mean() - one.mean(), rel=1e-10)


def test_values_near_1e9_with_variance_1_give_the_same_p_as_without_the_offset():
    rng = np.random.default_rng(8)
    one, other = rng.normal(0.0, 1.0, 400).round(2), rng.normal(0.3, 1.0, 400).round(2)
    far = welch(column(one + 1e9), column(other + 1e9), "x")
    assert far.p == pytest.approx(welch(column(one), column(other), "x").p, rel=1e-3)


def test_negative_means_are_compared_like_any_other():
    found = welch(column([-3.0, -1.0, -2.0]), column([-5.0, -7.0, -6.0]), "x")
    assert found.value == pytest.approx(-4.0)
    assert found.p < 0.05


def test_one_unit_in_an_arm_is_undefined():
    found = welch(column([1.0]), column([1.0, 2.0]), "x")
    assert isinstance(found, Undefined)
    assert found.reason is Reason.TOO_FEW_UNITS
    assert "control has 1 unit" in found.detail


def test_no_units_are_undefined():
    assert mean(Moments.empty(("x",)), "x") == Undefined(Reason.TOO_FEW_UNITS, "the arm has no units")


def test_two_constant_arms_are_undefined_even_where_they_differ():
    assert welch(column([0.1, 0.1, 0.1]), column([0.3, 0.3]), "x").reason is Reason.ZERO_VARIANCE


def test_zero_clicks_in_control_still_give_a_difference():
    found = welch(column(np.zeros(50)), column([0.0, 1.0] * 25), "x")
    assert found.value == 0.5
    assert found.p < 1e-6


def test_a_value_that_is_not_finite_is_undefined():
    assert welch(column([1.0, float("nan")]), column([1.0, 2.0]), "x").reason is Reason.NOT_FINITE


def test_a_tiny_share_does_not_underflow():
    one, other = Estimate(n=10**6, value=2e-5, variance=2e-11), Estimate(n=10**6, value=3e-5, variance=3e-11)
    tiny = difference(
        Estimate(n=10**6, value=2e-205, variance=2e-311), Estimate(n=10**6, value=3e-205, variance=3e-311)
    )
    assert tiny.df == pytest.approx(difference(one, other).df)


def test_the_z_of_a_difference_keeps_sign_and_p():
    found = welch(column([3.0, 4.0, 5.0, 9.0]), column([1.0, 2.0, 0.0, 1.0]), "x")
    assert found.z < 0
    assert 2 * stats.norm.sf(abs(found.z)) == pytest.approx(found.p)
    assert not found.is_significant or found.high < 0
