import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from scipy import stats

from lamella.experiments.model import Guardrail, Status
from lamella.metrics.definitions import METRICS
from lamella.services.analysing import columns_of
from lamella.stats.moments import Moments
from lamella.stats.ratios import compare_ratios
from reports_made import PLAN, START, check, comparison, experiment, metric, report, totals

SAME = [totals("control", seed=1), totals("treatment", seed=2)]
BETTER = [totals("control", seed=1), totals("treatment", seed=2, lift=0.15)]
WORSE = [totals("control", seed=1), totals("treatment", seed=2, lift=-0.15)]
GUARDED = replace(PLAN, guardrails=(Guardrail(metric="reading_depth", margin=0.05),))


def test_the_document_has_every_part_and_is_plain_json():
    document = report(experiment(GUARDED), BETTER, day=3)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert list(document) == [
        "schema", "experiment", "as_of", "snapshot", "plan", "looks", "checks", "variants", "metrics", "verdict",
        "inputs",
    ]  # fmt: skip
    assert document["schema"] == "lamella.report/1"
    assert document["experiment"]["phase"] == 7
    assert document["snapshot"] == 3
    assert [each["check"] for each in document["checks"]] == [
        "sample_ratio", "crossed_units", "fallbacks", "pre_period", "minimum_days",
    ]  # fmt: skip


def test_every_metric_is_reported_once_with_its_role():
    plan = replace(GUARDED, secondary_metrics=("dwell_per_read",))
    document = report(experiment(plan), SAME, day=3)
    roles = {each["metric"]: each["role"] for each in document["metrics"]}
    assert set(roles) == set(METRICS)
    assert list(roles.values())[:3] == ["primary", "guardrail", "secondary"]
    assert set(list(roles.values())[3:]) == {"exploratory"}


def test_the_same_input_gives_the_same_document():
    assert report(experiment(), BETTER, day=3) == report(experiment(), BETTER, day=3)


def test_every_number_follows_from_the_inputs_in_the_document():
    document = report(experiment(replace(PLAN, method="fixed_horizon")), BETTER, day=20)
    inputs = document["inputs"]
    arms = [
        Moments(tuple(inputs["columns"]), arm["n"], *(np.array(arm[key]) for key in ("mean", "cross")))
        for arm in inputs["arms"].values()
    ]
    found = compare_ratios(*arms, "clicks", "impressions")
    shown = comparison(document, "ctr")
    assert shown["p"] == pytest.approx(found.p)
    assert shown["difference_ci"] == pytest.approx([found.low, found.high])
    assert shown["level"] == 0.95


def test_arms_show_value_numerator_and_denominator():
    arm = metric(report(experiment(), SAME, day=3), "ctr")["arms"][0]
    assert arm["variant"] == "control"
    assert arm["value"] == pytest.approx(arm["numerator"] / arm["denominator"])
    users = metric(report(experiment(), SAME, day=3), "articles_per_user")["arms"][0]
    assert users["denominator"] == users["units"] == 4000


def test_a_look_is_taken_only_when_its_share_of_the_plan_has_passed():
    first = report(experiment(), SAME, day=2)
    assert (first["looks"]["taken"], first["looks"]["planned"]) == (0, 5)
    assert first["looks"]["information"] == pytest.approx(2 / 14)
    assert first["looks"]["history"] == []
    assert not first["looks"]["is_look"]
    assert first["verdict"]["decision"] == "keep_running"
    assert "Look 1 of 5 is due in 0.8 days" in first["verdict"]["reason"]
    second = report(experiment(), SAME, day=2.9, previous=[first])
    assert [each["number"] for each in second["looks"]["history"]] == [1]
    third = report(experiment(), SAME, day=4, previous=[second])
    assert third["looks"]["history"] == second["looks"]["history"]
    assert not third["looks"]["is_look"]


def test_a_look_keeps_its_share_its_z_and_its_boundary():
    document = report(experiment(), BETTER, day=2.8)
    look = document["looks"]["history"][0]
    assert look["information"] == pytest.approx(0.2)
    assert look["boundary"] == pytest.approx(4.877, abs=1e-3)
    assert 2 * stats.norm.sf(abs(look["z"])) == pytest.approx(comparison(document, "ctr")["p"], rel=1e-6)
    assert comparison(document, "ctr")["level"] == pytest.approx(1 - 2 * stats.norm.sf(look["boundary"]))


