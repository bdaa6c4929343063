from dataclasses import replace

from reports_made import PLAN, check, experiment, report, totals

CONTROL, TREATMENT = totals("control", seed=1), totals("treatment", seed=2)
PAST = replace(PLAN, covariate_days=14)


def document(*arms, plan=PLAN, day=14.0, variants=("control", "treatment")):
    return report(experiment(plan, variants=variants), arms, day=day)


def test_sound_arms_pass_every_check():
    found = document(CONTROL, TREATMENT, plan=PAST)
    assert [each["passed"] for each in found["checks"]] == [True] * 5
    assert found["verdict"]["decision"] == "no_difference"


def test_a_sample_ratio_that_does_not_fit_the_weights_blocks_and_says_why():
    found = document(CONTROL, totals("treatment", seed=2, units=3000, lift=0.2))
    assert check(found, "sample_ratio")["passed"] is False
    assert found["verdict"]["decision"] == "invalid"
    assert "control 4000, treatment 3000" in found["verdict"]["reason"]
    assert found["verdict"]["numbers"]["sample_ratio_p"] < 1e-10


def test_the_sample_ratio_is_held_against_the_weights_of_the_phase():
    made = experiment()
    phase = replace(made.phases[0], weights={"control": 4, "treatment": 3})
    made = replace(made, phases=(phase,))
    found = report(made, [CONTROL, totals("treatment", seed=2, units=3000)], day=14)
    assert check(found, "sample_ratio")["passed"]


def test_units_in_a_variant_of_weight_0_block():
    made = experiment(variants=("control", "treatment", "off"))
    phase = replace(made.phases[0], weights={"control": 50, "treatment": 50, "off": 0})
    made = replace(made, phases=(phase,))
    found = report(made, [CONTROL, TREATMENT, totals("off", seed=3, units=9)], day=14)
    assert "off, which has weight 0" in check(found, "sample_ratio")["detail"]
    assert found["verdict"]["decision"] == "invalid"
    assert [each["variant"] for each in report(made, [CONTROL, TREATMENT], day=14)["variants"]] == [
        "control",
        "treatment",
    ]


def test_units_that_saw_two_variants_block_above_half_a_percent():
    assert check(document(replace(CONTROL, crossed=30), TREATMENT), "crossed_units")["passed"]
    found = document(replace(CONTROL, crossed=50), TREATMENT)
    assert check(found, "crossed_units")["passed"] is False
    assert found["verdict"]["decision"] == "invalid"


def test_a_model_that_fails_more_often_in_one_arm_blocks():
    found = document(CONTROL, totals("treatment", seed=2, fallback=0.04))
    assert check(found, "fallbacks")["p"] < 0.001
    assert found["verdict"]["decision"] == "invalid"


def test_fallbacks_in_one_arm_only_are_seen_even_where_no_unit_varies():
    always = totals("treatment", seed=2, fallback=1.0)
    never = totals("control", seed=1, fallback=0.0)
    assert check(document(never, always), "fallbacks")["passed"] is False
    assert check(document(never, totals("treatment", seed=2, fallback=0.0)), "fallbacks")["passed"]


def test_arms_that_differed_before_the_experiment_block():
    names = TREATMENT.moments.columns
    more = {name: {name: 1.6 if name == "pre_clicks" else 1.0} for name in names}
    found = document(CONTROL, replace(TREATMENT, moments=TREATMENT.moments.project(more)), plan=PAST)
    assert check(found, "pre_period")["passed"] is False
    assert "differ in Click-through rate" in check(found, "pre_period")["detail"]
    assert found["verdict"]["decision"] == "invalid"


def test_a_plan_without_a_covariate_looks_at_no_past():
    assert check(document(CONTROL, TREATMENT), "pre_period")["passed"] is None


def test_the_past_of_a_mean_is_compared_per_unit():
    plan = replace(PAST, primary_metric="clicking_users")
    assert check(document(CONTROL, TREATMENT, plan=plan), "pre_period")["passed"]


def test_the_minimum_run_time_is_a_check_of_its_own():
    found = check(document(CONTROL, TREATMENT, day=3), "minimum_days")
    assert found["passed"] is False
    assert found["detail"] == "The experiment has run for 3.0 of at least 7 days."


def test_no_units_leave_the_checks_open():
    found = document()
    assert [each["passed"] for each in found["checks"]] == [None, None, None, None, True]
