"""The six decisions, each out of a whole report on numbers that can be checked by hand.

So many of an arm's units click once on ten impressions, the others never; the primary metric is the share that clicks.
"""

import math
from dataclasses import replace
from datetime import timedelta

import pytest
from scipy import stats

from lamella.experiments.model import Guardrail, Status
from lamella.services.analysing import columns_of
from lamella.services.ports import ArmTotals
from lamella.stats.moments import Moments
from reports_made import PLAN, START, experiment, report

PLAIN = replace(PLAN, primary_metric="clicking_users", minimum_effect=0.02)
FIXED = replace(PLAIN, method="fixed_horizon")


def arm(variant, units, clicking, **changes):
    columns = columns_of(PLAIN)
    seen = {"slates": 1.0, "impressions": 10.0}
    clicked = {**seen, "clicks": 1.0, "clicked": 1.0}
    rows = [[clicked.get(name, 0.0) for name in columns]] * clicking
    rows += [[seen.get(name, 0.0) for name in columns]] * (units - clicking)
    values = {"moments": Moments.from_rows(columns, rows), "crossed": 0, "slates": units, "fallback_slates": 0}
    return ArmTotals(variant=variant, **(values | changes))


def verdict(plan, arms, *, day, **changes):
    return report(experiment(plan, **changes), arms, day=day)["verdict"]


def z_of(one, other, units=1000):
    """The difference of two shares over its standard error, variances with n - 1."""
    p, q = one / units, other / units
    return (q - p) / math.sqrt((p * (1 - p) + q * (1 - q)) / (units - 1))


def test_ship_says_the_lift_its_interval_and_p():
    found = verdict(FIXED, [arm("control", 1000, 200), arm("treatment", 1000, 260)], day=14)
    assert (found["decision"], found["variant"]) == ("ship", "treatment")
    assert found["numbers"]["relative_lift"] == pytest.approx(0.3)
    assert found["numbers"]["p"] == pytest.approx(2 * stats.norm.sf(z_of(200, 260)), rel=0.02)
    low, high = found["numbers"]["low"], found["numbers"]["high"]
    assert f"+30.00% (95.0% interval {low:+.2%} to {high:+.2%}), significantly better" in found["reason"]


def test_keep_control_says_what_got_worse_at_the_end():
    found = verdict(FIXED, [arm("control", 1000, 200), arm("treatment", 1000, 140)], day=14)
    assert (found["decision"], found["variant"]) == ("keep_control", "treatment")
    assert found["numbers"]["relative_lift"] == pytest.approx(-0.3)
    assert found["reason"].startswith("The planned end is reached. treatment: the lift in")
    assert "is -30.00%" in found["reason"]
    assert "significantly worse" in found["reason"]


def test_keep_control_says_which_guardrail_was_not_shown_to_be_safe():
    plan = replace(FIXED, guardrails=(Guardrail(metric="reading_depth", margin=0.05),))
    found = verdict(plan, [arm("control", 1000, 200), arm("treatment", 1000, 260)], day=14)
    assert found["decision"] == "keep_control"
    assert "Reading depth is not shown to be within its margin of 5.0%" in found["reason"]


def test_no_difference_that_matters_says_the_interval_and_the_least_effect():
    found = verdict(FIXED, [arm("control", 100_000, 20_000), arm("treatment", 100_000, 20_020)], day=14)
    assert found["decision"] == "no_difference"
    half = 1.96 * math.sqrt(2 * 0.2 * 0.8 / 100_000) / 0.2
    assert found["numbers"]["low"] == pytest.approx(0.001 - half, abs=3e-4)
    assert found["numbers"]["high"] == pytest.approx(0.001 + half, abs=3e-4)
    assert found["reason"].startswith("No difference that matters: for treatment")
    assert "inside ±2.0%" in found["reason"]