def test_five_looks_on_time_have_the_published_boundaries():
    previous = []
    for day in (2.8, 5.6, 8.4, 11.2, 14.0):
        previous.append(report(experiment(), SAME, day=day, previous=previous))
    found = [each["boundary"] for each in previous[-1]["looks"]["history"]]
    assert found == pytest.approx([4.877, 3.357, 2.680, 2.290, 2.031], abs=1e-3)


def test_a_missed_look_is_not_made_up_for():
    document = report(experiment(), SAME, day=6)
    assert [each["number"] for each in document["looks"]["history"]] == [2]
    assert document["looks"]["history"][0]["information"] == pytest.approx(6 / 14)


def test_between_looks_a_decision_stands_and_the_interval_is_the_last_looks():
    decided = report(experiment(), BETTER, day=8.4)
    assert decided["verdict"]["decision"] == "ship"
    later = report(experiment(), SAME, day=9, previous=[decided])
    assert later["verdict"]["decision"] == "ship"
    assert later["verdict"]["reason"] == decided["verdict"]["reason"]
    assert comparison(later, "ctr")["level"] == comparison(decided, "ctr")["level"]


def test_between_looks_nothing_is_decided_however_strong_the_numbers():
    undecided = report(experiment(), SAME, day=8.4)
    later = report(experiment(), BETTER, day=9, previous=[undecided])
    assert comparison(later, "ctr")["significant"]
    assert later["verdict"]["decision"] == "keep_running"
    assert "1 of 5 looks were taken without a decision" in later["verdict"]["reason"]


def test_after_the_planned_end_the_last_look_is_repeated_and_none_is_added():
    final = report(experiment(), SAME, day=14)
    late = report(experiment(), BETTER, day=15, previous=[final])
    assert final["verdict"]["decision"] == "no_difference"
    assert late["verdict"]["decision"] == "ship"
    assert len(late["looks"]["history"]) == 1
    assert late["looks"]["information"] == 1.0


def test_intervals_and_significance_never_contradict_in_any_method():
    for method in ("group_sequential", "always_valid", "fixed_horizon"):
        document = report(experiment(replace(PLAN, method=method)), BETTER, day=9)
        for each in document["metrics"]:
            shown = each["comparisons"][0]
            low, high = shown["ci"]
            assert shown["significant"] == (low > 0 or high < 0)


def test_a_planted_lift_is_shipped_at_the_end_and_the_reason_has_the_numbers():
    verdict = report(experiment(GUARDED), BETTER, day=14)["verdict"]
    assert (verdict["decision"], verdict["variant"]) == ("ship", "treatment")
    assert "the lift in click-through rate is +" in verdict["reason"]
    assert "within margin: Reading depth" in verdict["reason"]
    assert verdict["numbers"]["boundary"] == pytest.approx(1.96, abs=0.1)


def test_harm_stops_even_before_the_minimum_run_time():
    verdict = report(experiment(replace(PLAN, looks=14)), WORSE, day=6)["verdict"]
    assert verdict["decision"] == "stop_for_harm"


def test_a_lift_before_the_minimum_run_time_waits_and_then_stands():
    plan = replace(PLAN, looks=14, minimum_days=7)
    early = report(experiment(plan), BETTER, day=6)
    assert early["verdict"]["decision"] == "keep_running"
    assert "1.0 days are left" in early["verdict"]["reason"]
    assert early["looks"]["evidence"]["decision"] == "ship"
    assert report(experiment(plan), BETTER, day=7.0, previous=[early])["verdict"]["decision"] == "ship"


def test_a_guardrail_that_is_harmed_keeps_control_whatever_the_primary_says():
    arms = [totals("control", seed=1), totals("treatment", seed=2, lift=0.15, depth=-0.2)]
    assert report(experiment(GUARDED), arms, day=8.4)["verdict"]["decision"] == "stop_for_harm"
    assert report(experiment(GUARDED), arms, day=14)["verdict"]["decision"] == "keep_control"


