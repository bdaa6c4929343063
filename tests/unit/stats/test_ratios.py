import numpy as np
import pytest
from scipy import stats

from lamella.stats.moments import Moments
from lamella.stats.ratios import Form, compare_ratios, ratio, suitable_form
from lamella.stats.undefined import Reason, Undefined
from reader_samples import COLUMNS, arm, readers


def test_by_hand():
    # clicks 1 0 3, impressions 10 4 6: R = 0.2, residuals -1 -0.8 1.8 over mean(d) = 20/3; variance 2.44/9/(20/3)².
    found = ratio(Moments.from_rows(COLUMNS, [[1, 10], [0, 4], [3, 6]]), *COLUMNS)
    assert found.value == pytest.approx(0.2)
    assert found.variance == pytest.approx((1.0 + 0.64 + 3.24) / 2 / (20 / 3) ** 2 / 3)


@pytest.mark.parametrize("form", Form)
def test_it_is_welch_on_the_linearised_values(form):
    rng = np.random.default_rng(3)
    one, other = readers(rng, 900), readers(rng, 700, lift=0.2)
    pooled = (one[:, 0].sum() + other[:, 0].sum()) / (one[:, 1].sum() + other[:, 1].sum())
    values = []
    for rows in (one, other):
        own = rows[:, 0].sum() / rows[:, 1].sum()
        at = pooled if form is Form.SCORE else own
        residuals = (rows[:, 0] - at * rows[:, 1]) / rows[:, 1].mean()
        values.append(own + residuals - residuals.mean())
    expected = stats.ttest_ind(values[1], values[0], equal_var=False)
    found = compare_ratios(Moments.from_rows(COLUMNS, one), Moments.from_rows(COLUMNS, other), *COLUMNS, form=form)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)


def test_the_delta_variance_agrees_with_the_bootstrap():
    rng = np.random.default_rng(4)
    rows = readers(rng, 2000)
    draws = rows[rng.integers(0, len(rows), (2000, len(rows)))].sum(axis=1)
    found = ratio(Moments.from_rows(COLUMNS, rows), *COLUMNS)
    # 2,000 draws: the bootstrap deviation has a relative error of 1.6 %; 6 of those.
    assert found.variance**0.5 == pytest.approx((draws[:, 0] / draws[:, 1]).std(), rel=0.1)


def test_units_without_impressions_count():
    rows = [[1, 10], [0, 4], [3, 6], [2, 9]]
    bare = ratio(Moments.from_rows(COLUMNS, rows), *COLUMNS)
    found = ratio(Moments.from_rows(COLUMNS, [*rows, [0, 0], [0, 0]]), *COLUMNS)
    assert found.n == 6
    assert found.value == pytest.approx(bare.value)
    assert found.variance == pytest.approx(bare.variance * (3 / 4) / (5 / 6))


def test_no_denominator_is_undefined():
    nothing = Moments.from_rows(COLUMNS, [[0, 0], [0, 0]])
    assert ratio(nothing, *COLUMNS).reason is Reason.NO_DENOMINATOR
    assert compare_ratios(nothing, nothing, *COLUMNS).reason is Reason.NO_DENOMINATOR
    assert ratio(Moments.empty(COLUMNS), *COLUMNS).reason is Reason.TOO_FEW_UNITS


def test_zero_clicks_in_both_arms_are_undefined_and_in_one_a_number():
    rng = np.random.default_rng(5)
    none = Moments.from_rows(COLUMNS, np.column_stack([np.zeros(400), rng.integers(1, 9, 400)]))
    assert compare_ratios(none, none, *COLUMNS).reason is Reason.ZERO_VARIANCE
    found = compare_ratios(none, arm(rng, 400), *COLUMNS)
    assert found.value > 0
    assert 0.0 < found.p < 1e-3


def test_a_ratio_that_is_the_same_for_every_unit_has_no_variance():
    rows = np.arange(1, 400, dtype=float)
    same = Moments.from_rows(COLUMNS, np.column_stack([rows * 0.1, rows]))
    assert isinstance(compare_ratios(same, same, *COLUMNS), Undefined)


def test_small_and_unequal_arms_get_the_score_form():
    rng = np.random.default_rng(6)
    large, small = arm(rng, 5700), arm(rng, 300)
    assert suitable_form(large, large) is Form.DELTA
    assert suitable_form(large, small) is Form.SCORE
    assert suitable_form(arm(rng, 299), arm(rng, 299)) is Form.SCORE


def test_a_test_over_impressions_would_be_wrong_and_the_one_over_units_is_not():
    """A/A, 1,500 runs of 1,000 readers an arm: false-alarm rate of this test itself below 1e-5."""
    rng = np.random.default_rng(11)
    over_units = over_impressions = 0
    for _ in range(1500):
        one, other = arm(rng, 1000), arm(rng, 1000)
        found = compare_ratios(one, other, *COLUMNS)
        over_units += found.p < 0.05
        shown = one.sum_of("impressions"), other.sum_of("impressions")
        share = (one.sum_of("clicks") + other.sum_of("clicks")) / sum(shown)
        error = (share * (1 - share) * (1 / shown[0] + 1 / shown[1])) ** 0.5
        over_impressions += abs(found.value / error) > 1.959964
    assert 0.027 < over_units / 1500 < 0.075
    assert over_impressions / 1500 > 0.12


def test_the_score_form_is_nearer_its_level_in_a_95_to_5_split():
    """A/A, 3,000 runs of 1,900 and 100 readers; delta rejects near 8 %, score near 6.5 %; false alarms below 1e-4."""
    rng = np.random.default_rng(12)
    delta = score = 0
    for _ in range(3000):
        one, other = arm(rng, 1900), arm(rng, 100)
        delta += compare_ratios(one, other, *COLUMNS, form=Form.DELTA).p < 0.05
        score += compare_ratios(one, other, *COLUMNS).p < 0.05
    assert score < delta
    assert score / 3000 < 0.085
