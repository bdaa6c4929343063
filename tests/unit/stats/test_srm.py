import math

import numpy as np
import pytest
from scipy import stats

from lamella.stats.srm import THRESHOLD, sample_ratio, sequential_sample_ratio
from lamella.stats.undefined import Reason


def test_large_arms_agree_with_scipys_chi_squared():
    found = sample_ratio({"a": 50_450, "b": 25_010, "c": 24_540}, {"a": 50, "b": 25, "c": 25})
    expected = stats.chisquare([50_450, 25_010, 24_540], [50_000, 25_000, 25_000]).pvalue
    assert found.method == "chi_squared"
    assert found.p == pytest.approx(expected, rel=1e-9)


def test_two_small_arms_agree_with_scipys_exact_test():
    found = sample_ratio({"a": 9, "b": 1}, {"a": 95, "b": 5})
    assert found.method == "exact"
    assert found.p == pytest.approx(stats.binomtest(9, 10, 0.95).pvalue)


def test_three_small_arms_are_exact_by_enumeration():
    weights, total = {"a": 2, "b": 1, "c": 1}, 6
    law = stats.multinomial(total, [0.5, 0.25, 0.25])
    own = law.pmf([1, 1, 4])
    expected = sum(
        law.pmf([a, b, total - a - b])
        for a in range(total + 1)
        for b in range(total + 1 - a)
        if law.pmf([a, b, total - a - b]) <= own * (1 + 1e-9)
    )
    found = sample_ratio({"a": 1, "b": 1, "c": 4}, weights)
    assert found.method == "exact"
    assert found.p == pytest.approx(expected)


def test_a_split_that_is_not_equal_is_held_against_its_own_weights():
    assert sample_ratio({"a": 9_500, "b": 500}, {"a": 95, "b": 5}).is_sound
    assert not sample_ratio({"a": 9_500, "b": 500}, {"a": 50, "b": 50}).is_sound


def test_units_in_an_arm_of_weight_0_are_a_fault_of_the_configuration():
    found = sample_ratio({"a": 100, "b": 100, "off": 3}, {"a": 1, "b": 1, "off": 0})
    assert found.misplaced == ("off",)
    assert found.p == 1.0
    assert not found.is_sound
    assert sample_ratio({"a": 100, "b": 100, "ghost": 3}, {"a": 1, "b": 1}).misplaced == ("ghost",)


def test_an_arm_that_lost_all_its_units_is_seen():
    assert not sample_ratio({"a": 40}, {"a": 1, "b": 1}).is_sound


def test_nothing_to_compare_is_undefined():
    assert sample_ratio({}, {"a": 1, "b": 1}).reason is Reason.TOO_FEW_UNITS
    assert sample_ratio({"a": 5}, {"a": 1, "b": 0}).reason is Reason.TOO_FEW_ARMS
    assert sequential_sample_ratio([], {"a": 1, "b": 1}).reason is Reason.TOO_FEW_UNITS
    assert sequential_sample_ratio([{"a": 1}], {"a": 1}).reason is Reason.TOO_FEW_ARMS


def test_the_exact_test_holds_its_level_at_every_size():
    """Exact: the probability of p < 0.001 under the promised split, added up over all outcomes."""
    for total in (5, 50, 500):
        outcomes = np.arange(total + 1)
        law = stats.binom(total, 0.95).pmf(outcomes)
        alarms = [sample_ratio({"a": int(k), "b": int(total - k)}, {"a": 95, "b": 5}).p < 0.001 for k in outcomes]
        assert law[alarms].sum() <= 0.001