def test_a_guardrail_without_a_value_loses_nothing_but_the_ship():
    columns = columns_of(PLAN)
    broken = []
    for each in BETTER:
        moments = each.moments.project({name: {name: 1.0} if "completion" not in name else {} for name in columns})
        broken.append(replace(each, moments=moments))
    document = report(experiment(GUARDED), broken, day=14)
    assert comparison(document, "reading_depth")["undefined"] == "no_denominator"
    assert metric(document, "reading_depth")["arms"][0]["value"] is None
    assert comparison(document, "ctr")["significant"]
    assert document["verdict"]["decision"] == "keep_control"
    assert (
        "completion_reads sums to 0" in document["verdict"]["reason"] or "denominator" in document["verdict"]["reason"]
    )


def test_the_best_of_several_variants_ships_after_correction():
    made = experiment(variants=("control", "a", "b"))
    arms = [totals("control", seed=1), totals("a", seed=2, lift=0.15), totals("b", seed=3, lift=0.25)]
    document = report(made, arms, day=14)
    assert (document["verdict"]["decision"], document["verdict"]["variant"]) == ("ship", "b")
    shown = metric(document, "ctr")["comparisons"]
    assert [each["variant"] for each in shown] == ["a", "b"]
    assert all(each["p_adjusted"] >= each["p"] for each in shown)


def test_an_always_valid_plan_may_decide_at_any_report_and_keeps_its_smallest_p():
    plan = replace(PLAN, method="always_valid", planned_days=None)
    first = report(experiment(plan), BETTER, day=8)
    assert first["verdict"]["decision"] == "ship"
    second = report(experiment(plan), SAME, day=9, previous=[first])
    assert comparison(second, "ctr")["p"] == comparison(first, "ctr")["p"]
    assert second["looks"]["taken"] == 2
    assert second["looks"]["planned"] is None


def test_a_fixed_plan_is_judged_once_at_its_end():
    plan = replace(PLAN, method="fixed_horizon")
    assert report(experiment(plan), BETTER, day=13)["verdict"]["decision"] == "keep_running"
    assert "judged once, at its end in 1.0 days" in report(experiment(plan), BETTER, day=13)["verdict"]["reason"]
    assert report(experiment(plan), BETTER, day=14)["verdict"]["decision"] == "ship"


def test_a_fixed_plan_without_an_end_is_judged_after_its_minimum_run_time():
    plan = replace(PLAN, method="fixed_horizon", planned_days=None)
    assert report(experiment(plan), SAME, day=6)["verdict"]["decision"] == "keep_running"
    verdict = report(experiment(plan), SAME, day=8)["verdict"]
    assert verdict["decision"] == "no_difference"
    assert verdict["reason"].startswith("The plan sets no end and is judged after 8.0 days. No difference")


def ended(made, day, status=Status.STOPPED):
    return replace(made, status=status, phases=(replace(made.phases[0], ended_at=START + timedelta(days=day)),))


def test_an_experiment_that_was_stopped_early_gets_a_last_look_at_its_share():
    made = ended(experiment(), 9)
    document = report(made, SAME, day=20)
    assert document["looks"]["history"][0]["information"] == pytest.approx(9 / 14)
    assert document["verdict"]["decision"] == "no_difference"
    assert "ended early, after 9.0 of 14 days" in document["verdict"]["reason"]
    assert report(made, SAME, day=21, previous=[document])["verdict"] == document["verdict"]


def test_a_decision_survives_the_stop_that_it_caused():
    harmed = report(experiment(), WORSE, day=8.4)
    assert harmed["verdict"]["decision"] == "stop_for_harm"
    after = report(ended(experiment(), 8.5), SAME, day=8.6, previous=[harmed])
    assert after["verdict"] == harmed["verdict"]


def test_an_experiment_that_ended_before_its_minimum_run_time_has_no_verdict():
    assert report(ended(experiment(), 3), SAME, day=4)["verdict"]["decision"] == "invalid"


