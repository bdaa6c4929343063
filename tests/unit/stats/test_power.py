import numpy as np
import pytest
from statsmodels.api import OLS, add_constant
from statsmodels.stats.power import NormalIndPower

from lamella.errors import InvalidInput
from lamella.stats.moments import Moments
from lamella.stats.power import (
    Baseline,
    Design,
    adjusted_baseline,
    baseline,
    days_needed,
    detectable_lift,
    power_at,
    units_needed,
)
from lamella.stats.sequential import inflation
from lamella.stats.undefined import Reason
from reader_samples import COLUMNS, arm

KNOWN = Baseline(value=0.08, deviation=0.35)


@pytest.mark.parametrize("allocation", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("power", [0.8, 0.95])
def test_units_agree_with_statsmodels(allocation, power):
    control = NormalIndPower().solve_power(0.05 * 0.08 / 0.35, power=power, alpha=0.05, ratio=allocation)
    found = units_needed(KNOWN, 0.05, Design(power=power, allocation=allocation))
    assert found == pytest.approx(control * (1 + allocation), rel=1e-4)


def test_the_power_at_the_detectable_lift_is_the_wanted_one():
    for test in (Design(), Design(power=0.9, allocation=0.2, comparisons=3, inflation=1.025)):
        lift = detectable_lift(KNOWN, 40_000, test)
        assert power_at(KNOWN, 40_000, lift, test) == pytest.approx(test.power)
        assert units_needed(KNOWN, lift, test) == 40_000


def test_looks_and_comparisons_cost_units():
    plain = units_needed(KNOWN, 0.05)
    assert units_needed(KNOWN, 0.05, Design(inflation=inflation(5))) == pytest.approx(plain * inflation(5), rel=1e-4)
    assert units_needed(KNOWN, 0.05, Design(comparisons=4)) > plain


def test_a_baseline_comes_from_measured_units():
    rng = np.random.default_rng(1)
    found = baseline(arm(rng, 5000), *COLUMNS)
    assert 0.02 < found.value < 0.09
    assert baseline(arm(rng, 5000), "clicks").deviation > 0
    assert baseline(arm(rng, 1), *COLUMNS).reason is Reason.TOO_FEW_UNITS
    assert baseline(arm(rng, 0), *COLUMNS).reason is Reason.TOO_FEW_UNITS


def test_cuped_leaves_the_residual_of_a_regression_on_every_covariate():
    rng = np.random.default_rng(4)
    past = rng.gamma(1.0, 3.0, (3000, 2))
    shown = rng.poisson(20.0, 3000) + 1.0
    clicks = past @ [0.4, 0.1] + rng.gamma(2.0, 1.0, 3000)
    units = Moments.from_rows(("clicks", "shown", "one", "two"), np.column_stack([clicks, shown, past]))
    left = OLS(clicks, add_constant(past)).fit().resid
    assert adjusted_baseline(units, "clicks", ["one", "two"]).deviation == pytest.approx(left.std(ddof=1))
    line = (clicks - clicks.sum() / shown.sum() * shown) / shown.mean()
    left = OLS(line, add_constant(past)).fit().resid
    found = adjusted_baseline(units, "clicks", ["one", "two"], denominator="shown")
    assert found.deviation == pytest.approx(left.std(ddof=1))
    assert found.value == pytest.approx(clicks.sum() / shown.sum())
    assert adjusted_baseline(units.empty(units.columns), "clicks", ["one"]).reason is Reason.TOO_FEW_UNITS


def test_a_planted_effect_is_found_with_the_promised_power():
    """400 runs; promised 80 %; the simulated share must lie within 5 standard errors (false alarms below 1e-5)."""
    from lamella.stats.ratios import compare_ratios

    rng = np.random.default_rng(2)
    known = baseline(arm(rng, 200_000), *COLUMNS)
    units = units_needed(known, 0.2)
    found = [
        compare_ratios(arm(rng, units // 2), arm(rng, units // 2, lift=0.2), *COLUMNS).is_significant
        for _ in range(400)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.1)


def test_days_come_from_the_measured_growth():
    assert days_needed(500, [300, 500, 600]) == 2
    assert days_needed(650, [300, 500, 600]) == 4
    assert days_needed(700, [300, 300]).reason is Reason.TOO_FEW_UNITS
    assert days_needed(700, []).reason is Reason.TOO_FEW_UNITS


def test_what_has_no_answer_is_undefined_and_nonsense_is_refused():
    assert units_needed(Baseline(value=0.0, deviation=1.0), 0.1).reason is Reason.ZERO_BASELINE
    assert detectable_lift(Baseline(value=1.0, deviation=0.0), 100).reason is Reason.ZERO_VARIANCE
    assert detectable_lift(KNOWN, 1).reason is Reason.TOO_FEW_UNITS
    assert power_at(KNOWN, 0, 0.1).reason is Reason.TOO_FEW_UNITS
    with pytest.raises(InvalidInput, match="lift is 0"):
        units_needed(KNOWN, 0.0)
    with pytest.raises(InvalidInput, match="allocation"):
        units_needed(KNOWN, 0.1, Design(allocation=0.0))