def test_the_sequential_p_is_the_smallest_inverse_bayes_factor():
    # One look, two arms: BF = B(kθ + c) / B(kθ) / Πθ^c, written out with gamma functions.
    def ln_beta(a, b):
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    counts, prior = (60, 30), (5.0, 5.0)
    ln_factor = ln_beta(65.0, 35.0) - ln_beta(*prior) - 90 * math.log(0.5)
    found = sequential_sample_ratio([dict(zip("ab", counts, strict=True))], {"a": 1, "b": 1}, concentration=10.0)
    assert found == pytest.approx(math.exp(-ln_factor), rel=1e-9)
    later = sequential_sample_ratio([{"a": 60, "b": 30}, {"a": 500, "b": 500}], {"a": 1, "b": 1}, concentration=10.0)
    assert later == pytest.approx(found)


def test_the_sequential_test_may_be_watched_all_the_time():
    """A/A, 400 runs watched at 100 moments; nominal at most 5 %; false alarms of this test below 1e-5."""
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(400):
        counts = np.cumsum(rng.multinomial(300, [0.25, 0.25, 0.5], 100), axis=0)
        looks = [{"a": int(a), "b": int(b), "c": int(c)} for a, b, c in counts]
        alarms += sequential_sample_ratio(looks, {"a": 1, "b": 1, "c": 2}, concentration=500.0) < 0.05
    assert alarms / 400 < 0.1


READERS, LOOKS, EXPERIMENTS = 20_000, 5_000, 20_000
AT_SOME_LOOK = {1: 0.00115, 14: 0.0064, 336: 0.0181, 5_000: 0.0269}
"""The table of docs/statistics.md: how often the test fails at one of so many looks, with nothing wrong."""


def first_gaps(readers):
    """The smallest difference of two equal arms at which the test fails, for each number of readers."""
    exact = readers - 2 * (stats.binom.ppf(THRESHOLD / 2, readers, 0.5).astype(int) - 1)
    chi_squared = np.sqrt(stats.chi2.isf(THRESHOLD, 1) * readers)
    return np.where(readers <= 10_000, exact, chi_squared)


def test_the_more_often_the_ratio_is_looked_at_the_more_often_chance_alone_fails_it():
    readers = np.arange(1, LOOKS + 1) * (READERS // LOOKS)
    gaps = first_gaps(readers)
    for total, gap in list(zip(readers.tolist(), gaps.tolist(), strict=True))[9::250]:
        both = 2 * math.ceil(gap / 2), 2 * math.ceil(gap / 2) - 2
        p = [sample_ratio({"a": (total + d) // 2, "b": (total - d) // 2}, {"a": 1, "b": 1}).p for d in both]
        assert p[0] < THRESHOLD <= p[1]
    rng = np.random.default_rng(7)
    heads = np.array([number.bit_count() for number in range(16)], dtype=np.int16)
    failed = dict.fromkeys(AT_SOME_LOOK, 0)
    for _ in range(EXPERIMENTS // 1_000):
        arm = np.cumsum(heads[rng.integers(0, 16, size=(1_000, LOOKS), dtype=np.uint8)], axis=1, dtype=np.int32)
        fails = np.abs(2 * arm - readers) >= gaps
        for looks in failed:
            at = np.linspace(0, LOOKS, looks + 1)[1:].round().astype(int) - 1
            failed[looks] += int(fails[:, at].any(axis=1).sum())
    assert {looks: count / EXPERIMENTS for looks, count in failed.items()} == AT_SOME_LOOK


@pytest.mark.parametrize(("readers", "fixed", "sequential"), [(1_000, 0.553, 0.696), (100_000, 0.5052, 0.5067)])
def test_the_sequential_form_sees_large_mismatches_only(readers, fixed, sequential):
    """The smallest share of one of two equal arms that each finds."""

    def smallest(p_of):
        return next(k for k in range(readers // 2, readers) if p_of({"a": k, "b": readers - k}) < THRESHOLD) / readers

    assert smallest(lambda units: sample_ratio(units, {"a": 1, "b": 1}).p) == pytest.approx(fixed, abs=6e-5)
    watched = smallest(lambda units: sequential_sample_ratio([units], {"a": 1, "b": 1}))
    assert watched == pytest.approx(sequential, abs=6e-5)