def test_with_a_covariate_the_adjusted_result_stands_beside_and_decides():
    document = report(experiment(replace(PLAN, covariate_days=14)), BETTER, day=14)
    shown = comparison(document, "ctr")
    raw_width = shown["ci"][1] - shown["ci"][0]
    adjusted = shown["adjusted"]
    assert adjusted["ci"][1] - adjusted["ci"][0] < raw_width
    assert adjusted["method"] == "cuped delta"
    assert set(adjusted) == set(shown)
    assert "adjusted for the time before" in document["verdict"]["reason"]
    assert document["verdict"]["numbers"]["relative_lift"] == adjusted["relative_lift"]


def test_without_a_covariate_there_is_no_adjusted_result():
    shown = comparison(report(experiment(), BETTER, day=14), "ctr")
    assert shown["adjusted"] is None
    assert "has_pre" not in columns_of(PLAN)


def test_a_past_that_nobody_has_leaves_the_raw_result():
    plan = replace(PLAN, covariate_days=14)
    arms = []
    for each in BETTER:
        names = columns_of(plan)
        moments = each.moments.project(
            {name: {} if name.startswith(("pre_", "has_pre")) else {name: 1.0} for name in names}
        )
        arms.append(replace(each, moments=moments))
    document = report(experiment(plan), arms, day=14)
    assert comparison(document, "ctr")["adjusted"]["undefined"] == "missing_covariate"
    assert document["verdict"]["decision"] == "ship"
    assert check(document, "pre_period")["passed"] is None


def test_the_bayesian_reading_stands_beside_every_comparison():
    document = report(experiment(replace(PLAN, covariate_days=14)), BETTER, day=14)
    assert comparison(document, "ctr")["bayes"]["chance_to_win"] > 0.99
    assert comparison(document, "ctr")["adjusted"]["bayes"]["expected_loss"] < 0.001
    assert 0 <= comparison(document, "clicking_users")["bayes"]["chance_to_win"] <= 1


def test_no_units_at_all_are_a_report_that_waits():
    document = report(experiment(), [], day=3)
    assert document["verdict"]["decision"] == "keep_running"
    assert [each["units"] for each in document["variants"]] == [0, 0]
    assert {each["undefined"] for each in metric(document, "ctr")["arms"]} == {"too_few_units"}
    json.dumps(document, allow_nan=False)


def test_one_unit_in_an_arm_is_a_report_that_waits():
    arms = [totals("control", seed=1), totals("treatment", seed=2, units=1)]
    document = report(experiment(replace(PLAN, covariate_days=14), variants=("control", "treatment")), arms, day=3)
    assert comparison(document, "ctr")["undefined"] == "too_few_units"
    json.dumps(document, allow_nan=False)


def test_a_broken_variant_does_not_lose_the_sound_one():
    made = experiment(variants=("control", "a", "b"))
    lonely = totals("a", seed=4, units=1)
    document = report(made, [totals("control", seed=1), lonely, totals("b", seed=2, lift=0.15)], day=14)
    assert comparison(document, "ctr", "a")["undefined"] == "too_few_units"
    assert comparison(document, "ctr", "b")["significant"]


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e300, -1e-300])
def test_a_column_that_is_broken_loses_only_its_own_metrics(odd):
    columns = columns_of(replace(PLAN, covariate_days=14))
    arms = []
    for each in BETTER:
        mean, cross = each.moments.mean.copy(), each.moments.cross.copy()
        for name in ("read_seconds", "clicked", "pre_shares"):
            at = columns.index(name)
            mean[at], cross[at, :], cross[:, at] = odd, odd, odd
        arms.append(replace(each, moments=Moments(columns, each.moments.n, mean, cross)))
    document = report(experiment(replace(PLAN, covariate_days=14)), arms, day=14)
    json.dumps(document, allow_nan=False)
    assert comparison(document, "ctr")["adjusted"]["significant"]
    assert document["verdict"]["decision"] == "ship"


def test_zero_clicks_in_control_leave_the_difference_without_a_lift():
    none = SAME[0].moments
    clickless = none.project({name: {} if name in ("clicks", "clicked") else {name: 1.0} for name in none.columns})
    shown = comparison(report(experiment(), [replace(SAME[0], moments=clickless), SAME[1]], day=14), "ctr")
    assert shown["undefined"] == "zero_baseline"
    assert shown["relative_lift"] is None
    assert shown["p"] < 1e-10
    assert shown["significant"]
