import numpy as np
import pytest
import statsmodels.api as sm

from lamella.stats.cuped import adjusted_means, adjusted_ratios, with_missing_indicator
from lamella.stats.estimates import difference
from lamella.stats.means import welch
from lamella.stats.moments import Moments
from lamella.stats.ratios import Form, compare_ratios
from lamella.stats.undefined import Reason, Undefined

NAMES = ("y", "x", "w")


def sample(rng, units, effect=0.0):
    x, w = rng.gamma(2.0, 1.0, units), rng.normal(size=units)
    return np.column_stack([1.0 + effect + 0.8 * x - 0.5 * w + rng.normal(size=units), x, w])


def pair(rng, effect=0.2, units=(600, 500)):
    return sample(rng, units[0]), sample(rng, units[1], effect)


def moments(*arms):
    return [Moments.from_rows(NAMES, rows) for rows in arms]


@pytest.mark.parametrize("covariates", [["x"], ["x", "w"]])
def test_the_difference_is_the_least_squares_coefficient_of_statsmodels(covariates):
    one, other = pair(np.random.default_rng(1))
    rows = np.vstack([one, other])
    arm = np.r_[np.zeros(len(one)), np.ones(len(other))]
    columns = [rows[:, NAMES.index(name)] for name in covariates]
    fit = sm.OLS(rows[:, 0], sm.add_constant(np.column_stack([arm, *columns]))).fit()
    found = adjusted_means(*moments(one, other), "y", covariates)
    assert found.treatment.value - found.control.value == pytest.approx(fit.params[1], rel=1e-10)
    assert found.coefficients == pytest.approx(fit.params[2:], rel=1e-9)
    robust = fit.get_robustcov_results("HC1").bse[1]
    assert difference(found.control, found.treatment).standard_error == pytest.approx(robust, rel=0.02)


def test_the_variance_falls_by_the_squared_correlation():
    one, other = pair(np.random.default_rng(2), effect=0.0, units=(20_000, 20_000))
    found = adjusted_means(*moments(one, other), "y", ["x"])
    assert found.variance_reduction == pytest.approx(np.corrcoef(one[:, 0], one[:, 1])[0, 1] ** 2, abs=0.02)
    assert welch(*moments(one, other), "y").standard_error > difference(found.control, found.treatment).standard_error


def test_the_scale_of_a_covariate_plays_no_part():
    one, other = pair(np.random.default_rng(3))
    plain = adjusted_means(*moments(one, other), "y", ["x", "w"])
    scale = np.array([1.0, 1e-9, 1e7])
    scaled = adjusted_means(*moments(one * scale, other * scale), "y", ["x", "w"])
    assert scaled.treatment.value == pytest.approx(plain.treatment.value, rel=1e-9)


def test_a_covariate_given_twice_or_constant_changes_nothing():
    one, other = pair(np.random.default_rng(4))
    plain = adjusted_means(*moments(one, other), "y", ["x"])
    twice = adjusted_means(*moments(one, other), "y", ["x", "x"])
    assert twice.treatment.value == pytest.approx(plain.treatment.value, rel=1e-9)
    one[:, 2] = other[:, 2] = 1.0
    constant = adjusted_means(*moments(one, other), "y", ["x", "w"])
    assert constant.treatment.value == pytest.approx(plain.treatment.value, rel=1e-12)
    assert constant.coefficients[1] == 0.0


def test_no_covariate_that_varies_and_a_nan_are_undefined():
    one, other = pair(np.random.default_rng(5))
    one[:, 1] = other[:, 1] = 0.0
    found = adjusted_means(*moments(one, other), "y", ["x"])
    assert isinstance(found, Undefined)
    assert found.reason is Reason.MISSING_COVARIATE
    one[3, 1] = float("nan")
    assert adjusted_means(*moments(one, other), "y", ["x"]).reason is Reason.MISSING_COVARIATE


