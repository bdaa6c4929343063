"""What the numbers say: better, worse, inside a margin; and the sentences that put it in words."""

from enum import StrEnum

from lamella.reporting import numbers
from lamella.reporting.view import Comparison, Metric, Report, Truth
from lamella.reporting.wording import CATALOGUE, Lang, term, word

DECISION_TONES = {
    "ship": "good",
    "keep_control": "neutral",
    "no_difference": "neutral",
    "keep_running": "open",
    "stop_for_harm": "bad",
    "invalid": "warning",
}
ABOUT_A_VARIANT = ("ship", "stop_for_harm")
SYMBOLS = {"good": "✓", "bad": "✕", "warning": "!", "neutral": "=", "open": "…"}
TONE_SYMBOLS = {"good": "✓", "bad": "✕", "neutral": "·", "undefined": "–"}
CHECK_SYMBOLS = {"passed": "✓", "failed": "✕", "warning": "!", "open": "–"}


class Tone(StrEnum):
    """Which way a comparison points, in the sense of the metric's direction."""

    GOOD = "good"
    BAD = "bad"
    NEUTRAL = "neutral"
    UNDEFINED = "undefined"


class Margin(StrEnum):
    """Where a guardrail's interval lies against its margin."""

    INSIDE = "inside"
    CROSSES = "crosses"
    BEYOND = "beyond"


def tone(metric: Metric, comparison: Comparison) -> Tone:
    """Good or bad only where the comparison is significant, judged by the direction that the metric should take."""
    effect = comparison.relative_lift if comparison.difference is None else comparison.difference
    if effect is None:
        return Tone.UNDEFINED
    if not comparison.significant or not effect:
        return Tone.NEUTRAL
    return Tone.GOOD if effect * metric.wanted_sign > 0 else Tone.BAD


def margin_state(metric: Metric, comparison: Comparison, margin: float | None) -> Margin | None:
    """Whether the interval excludes a loss beyond `margin`, a relative share; None without a margin or interval."""
    if margin is None or comparison.ci is None or comparison.undefined is not None:
        return None
    interval = comparison.ci.scaled(metric.wanted_sign)
    if interval.low is not None and interval.low > -margin:
        return Margin.INSIDE
    if interval.high is not None and interval.high < -margin:
        return Margin.BEYOND
    return Margin.CROSSES


def label(metric: Metric, lang: Lang) -> str:
    """The metric's name for people."""
    return metric.labels[lang] or metric.key


def decision_tone(decision: str) -> str:
    """The look of a verdict: good, bad, warning, neutral or open."""
    return DECISION_TONES.get(decision, "neutral")


def decision_symbol(decision: str) -> str:
    """The sign of a verdict, so that colour is never the only one."""
    return SYMBOLS[decision_tone(decision)]


def badge(report: Report, lang: Lang) -> str:
    """The verdict in a word or two, with the variant that it sends away or lets in."""
    verdict = report.verdict
    named = verdict.variant if verdict.decision in ABOUT_A_VARIANT else None
    return term("badge", verdict.decision, lang) + (f" {named}" if named else "")


def decision(report: Report, lang: Lang) -> str:
    """The verdict as a clause that names the variant."""
    key = f"decision.{report.verdict.decision}"
    if key not in CATALOGUE:
        return report.verdict.decision.replace("_", " ")
    return word(key, lang, variant=report.verdict.variant or word("variant", lang))


def p_clause(p: float | None, lang: Lang) -> str:
    """A p-value as a clause: "p = 0.012" or "p < 1e-16"."""
    text = numbers.p_value(p)
    return word("p_below" if text[0] in "<>" else "p_is", lang, p=text)


def leading(report: Report) -> Comparison | None:
    """The comparison of the primary metric that the verdict is about, else the strongest; as the verdict uses it."""
    if report.primary is None or not report.primary.comparisons:
        return None
    comparisons = report.primary.comparisons
    named = next((one for one in comparisons if one.variant == report.verdict.variant), None)
    chosen = named or min(comparisons, key=lambda one: 2.0 if one.used.decisive_p is None else one.used.decisive_p)
    return chosen.used


