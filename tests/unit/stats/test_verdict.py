import math

import pytest

from lamella.stats.evidence import (
    MINIMUM_DAYS,
    Check,
    Contender,
    Decision,
    GuardrailReading,
    Progress,
    Question,
    Safety,
    Verdict,
)
from lamella.stats.undefined import Reason, Undefined
from lamella.stats.verdict import decide, judge

QUESTION = Question(label="Click-through rate", minimum_effect=0.02, level=0.9926)
MIDWAY = Progress(elapsed_days=8.4, minimum_days=7.0, is_final=False, waits_for="Look 4 of 5 is due in 2.8 days.")
END = Progress(elapsed_days=14.0, minimum_days=7.0, is_final=True)


def contender(variant="b", lift=0.05, half=0.03, *, significant=None, guardrails=(), **changes):
    low, high = lift - half, lift + half
    significant = (low > 0 or high < 0) if significant is None else significant
    values = {
        "variant": variant, "lift": lift, "low": low, "high": high, "p": 0.001 if significant else 0.2, "good": lift,
        "is_better": significant and lift > 0, "is_worse": significant and lift < 0, "guardrails": tuple(guardrails),
    }  # fmt: skip
    return Contender(**(values | changes))


def guardrail(safety, label="Reading depth"):
    return GuardrailReading(label=label, margin=0.02, safety=safety, low=-0.03, high=0.01)


SAFE, UNCLEAR, HARMED = (guardrail(each) for each in (Safety.SAFE, Safety.UNCLEAR, Safety.HARMED))
BROKEN = GuardrailReading(
    label="Dwell", margin=0.02, safety=Safety.UNCLEAR, undefined=Undefined(Reason.ZERO_VARIANCE, "nothing varies")
)
DEFECT = Contender(
    variant="c", lift=None, low=None, high=None, p=None, good=-math.inf, is_better=False, is_worse=False,
    undefined=Undefined(Reason.TOO_FEW_UNITS, "treatment has 1 units; 2 are needed"),
)  # fmt: skip


def decision(*contenders, progress=MIDWAY):
    return judge(contenders, QUESTION, progress).decision


def test_significantly_better_and_safe_ships_at_a_look_and_at_the_end():
    assert decision(contender(guardrails=[SAFE])) is Decision.SHIP
    assert decision(contender(), progress=END) is Decision.SHIP


def test_the_reason_of_a_ship_holds_its_numbers():
    found = judge([contender(guardrails=[SAFE])], QUESTION, MIDWAY)
    assert found.variant == "b"
    for part in (
        "b: the lift in click-through rate is +5.00%",
        "99.3% interval +2.00% to +8.00%",
        "within margin: Reading depth",
    ):
        assert part in found.reason
    assert found.numbers["relative_lift"] == 0.05


def test_the_largest_lift_among_those_that_pass_is_shipped():
    best = judge(
        [contender("b", 0.05), contender("c", 0.07), contender("d", 0.2, guardrails=[UNCLEAR])], QUESTION, MIDWAY
    )
    assert (best.decision, best.variant) == (Decision.SHIP, "c")


def test_better_but_not_shown_to_be_safe_waits_and_at_the_end_keeps_control():
    unsafe = contender(guardrails=[SAFE, UNCLEAR])
    waiting = judge([unsafe], QUESTION, MIDWAY)
    assert waiting.decision is Decision.KEEP_RUNNING
    assert "not shown to be within its margin of 2.0% (interval -3.00% to +1.00%)" in waiting.reason
    assert "Look 4 of 5" in waiting.reason
    assert decision(unsafe, progress=END) is Decision.KEEP_CONTROL


def test_an_undefined_guardrail_cannot_be_shown_to_be_safe():
    found = judge([contender(guardrails=[BROKEN])], QUESTION, END)
    assert found.decision is Decision.KEEP_CONTROL
    assert "nothing varies" in found.reason


@pytest.mark.parametrize(
    "harmful", [contender(lift=-0.05), contender(guardrails=[HARMED]), contender(lift=0.0, guardrails=[HARMED])]
)
def test_harm_stops_at_a_look_and_keeps_control_at_the_end(harmful):
    assert decision(harmful) is Decision.STOP_FOR_HARM
    assert decision(harmful, progress=END) is Decision.KEEP_CONTROL


def test_the_reason_of_harm_names_what_got_worse():
    assert "significantly worse" in judge([contender(lift=-0.05)], QUESTION, MIDWAY).reason
    found = judge([contender(guardrails=[HARMED])], QUESTION, MIDWAY).reason
    assert "guardrail Reading depth is worse than its margin of 2.0%" in found


