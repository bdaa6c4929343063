import numpy as np
import pytest
from scipy import stats

from lamella.stats.estimates import Estimate
from lamella.stats.lift import Lift
from lamella.stats.multiplicity import Correction
from lamella.stats.sequential import boundaries
from lamella.stats.standard import Earlier, Judged, Method, Standard, judge_family
from lamella.stats.undefined import Reason, Undefined

CONTROL = Estimate(n=100_000, value=1.0, variance=1e-4)
MIDWAY = Standard(method=Method.GROUP_SEQUENTIAL, information=(0.2, 0.4, 0.6))


def treatment(z):
    """An arm whose difference from CONTROL is z standard errors."""
    return Estimate(n=100_000, value=1.0 + z * 2e-4**0.5, variance=1e-4)


def judged(*z, standard=MIDWAY, correction=Correction.HOLM, earlier=()):
    return judge_family([(CONTROL, treatment(each)) for each in z], standard, correction=correction, earlier=earlier)


def test_a_look_is_judged_at_its_boundary_and_the_level_says_so():
    below, above = judged(2.67)[0], judged(2.70)[0]
    assert not below.is_significant
    assert above.is_significant
    assert above.level == pytest.approx(1 - 2 * stats.norm.sf(2.680), abs=1e-5)
    assert above.difference.low > 0 > below.difference.low


def test_an_early_look_has_a_wide_interval():
    first = judged(4.5, standard=Standard(method=Method.GROUP_SEQUENTIAL, information=(0.2,)))[0]
    assert first.p < 1e-5
    assert not first.is_significant
    assert first.level == pytest.approx(1 - 1.08e-6, abs=1e-7)


def test_a_look_before_anything_is_spent_can_never_be_crossed():
    found = judged(15.0, standard=Standard(method=Method.GROUP_SEQUENTIAL, information=(0.001,)))[0]
    assert not found.is_significant
    assert isinstance(found.lift, Lift)


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("correction", Correction)
@pytest.mark.parametrize("seed", range(6))
def test_interval_lift_p_and_significance_never_contradict(method, correction, seed):
    standard = Standard(method=method, information=(0.3, 0.9))
    for each in judged(*np.random.default_rng(seed).normal(1.5, 2.0, 4), standard=standard, correction=correction):
        assert each.is_significant == (each.p < 1.0 - each.level)
        assert each.is_significant == (each.difference.low > 0 or each.difference.high < 0)
        assert each.is_significant == (not each.lift.contains(0.0))


def test_one_fixed_comparison_is_the_plain_test():
    found = judged(2.0, standard=Standard(method=Method.FIXED_HORIZON))[0]
    assert (found.p, found.level) == (found.difference.p, 0.95)
    assert found.is_significant


def test_several_variants_share_the_level_of_a_look():
    alone, first = judged(2.8)[0], judged(2.8, 0.1, -0.3)[0]
    assert alone.is_significant
    assert not first.is_significant
    assert first.level == pytest.approx(
        1 - 2 * stats.norm.sf(boundaries((0.2, 0.4, 0.6), alpha=0.05 / 3)[-1]), abs=1e-9
    )
    assert first.p_adjusted == pytest.approx(3 * first.p)


def test_holm_goes_on_at_the_next_boundary_after_a_rejection():
    both = judged(9.0, 2.75)
    assert both[0].is_significant
    assert both[1].is_significant
    assert not judged(0.0, 2.75)[1].is_significant


def test_several_variants_and_looks_together_hold_the_level():
    """4,000 runs, three treatments against one control, five looks; at most 5 %; false alarms below 1e-6."""
    shares = (0.2, 0.4, 0.6, 0.8, 1.0)
    steps = np.random.default_rng(1).normal(0.0, np.sqrt(0.2), (4000, 5, 4))
    walks = np.cumsum(steps, axis=1)
    z = (walks[:, :, 1:] - walks[:, :, :1]) / np.sqrt(2.0 * np.array(shares))[None, :, None]
    limits = boundaries(shares, alpha=0.05 / 3)
    assert (np.abs(z).max(axis=2) > limits).any(axis=1).mean() < 0.066


def test_an_undefined_pair_stays_out_and_does_not_lose_the_others():
    lonely = Estimate(n=1, value=2.0, variance=float("nan"))
    found = judge_family([(CONTROL, lonely), (CONTROL, treatment(2.9))], MIDWAY, correction=Correction.HOLM)
    assert isinstance(found[0], Undefined)
    assert found[0].reason is Reason.TOO_FEW_UNITS
    assert isinstance(found[1], Judged)
    assert found[1].p_adjusted == found[1].p
    assert judge_family([], MIDWAY) == ()


def test_an_always_valid_p_never_rises_and_intervals_never_widen():
    standard = Standard(method=Method.ALWAYS_VALID)
    then = judged(4.0, standard=standard)[0]
    kept = Earlier(
        p=then.p,
        level=then.level,
        difference=(then.difference.low, then.difference.high),
        lift=then.lift.interval,
    )
    now = judged(2.5, standard=standard, earlier=[kept])[0]
    assert now.p == then.p < 0.05
    assert now.is_significant
    assert now.difference.low == then.difference.low > 0
    assert now.lift.low == then.lift.low > 0


def test_intervals_that_do_not_meet_are_not_cut():
    standard = Standard(method=Method.ALWAYS_VALID)
    far = Earlier(p=1e-9, level=0.95, difference=(5.0, 6.0), lift=(5.0, 6.0))
    now = judged(0.0, standard=standard, earlier=[far])[0]
    assert now.difference.low < 0 < now.difference.high


def test_other_methods_ignore_what_came_before():
    kept = Earlier(p=1e-9, level=0.95, difference=(1.0, 2.0))
    assert judged(1.0, standard=Standard(method=Method.FIXED_HORIZON), earlier=[kept])[0].p > 0.3