def finding(report: Report, lang: Lang) -> str | None:
    """The primary metric's result as a sentence; None where nothing was compared yet."""
    comparison, metric = leading(report), report.primary
    if comparison is None or metric is None:
        return None
    names = {"metric": label(metric, lang), "variant": comparison.variant, "control": control_name(report, lang)}
    if comparison.undefined is not None:
        return word("finding_undefined", lang, reason=numbers.undefined(comparison.undefined, lang), **names)
    return word(
        "finding",
        lang,
        lift=numbers.lift(comparison.relative_lift, comparison.ci),
        interval=numbers.lift_interval(comparison.ci, lang, around=comparison.relative_lift),
        level=numbers.confidence(comparison.level),
        p=p_clause(comparison.decisive_p, lang),
        **names,
    )


def description(report: Report, metric: Metric, comparison: Comparison, lang: Lang) -> str:
    """A comparison in one sentence, for those who do not see its picture."""
    names = {"metric": label(metric, lang), "variant": comparison.variant, "control": control_name(report, lang)}
    if comparison.undefined is not None:
        return word("finding_undefined", lang, reason=numbers.undefined(comparison.undefined, lang), **names)
    return word(
        "forest_description",
        lang,
        lift=numbers.lift(comparison.relative_lift, comparison.ci),
        interval=numbers.lift_interval(comparison.ci, lang, around=comparison.relative_lift),
        level=numbers.confidence(comparison.level),
        p=p_clause(comparison.decisive_p, lang),
        tone=word(f"tone.{tone(metric, comparison)}", lang),
        **names,
    )


def slot(report: Report, variant: str) -> int:
    """The variant's place among the report's variants, which picks its colour and symbol; 0 for an unknown one."""
    return next((index for index, one in enumerate(report.variants) if one.key == variant), 0)


def levels(report: Report) -> set[float]:
    """The levels of the report's intervals; they differ where some metrics are corrected for and others not."""
    made = (one.used for metric in report.metrics for one in metric.comparisons)
    return {one.level for one in made if one.level is not None}


def interval_heading(report: Report, lang: Lang) -> str:
    """What stands above the intervals: with their level where they share one."""
    known = levels(report)
    if len(known) != 1:
        return word("interval", lang)
    return word("interval_level", lang, level=numbers.confidence(known.pop()))


def own_level(report: Report, metric: Metric, lang: Lang) -> str:
    """The level of the metric's intervals, where the report's intervals do not share one; else empty."""
    level = next((one.used.level for one in metric.comparisons if one.used.level is not None), None)
    if level is None or len(levels(report)) == 1:
        return ""
    return word("interval_level", lang, level=numbers.confidence(level))


def control_name(report: Report, lang: Lang) -> str:
    """The control's key, or the word for it where no variant is marked."""
    return report.control or word("control", lang)


def truth_sentence(truth: Truth, lang: Lang) -> str:
    """What was planted, as a clause."""
    if truth.planted == "none":
        return word("truth.none", lang)
    if truth.relative_lift is None:
        return word("truth.effect_unsized", lang)
    return word("truth.effect", lang, lift=numbers.lift(truth.relative_lift))


def truth_state(truth: Truth, lang: Lang) -> str:
    """Whether the verdict agrees with what was planted."""
    if truth.correct is None:
        return word("truth.open", lang)
    return word("truth.right" if truth.correct else "truth.wrong", lang)


def truth_short(truth: Truth, lang: Lang) -> tuple[str, str]:
    """What was planted and whether the verdict agrees, for a narrow column."""
    state = "open" if truth.correct is None else "right" if truth.correct else "wrong"
    if truth.planted == "effect" and truth.relative_lift is not None:
        return numbers.lift(truth.relative_lift), word(f"truth.short_{state}", lang)
    return word(f"truth.short_{truth.planted}", lang), word(f"truth.short_{state}", lang)


def check_state(*, passed: bool | None, blocking: bool) -> str:
    """The state of a check: passed, failed (it blocks), warning (it does not) or open."""
    if passed is None:
        return "open"
    if passed:
        return "passed"
    return "failed" if blocking else "warning"