def test_a_harmful_variant_does_not_hold_up_a_good_one():
    found = judge([contender("b", -0.05), contender("c", 0.05)], QUESTION, MIDWAY)
    assert (found.decision, found.variant) == (Decision.SHIP, "c")


def test_not_significant_keeps_running_and_says_what_it_waits_for():
    found = judge([contender(lift=0.01)], QUESTION, MIDWAY)
    assert found.decision is Decision.KEEP_RUNNING
    assert "not significant at this look (p = 0.2). Look 4 of 5 is due in 2.8 days." in found.reason


def test_the_end_without_significance_says_what_the_interval_rules_out():
    found = judge([contender(lift=0.01)], QUESTION, END)
    assert found.decision is Decision.NO_DIFFERENCE
    assert found.reason.startswith("The planned end is reached. No difference was found")
    assert "rules out a lift of more than 4.00% and a loss of more than 2.00%" in found.reason


def test_an_interval_inside_the_least_effect_is_no_difference_that_matters():
    found = judge([contender(lift=0.001, half=0.01)], QUESTION, END)
    assert found.decision is Decision.NO_DIFFERENCE
    assert found.reason.startswith("No difference that matters")
    assert "inside ±2.0%" in found.reason


def test_only_an_always_valid_plan_says_no_difference_before_its_end():
    tight = contender(lift=0.001, half=0.01)
    assert decision(tight) is Decision.KEEP_RUNNING
    anytime = Progress(elapsed_days=9, minimum_days=7, is_final=False, can_stop_early_for_nothing=True)
    assert decision(tight, progress=anytime) is Decision.NO_DIFFERENCE
    assert decision(tight, contender("c", 0.01), progress=anytime) is Decision.KEEP_RUNNING


def test_one_broken_variant_does_not_lose_the_others():
    assert decision(DEFECT, contender()) is Decision.SHIP
    assert decision(DEFECT, contender(lift=0.01), progress=END) is Decision.NO_DIFFERENCE


def test_without_any_value_it_waits_and_at_the_end_the_result_is_invalid():
    assert judge([DEFECT], QUESTION, MIDWAY).reason.startswith("Click-through rate cannot be compared yet: treatment")
    assert decision(DEFECT) is Decision.KEEP_RUNNING
    assert decision(DEFECT, progress=END) is Decision.INVALID
    assert decision() is Decision.KEEP_RUNNING


def test_a_lift_without_bounds_or_value_is_said_in_words():
    unbounded = contender(low=None, high=None, is_better=False)
    assert "interval without bounds" in judge([unbounded], QUESTION, END).reason
    assert "rules nothing out" in judge([unbounded], QUESTION, END).reason
    half = contender(low=0.4, high=None)
    assert "from +40.00% without upper bound" in judge([half], QUESTION, END).reason
    none = Contender(variant="b", lift=None, low=None, high=None, p=0.001, good=1.0, is_better=True, is_worse=False)
    assert "is undefined, because control is 0" in judge([none], QUESTION, END).reason


def check(passed, key="sample_ratio", *, blocking=True):
    return Check(check=key, passed=passed, blocking=blocking, p=1e-9, detail=f"{key} says so.")


SHIP = Verdict(decision=Decision.SHIP, variant="b", reason="good")
HARM = Verdict(decision=Decision.STOP_FOR_HARM, variant="b", reason="bad")


def test_a_failed_check_makes_any_evidence_invalid_and_says_why():
    for evidence in (SHIP, HARM):
        found = decide(evidence, [check(True, "fallbacks"), check(False)], MIDWAY)
        assert found.decision is Decision.INVALID
        assert "sample_ratio says so." in found.reason
        assert "fallbacks" not in found.reason
        assert found.numbers == {"sample_ratio_p": 1e-9}


def test_checks_that_passed_do_not_apply_or_do_not_block_leave_the_evidence():
    checks = [check(True), check(None, "pre_period"), check(False, "note", blocking=False)]
    assert decide(SHIP, checks, MIDWAY) is SHIP


EARLY = Progress(elapsed_days=3.0, minimum_days=7.0, is_final=False)


def test_before_the_minimum_run_time_only_harm_is_said():
    checks = [check(False, MINIMUM_DAYS)]
    found = decide(SHIP, checks, EARLY)
    assert found.decision is Decision.KEEP_RUNNING
    assert "4.0 days are left" in found.reason
    assert found.numbers["days_left"] == 4.0
    assert decide(HARM, checks, EARLY) is HARM


def test_an_experiment_that_ended_before_its_minimum_run_time_is_invalid():
    ended = Progress(elapsed_days=3.0, minimum_days=7.0, is_final=True, has_ended=True)
    found = decide(SHIP, [], ended)
    assert found.decision is Decision.INVALID
    assert "ended after 3.0 days" in found.reason
