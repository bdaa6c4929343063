from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lamella.errors import InvalidInput
from lamella.services.planning import Sizing, reported_baseline, sizing_document, traffic_by_day, units_after
from lamella.stats import Baseline, Undefined, days_needed
from reports_made import PLAN, experiment, report, totals

START = datetime(2026, 3, 2, tzinfo=UTC)
KNOWN = Baseline(value=0.04, deviation=0.2)


def at(days, *units):
    """A report so many days after the start, with these units in its arms."""
    as_of = (START + timedelta(days=days)).isoformat()
    return {"as_of": as_of, "variants": [{"variant": str(n), "units": count} for n, count in enumerate(units)]}


def test_the_units_of_each_day_are_read_off_reports_and_filled_between_them():
    assert traffic_by_day(START, [at(1, 50, 50), at(3, 150, 150)]) == (100, 200, 300)
    assert traffic_by_day(START, [at(0.5, 30, 20)]) == (100,)
    assert traffic_by_day(START, []) == ()
    assert traffic_by_day(START, [at(2.5, 100, 100)]) == (80, 160)


def test_days_and_units_are_inverse_to_each_other():
    measured = (100, 180, 240)
    for units in (90, 200, 241, 1000):
        days = days_needed(units, measured)
        assert not isinstance(days, Undefined)
        assert units_after(measured, days) >= units
        assert days == 1 or units_after(measured, days - 1) < units


def test_a_plan_is_consistent_from_lift_to_units_and_back():
    asked = Sizing(lift=0.03, treatments=2, allocation=0.5, cumulative_units=(5_000, 9_000))
    found = sizing_document(KNOWN, asked)
    back = sizing_document(KNOWN, Sizing(lift=0.03, units=found["units"], treatments=2, allocation=0.5))
    assert back["detectable_lift"] == pytest.approx(0.03, rel=1e-3)
    assert back["power_at_lift"] == pytest.approx(0.8, abs=1e-3)
    assert found["days_needed"] == days_needed(found["units"], (5_000, 9_000))
    assert [each["days"] for each in found["outlook"]][:2] == [7, 14]


def test_the_baseline_of_a_report_is_that_of_its_control_and_cuped_narrows_it():
    plan = replace(PLAN, covariate_days=14)
    document = report(experiment(plan), [totals("control"), totals("treatment", seed=2)], day=14)
    known, raw = reported_baseline(document, "ctr")
    control = next(each for each in document["metrics"][0]["arms"] if each["variant"] == "control")
    assert raw.value == pytest.approx(control["value"])
    assert known.deviation < raw.deviation
    columns, arms = document["inputs"]["columns"], document["inputs"]["arms"]
    at = [columns.index(name) for name in ("clicks", "impressions")]
    held = {
        variant: {
            "n": arm["n"],
            "mean": [arm["mean"][one] for one in at],
            "cross": [[arm["cross"][one][two] for two in at] for one in at],
        }
        for variant, arm in arms.items()
    }
    declared = {"own_ctr": {"columns": ["numerator", "denominator"], "arms": held}}
    document["inputs"]["metrics"] = declared
    again, nothing = reported_baseline(document, "own_ctr")
    assert again.deviation == pytest.approx(raw.deviation)
    assert nothing is None
    with pytest.raises(InvalidInput, match="no moments"):
        reported_baseline({"variants": []}, "ctr")


def test_what_has_no_answer_is_null_with_its_code():
    assert sizing_document(Baseline(value=0.0, deviation=1.0), Sizing(lift=0.1))["undefined"] == "zero_baseline"
    assert sizing_document(Baseline(value=1.0, deviation=0.0), Sizing(units=100))["undefined"] == "zero_variance"
    stalled = sizing_document(KNOWN, Sizing(lift=0.01, cumulative_units=(10, 10)))
    assert stalled["days_needed"] is None
    assert stalled["undefined"] == "too_few_units"
