import math

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lamella.stats.estimates import Estimate, difference
from lamella.stats.lift import fieller
from lamella.stats.means import welch
from lamella.stats.moments import Moments
from lamella.stats.ratios import Form, compare_ratios
from lamella.stats.undefined import Undefined

NAMES = ("x", "d")


def arms(low=0, high=50):
    """Rows of a numerator and a denominator, as unit-level counts."""
    counts = st.integers(low, high).map(float)
    return hnp.arrays(np.float64, st.tuples(st.integers(2, 30), st.just(2)), elements=counts)


def moments(rows):
    return Moments.from_rows(NAMES, rows)


def estimates():
    return st.builds(Estimate, n=st.integers(2, 10**6), value=st.floats(-100.0, 100.0), variance=st.floats(1e-6, 100.0))


@settings(deadline=None)
@given(arms(), arms(), st.sampled_from(Form))
def test_swapping_the_arms_turns_the_sign_and_keeps_p(one, other, form):
    there = compare_ratios(moments(one), moments(other), *NAMES, form=form)
    back = compare_ratios(moments(other), moments(one), *NAMES, form=form)
    if isinstance(there, Undefined):
        assert isinstance(back, Undefined)
        return
    assert math.isclose(there.value, -back.value, abs_tol=1e-12)
    assert math.isclose(there.p, back.p, rel_tol=1e-6)
    assert math.isclose(there.low, -back.high, rel_tol=1e-6, abs_tol=1e-9)


@settings(deadline=None)
@given(arms(), arms(), st.integers(-30, 30), st.integers(-30, 30))
def test_the_units_of_numerator_and_denominator_play_no_part(one, other, up, down):
    scale = np.array([2.0**up, 2.0**down])
    plain = compare_ratios(moments(one), moments(other), *NAMES)
    scaled = compare_ratios(moments(one * scale), moments(other * scale), *NAMES)
    if isinstance(plain, Undefined):
        assert scaled == plain
    else:
        assert math.isclose(scaled.p, plain.p, rel_tol=1e-6)
        assert math.isclose(scaled.value, plain.value * 2.0 ** (up - down), rel_tol=1e-9, abs_tol=1e-300)


@settings(deadline=None)
@given(arms(), arms(), st.floats(-1e6, 1e6))
def test_an_offset_of_all_values_leaves_the_difference_of_means(one, other, offset):
    plain, moved = (
        welch(moments(one + shift), moments(other + shift), "x") for shift in (0.0, float(np.round(offset)))
    )
    if isinstance(plain, Undefined):
        assert isinstance(moved, Undefined)
    else:
        assert math.isclose(plain.p, moved.p, rel_tol=1e-6)


@settings(deadline=None)
@given(arms(), arms(), st.integers(1, 29))
def test_merged_moments_give_what_all_rows_at_once_give(one, other, cut):
    merged = moments(one[:cut]) + moments(one[cut:])
    np.testing.assert_allclose(merged.mean, moments(one).mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(merged.cross, moments(one).cross, rtol=1e-9, atol=1e-9)
    whole = compare_ratios(moments(one), moments(other), *NAMES)
    parts = compare_ratios(merged, moments(other), *NAMES)
    if isinstance(whole, Undefined):
        assert isinstance(parts, Undefined)
    else:
        assert math.isclose(whole.p, parts.p, rel_tol=1e-6)


@settings(deadline=None)
@given(arms(), arms(), arms())
def test_merging_is_commutative_and_associative(one, two, three):
    a, b, c = moments(one), moments(two), moments(three)
    np.testing.assert_allclose(((a + b) + c).cross, (a + (b + c)).cross, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose((a + b).cross, (b + a).cross, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(estimates(), estimates(), st.sampled_from([0.2, 0.05, 0.001]))
def test_the_lift_excludes_0_exactly_when_p_is_below_alpha(control, treatment, alpha):
    tested, lift = difference(control, treatment, alpha=alpha), fieller(control, treatment, alpha=alpha)
    assume(not isinstance(lift, Undefined))
    # At the very edge rounding decides.
    assume(abs(tested.p - alpha) > 1e-9 * alpha)
    assert lift.contains(0.0) == (not tested.is_significant)
    assert (tested.low <= 0.0 <= tested.high) == (not tested.is_significant)


@settings(deadline=None)
@given(estimates(), estimates())
def test_the_observed_lift_lies_in_its_own_set(control, treatment):
    lift = fieller(control, treatment)
    assume(not isinstance(lift, Undefined))
    nearby = math.isclose(lift.value, lift.low, rel_tol=1e-6) or math.isclose(lift.value, lift.high, rel_tol=1e-6)
    assert lift.contains(lift.value) or nearby


@settings(deadline=None)
@given(estimates(), estimates())
def test_a_comparison_never_raises_and_its_p_is_a_probability(control, treatment):
    found = difference(control, treatment)
    assert 0.0 <= found.p <= 1.0
    assert found.log10_p <= 0.0
    assert math.isfinite(found.log10_p)
    assert found.low <= found.value <= found.high


@settings(deadline=None)
@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(0, 5), st.just(2)),
        elements=st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, 1e9, 1e-9])),
    ),
    arms(),
)
def test_whatever_the_input_the_engine_answers_and_never_raises(odd, sound):
    with np.errstate(all="ignore"):
        one, other = moments(odd), moments(sound)
        for found in (welch(one, other, "x"), compare_ratios(one, other, *NAMES), compare_ratios(other, one, *NAMES)):
            assert isinstance(found, Undefined) or 0.0 <= found.p <= 1.0
