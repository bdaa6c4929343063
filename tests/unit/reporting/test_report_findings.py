from dataclasses import replace

import pytest

from lamella.reporting import findings
from lamella.reporting.document import read_report
from lamella.reporting.findings import Margin, Tone
from lamella.reporting.view import Interval, Truth
from unit.reporting import samples

REPORT = read_report(samples.document())
METRIC = REPORT.metrics[0]
COMPARISON = METRIC.comparisons[0]


@pytest.mark.parametrize(
    ("direction", "difference", "significant", "tone"),
    [
        ("increase", 0.1, True, Tone.GOOD),
        ("increase", -0.1, True, Tone.BAD),
        ("decrease", 0.1, True, Tone.BAD),
        ("decrease", -0.1, True, Tone.GOOD),
        ("increase", 0.1, False, Tone.NEUTRAL),
        ("decrease", -0.1, False, Tone.NEUTRAL),
    ],
)
def test_only_a_significant_difference_is_good_or_bad_and_the_direction_decides(
    direction, difference, significant, tone
):
    comparison = replace(COMPARISON, difference=difference, significant=significant)
    assert findings.tone(replace(METRIC, direction=direction), comparison) is tone


def test_an_undefined_comparison_is_neither_good_nor_bad():
    nothing = replace(COMPARISON, undefined="srm", difference=None, relative_lift=None)
    assert findings.tone(METRIC, nothing) is Tone.UNDEFINED


def test_a_significant_difference_counts_even_where_its_lift_is_undefined():
    from_zero = replace(COMPARISON, undefined="zero_baseline", relative_lift=None, difference=0.1, significant=True)
    assert findings.tone(METRIC, from_zero) is Tone.GOOD


def test_the_comparison_after_cuped_is_used_where_it_could_be_made():
    adjusted = replace(COMPARISON, relative_lift=0.07)
    impossible = replace(COMPARISON, undefined="missing_covariate", difference=None, relative_lift=None)
    assert replace(COMPARISON, adjusted=adjusted).used == adjusted
    assert replace(COMPARISON, adjusted=impossible).used.relative_lift == COMPARISON.relative_lift
    assert COMPARISON.used is COMPARISON


def test_intervals_of_different_levels_are_each_labelled():
    other = replace(METRIC, comparisons=(replace(COMPARISON, level=0.99985),))
    mixed = replace(REPORT, metrics=(METRIC, other))
    assert findings.interval_heading(REPORT, "en") == "95% interval"
    assert findings.own_level(REPORT, METRIC, "en") == ""
    assert findings.interval_heading(mixed, "en") == "Interval"
    assert findings.own_level(mixed, other, "en") == "99.985% interval"


@pytest.mark.parametrize(
    ("low", "high", "state"),
    [
        (-0.01, 0.05, Margin.INSIDE),
        (-0.03, 0.05, Margin.CROSSES),
        (-0.09, -0.05, Margin.BEYOND),
        (None, 0.05, Margin.CROSSES),
        (-0.01, None, Margin.INSIDE),
        (None, None, Margin.CROSSES),
    ],
)
def test_a_guardrail_is_judged_by_the_end_of_its_interval_that_could_hurt(low, high, state):
    comparison = replace(COMPARISON, ci=Interval(low=low, high=high))
    mirrored = replace(COMPARISON, ci=Interval(low=low, high=high).scaled(-1))
    assert findings.margin_state(METRIC, comparison, 0.03) is state
    assert findings.margin_state(replace(METRIC, direction="decrease"), mirrored, 0.03) is state


def test_without_a_margin_there_is_nothing_to_judge():
    assert findings.margin_state(METRIC, COMPARISON, None) is None


def test_a_badge_names_the_variant_only_where_the_verdict_acts_on_it():
    def badge(decision):
        return findings.badge(replace(REPORT, verdict=replace(REPORT.verdict, decision=decision, variant="mf")), "en")

    assert badge("ship") == "Ship mf"
    assert badge("stop_for_harm") == "Stop mf"
    assert badge("keep_running") == "Keep running"


def test_the_leading_comparison_is_the_one_of_the_verdict_else_the_strongest():
    report = read_report(samples.three_variants()[-1])
    named = replace(report, verdict=replace(report.verdict, variant="mf-diverse"))
    unnamed = replace(report, verdict=replace(report.verdict, variant=None))
    assert findings.leading(named).variant == "mf-diverse"
    strongest = min(report.primary.comparisons, key=lambda one: one.used.decisive_p)
    assert findings.leading(unnamed) == strongest.used


def test_a_decision_that_is_not_known_is_shown_in_words():
    report = replace(REPORT, verdict=replace(REPORT.verdict, decision="ask_again"))
    assert findings.decision(report, "zh") == "ask again"
    assert findings.decision_tone("ask_again") == "neutral"


def test_truth_that_is_not_judged_yet_is_open():
    truth = Truth(planted="effect", relative_lift=None, correct=None)
    assert findings.truth_sentence(truth, "en") == "the simulator planted an effect"
    assert findings.truth_state(truth, "en") == "the verdict is still open"