def test_an_arm_without_units_is_undefined():
    one, _ = pair(np.random.default_rng(6))
    assert adjusted_means(*moments(one, np.empty((0, 3))), "y", ["x"]).reason is Reason.TOO_FEW_UNITS


def ratio_rows(rng, units, *, known=1.0):
    rate = rng.beta(2.0, 20.0, units)
    pages, before = np.ceil(np.exp(rng.normal(1.5, 0.7, (2, units))))
    seen = rng.random(units) < known
    pre = rng.binomial(before.astype(int), rate) * seen
    return np.column_stack([rng.binomial(pages.astype(int), rate), pages, pre, before * seen, seen]).astype(float)


RATIO = ("clicks", "impressions", "pre_clicks", "pre_impressions", "has_pre")


def adjusted_ratio(one, other, form=None):
    covariates = [("pre_clicks", "pre_impressions"), "has_pre"]
    arms = (Moments.from_rows(RATIO, rows) for rows in (one, other))
    return adjusted_ratios(*arms, "clicks", "impressions", covariates, form=form)


def test_a_ratio_is_adjusted_by_its_linearised_past():
    rng = np.random.default_rng(7)
    one, other = ratio_rows(rng, 4000), ratio_rows(rng, 4000)
    # By hand, unit by unit.
    values, past = [], []
    pooled = (one[:, 2].sum() + other[:, 2].sum()) / (one[:, 3].sum() + other[:, 3].sum())
    scale = (one[:, 3].sum() + other[:, 3].sum()) / 8000
    for rows in (one, other):
        own = rows[:, 0].sum() / rows[:, 1].sum()
        values.append(own + (rows[:, 0] - own * rows[:, 1]) / rows[:, 1].mean())
        past.append((rows[:, 2] - pooled * rows[:, 3]) / scale)
    centred = [np.column_stack([v - v.mean(), p - p.mean()]) for v, p in zip(values, past, strict=True)]
    cross = sum(each.T @ each for each in centred)
    theta = cross[0, 1] / cross[1, 1]
    expected = values[1].mean() - values[0].mean() - theta * (past[1].mean() - past[0].mean())
    found = adjusted_ratio(one, other, form=Form.DELTA)
    assert found.treatment.value - found.control.value == pytest.approx(expected, rel=1e-9)
    assert found.variance_reduction > 0.02


def test_units_without_a_past_are_kept_and_the_level_holds():
    """A/A, 1,500 runs of 500 readers an arm, 60 % with a past; nominal 5 %; false alarms below 1e-5."""
    rng = np.random.default_rng(8)
    alarms = 0
    for _ in range(1500):
        found = adjusted_ratio(ratio_rows(rng, 500, known=0.6), ratio_rows(rng, 500, known=0.6))
        assert found.control.n == 500
        alarms += difference(found.control, found.treatment).p < 0.05
    assert 0.027 < alarms / 1500 < 0.075


def test_small_arms_are_adjusted_in_the_score_form():
    rng = np.random.default_rng(9)
    one, other = ratio_rows(rng, 1900), ratio_rows(rng, 100)
    assert adjusted_ratio(one, other) == adjusted_ratio(one, other, form=Form.SCORE)
    assert adjusted_ratio(one, other) != adjusted_ratio(one, other, form=Form.DELTA)


def test_a_past_without_any_traffic_is_undefined_and_the_raw_result_is_not():
    rng = np.random.default_rng(10)
    one, other = ratio_rows(rng, 400, known=0.0), ratio_rows(rng, 400, known=0.0)
    assert adjusted_ratio(one, other).reason is Reason.MISSING_COVARIATE
    arms = (Moments.from_rows(RATIO, rows) for rows in (one, other))
    assert 0 < compare_ratios(*arms, "clicks", "impressions").p <= 1


def test_an_indicator_keeps_what_is_missing_apart():
    filled, known = with_missing_indicator([2.0, float("nan"), 4.0, float("nan")])
    assert filled.tolist() == [2.0, 3.0, 4.0, 3.0]
    assert known.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert with_missing_indicator([float("nan")])[0].tolist() == [0.0]
