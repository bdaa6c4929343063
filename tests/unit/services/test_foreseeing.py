from dataclasses import replace
from datetime import timedelta

import pytest

from configurations import AT, draft
from lamella.metrics.definitions import METRICS
from lamella.services.foreseeing import Traffic, power_warnings, traffic_of, units_needed
from lamella.stats.power import Baseline, Design
from lamella.stats.power import units_needed as planned_units

EXPERIMENT = draft()


def report(units=1_000, days=10):
    """Units with one impression each, of which one in ten is clicked; the clicks are Bernoulli."""
    spread = units * 0.1 * 0.9
    arm = {"n": units, "mean": [0.1, 1.0], "cross": [[spread, 0.0], [0.0, 0.0]]}
    return {
        "experiment": {"started_at": AT.isoformat()},
        "as_of": (AT + timedelta(days=days)).isoformat(),
        "inputs": {"columns": ["clicks", "impressions"], "arms": {"control": arm, "treatment": arm}},
    }


def test_the_units_are_those_of_the_planner_for_two_equal_arms():
    plan = replace(EXPERIMENT.plan, method="fixed_horizon", minimum_effect=0.05)
    found = units_needed(replace(EXPERIMENT, plan=plan), Traffic(value=0.1, variance=0.09, units_a_day=1.0))
    assert found == pytest.approx(planned_units(Baseline(value=0.1, deviation=0.3), 0.05, Design()), rel=1e-4)


def test_what_a_report_measured_is_read_from_its_inputs():
    found = traffic_of(EXPERIMENT, report(), METRICS["ctr"])
    assert found is not None
    assert (found.value, found.units_a_day) == (pytest.approx(0.1), pytest.approx(400.0))
    assert found.variance == pytest.approx(0.09, rel=0.01)


def test_a_plan_that_its_traffic_cannot_power_is_a_warning_that_says_how_to_mend_it():
    (warning,) = power_warnings(EXPERIMENT, [(EXPERIMENT, report())])
    assert "under-powered" in warning
    assert "at most 2800 in 14 days" in warning
    assert power_warnings(EXPERIMENT, [(EXPERIMENT, report(units=2_000_000))]) == []


def test_without_usable_reports_or_a_planned_end_nothing_is_said():
    assert power_warnings(EXPERIMENT, []) == []
    assert power_warnings(EXPERIMENT, [(EXPERIMENT, {}), (EXPERIMENT, {"inputs": {}})]) == []
    endless = replace(EXPERIMENT, plan=replace(EXPERIMENT.plan, method="always_valid", planned_days=None))
    assert power_warnings(endless, [(EXPERIMENT, report())]) == []