def test_no_difference_that_is_not_shown_to_be_small_says_what_the_interval_rules_out():
    found = verdict(FIXED, [arm("control", 1000, 200), arm("treatment", 1000, 205)], day=14)
    assert found["decision"] == "no_difference"
    assert f"rules out a lift of more than {found['numbers']['high']:.2%} and a loss" in found["reason"]


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("group_sequential", "the planned end is 8.4 days away"),
        ("always_valid", "The planned end is 8.4 days away"),
        ("fixed_horizon", "judged once, at its end in 8.4 days"),
    ],
)
def test_keep_running_names_the_days_left(method, sentence):
    arms = [arm("control", 1000, 200), arm("treatment", 1000, 205)]
    found = verdict(replace(PLAIN, method=method, minimum_days=2), arms, day=5.6)
    assert found["decision"] == "keep_running"
    assert sentence in found["reason"]
    assert found["numbers"]["days_left"] == pytest.approx(8.4)


def test_keep_running_before_the_minimum_run_time_names_the_days_left_of_it():
    plan = replace(PLAIN, looks=14, minimum_days=7)
    found = verdict(plan, [arm("control", 1000, 200), arm("treatment", 1000, 320)], day=6)
    assert found["decision"] == "keep_running"
    assert "1.0 days are left" in found["reason"]
    assert found["numbers"]["days_left"] == pytest.approx(1.0)


def test_keep_running_without_an_end_says_that_the_plan_sets_none():
    plan = replace(PLAIN, method="always_valid", planned_days=None, minimum_days=2)
    found = verdict(plan, [arm("control", 1000, 200), arm("treatment", 1000, 205)], day=5)
    assert found["decision"] == "keep_running"
    assert "The plan sets no end" in found["reason"]


def test_stop_for_harm_says_how_far_beyond_the_boundary_the_loss_is():
    found = verdict(PLAIN, [arm("control", 1000, 200), arm("treatment", 1000, 140)], day=8.4)
    assert (found["decision"], found["variant"]) == ("stop_for_harm", "treatment")
    assert found["numbers"]["z"] == pytest.approx(z_of(200, 140), rel=0.01)
    assert abs(found["numbers"]["z"]) > found["numbers"]["boundary"]
    assert "is -30.00%" in found["reason"]
    assert "Stop sending readers there" in found["reason"]


CROSSED = [arm("control", 1000, 200, crossed=10), arm("treatment", 1000, 260, crossed=10)]
UNEQUAL = [arm("control", 1000, 200), arm("treatment", 1300, 338)]


@pytest.mark.parametrize(
    ("arms", "failed", "sentence", "p"),
    [
        (UNEQUAL, "sample_ratio", "control 1000, treatment 1300", stats.binomtest(1000, 2300).pvalue),
        (CROSSED, "crossed_units", "20 of 2020 units (0.99%) saw more than one variant", None),
    ],
)
def test_invalid_names_the_failed_check(arms, failed, sentence, p):
    found = verdict(FIXED, arms, day=14)
    assert (found["decision"], found["variant"]) == ("invalid", None)
    assert found["reason"].startswith(f"A check failed ({failed}), so the numbers do not show")
    assert sentence in found["reason"]
    assert found["numbers"] == {f"{failed}_p": None if p is None else pytest.approx(p)}


def test_invalid_names_every_failed_check():
    arms = [arm("control", 1000, 200, crossed=20), arm("treatment", 1300, 338)]
    assert "(sample_ratio and crossed_units)" in verdict(FIXED, arms, day=14)["reason"]


def test_invalid_after_an_early_end_names_the_days():
    made = experiment(FIXED)
    ended = replace(made.phases[0], ended_at=START + timedelta(days=3))
    made = replace(made, status=Status.STOPPED, phases=(ended,))
    found = report(made, [arm("control", 1000, 200), arm("treatment", 1000, 260)], day=4)["verdict"]
    assert found["decision"] == "invalid"
    assert "ended after 3.0 days; its plan asks for at least 7" in found["reason"]
    assert found["numbers"]["minimum_days"] == 7.0
