import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats as scipy_stats

from lamella.stats.estimates import Difference, Estimate, difference
from lamella.stats.heterogeneity import heterogeneity, interaction
from lamella.stats.jackknife import jackknife
from lamella.stats.undefined import Reason, Undefined


def estimate(values):
    return Estimate(n=len(values), value=float(np.mean(values)), variance=float(np.var(values, ddof=1) / len(values)))


def test_the_interaction_is_the_coefficient_of_the_product_in_a_robust_regression():
    rng = np.random.default_rng(3)
    cells = {(a, b): rng.normal(1 + 0.2 * a + 0.1 * b + 0.3 * a * b, 1 + a, 400) for a in (0, 1) for b in (0, 1)}
    found = interaction((estimate(cells[0, 0]), estimate(cells[1, 0])), (estimate(cells[0, 1]), estimate(cells[1, 1])))
    rows = np.array([[1, a, b, a * b, y] for (a, b), values in cells.items() for y in values])
    # HC2 is the sum of the cells' own variances s²/n.
    fitted = sm.OLS(rows[:, 4], rows[:, :4]).fit(cov_type="HC2")
    assert isinstance(found, Difference)
    assert found.value == pytest.approx(fitted.params[3], rel=1e-9)
    assert found.standard_error == pytest.approx(fitted.bse[3], rel=1e-9)


def test_an_interaction_without_units_in_a_cell_is_undefined():
    one, none = Estimate(n=50, value=1.0, variance=0.1), Undefined(Reason.TOO_FEW_UNITS, "none")
    found = interaction((one, one), (one, none))
    assert isinstance(found, Undefined)
    assert found.reason is Reason.TOO_FEW_UNITS


def test_cochrans_q_is_that_of_meta_analysis_in_statsmodels():
    from statsmodels.stats.meta_analysis import combine_effects

    rng = np.random.default_rng(5)
    pairs = [difference(estimate(rng.normal(0, 1, 90)), estimate(rng.normal(0.3, 2, 120))) for _ in range(6)]
    found = heterogeneity(pairs)
    combined = combine_effects(*np.array([(each.value, each.standard_error**2) for each in pairs]).T)
    assert found.statistic == pytest.approx(combined.q, rel=1e-9)
    assert found.df == 5
    assert found.p == pytest.approx(scipy_stats.chi2.sf(combined.q, 5), rel=1e-9)


def test_one_segment_has_no_heterogeneity():
    assert heterogeneity([]).reason is Reason.TOO_FEW_ARMS


def test_the_jackknife_of_a_mean_over_blocks_of_one_is_its_squared_standard_error():
    values = np.random.default_rng(1).normal(3, 2, 40)
    without = [float(np.delete(values, place).mean()) for place in range(40)]
    found = jackknife(float(values.mean()), without)
    assert found.variance == pytest.approx(values.var(ddof=1) / 40, rel=1e-9)


def test_a_figure_that_a_block_makes_undefined_has_no_interval():
    assert jackknife(1.0, [1.0, None]).reason is Reason.NO_DENOMINATOR
    assert jackknife(1.0, [1.0]).reason is Reason.TOO_FEW_UNITS
