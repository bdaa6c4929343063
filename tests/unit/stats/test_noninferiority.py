import numpy as np
import pytest
from statsmodels.stats.weightstats import ttost_ind

from lamella.errors import InvalidInput
from lamella.stats.estimates import Estimate
from lamella.stats.lift import fieller
from lamella.stats.noninferiority import equivalence, noninferiority
from lamella.stats.undefined import Reason


def pair(rng):
    one, other = rng.normal(10.0, 2.0, 300), rng.normal(9.9, 3.0, 200)
    estimates = [
        Estimate(n=len(each), value=each.mean(), variance=each.var(ddof=1) / len(each)) for each in (one, other)
    ]
    return one, other, estimates


@pytest.mark.parametrize("seed", range(5))
def test_absolute_margins_agree_with_statsmodels(seed):
    one, other, estimates = pair(np.random.default_rng(seed))
    p, lower, upper = ttost_ind(other, one, -0.5, 0.5, usevar="unequal")
    found = equivalence(*estimates, margin=0.5, relative=False)
    assert (found.p, found.p_lower, found.p_upper) == pytest.approx((p, lower[1], upper[1]))
    single = noninferiority(*estimates, margin=0.5, relative=False)
    assert (single.statistic, single.p) == pytest.approx((lower[0], lower[1]))


@pytest.mark.parametrize("seed", range(10))
def test_relative_margins_agree_with_fiellers_interval(seed):
    _, _, estimates = pair(np.random.default_rng(seed))
    lift = fieller(*estimates, alpha=0.05)
    for margin in (0.0, 0.01, 0.03, 0.05):
        assert noninferiority(*estimates, margin=margin).is_noninferior == (lift.low > -margin)
        assert noninferiority(*estimates, margin=margin).is_harmful == (lift.high < -margin)


def test_where_lower_is_better_the_margin_lies_above():
    one, other = Estimate(n=900, value=10.0, variance=0.01), Estimate(n=900, value=10.6, variance=0.01)
    found = noninferiority(one, other, margin=0.05, higher_is_better=False)
    assert found.is_harmful is False
    assert not found.is_noninferior
    assert noninferiority(one, other, margin=0.12, higher_is_better=False).is_noninferior
    assert noninferiority(one, other, margin=0.02, higher_is_better=False).is_harmful


def test_a_margin_of_0_is_the_one_sided_test():
    from lamella.stats.estimates import difference

    _, _, (one, other) = pair(np.random.default_rng(3))
    found, two_sided = noninferiority(one, other, margin=0.0), difference(one, other)
    assert found.p == pytest.approx(two_sided.p / 2 if two_sided.value > 0 else 1 - two_sided.p / 2)


def test_a_control_of_0_still_has_an_answer():
    none, some = Estimate(n=100, value=0.0, variance=0.0), Estimate(n=100, value=0.2, variance=0.002)
    assert noninferiority(none, some, margin=0.02).is_noninferior


def test_undefined_arms_and_negative_margins():
    one = Estimate(n=1, value=1.0, variance=0.1)
    assert noninferiority(one, one, margin=0.1).reason is Reason.TOO_FEW_UNITS
    assert equivalence(one, one, margin=0.1).reason is Reason.TOO_FEW_UNITS
    with pytest.raises(InvalidInput, match="margin"):
        noninferiority(one, one, margin=-0.1)
