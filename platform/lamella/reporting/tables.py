"""The tables of a report as rows of text: the templates only place them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lamella.experiments.model import Json
from lamella.reporting import findings, numbers
from lamella.reporting.view import Arm, Comparison, Metric, Plan, Report
from lamella.reporting.wording import Lang, term, word

SHARES = ("alpha", "power", "minimum_effect")
NAMED = {"method": "method"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRow:
    """A variant on a metric. A second row of the same variant shows the comparison after CUPED."""

    variant: str
    slot: int
    is_control: bool
    is_adjusted: bool
    units: str
    value: str
    total: str
    difference: str
    lift: str
    interval: str
    p: str
    p_corrected: str
    chance: str
    tone: str
    symbol: str
    standing: str
    undefined_value: str
    undefined_lift: str
    is_undefined: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueGroup:
    """A metric with its rows."""

    metric: str
    role: str
    role_text: str
    wanted: str
    level: str
    rows: tuple[ValueRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """A check, what came of it, and the sign for that."""

    check: str
    state: str
    state_text: str
    symbol: str
    p: str
    detail: str


def values(report: Report, lang: Lang) -> tuple[ValueGroup, ...]:
    """Every metric by variant."""
    return tuple(
        ValueGroup(
            metric=findings.label(metric, lang),
            role=metric.role,
            role_text=term("role", metric.role, lang),
            level=findings.own_level(report, metric, lang),
            wanted=word("lower_is_better" if metric.wanted_sign < 0 else "higher_is_better", lang),
            rows=tuple(row for arm in metric.arms for row in _rows(report, metric, arm, lang)),
        )
        for metric in report.metrics
    )


def _rows(report: Report, metric: Metric, arm: Arm, lang: Lang) -> list[ValueRow]:
    comparison = next((one for one in metric.comparisons if one.variant == arm.variant), None)
    rows = [_row(report, metric, arm, comparison, lang)]
    if comparison is not None and comparison.adjusted is not None:
        rows.append(_row(report, metric, arm, comparison.adjusted, lang, is_adjusted=True))
    return rows


def _row(
    report: Report, metric: Metric, arm: Arm, comparison: Comparison | None, lang: Lang, *, is_adjusted: bool = False
) -> ValueRow:
    places = numbers.shared_places([one.value for one in metric.arms], metric.unit)
    return ValueRow(
        variant=arm.variant,
        slot=findings.slot(report, arm.variant),
        is_control=arm.variant == report.control,
        is_adjusted=is_adjusted,
        units=numbers.count(arm.units),
        value=numbers.amount(arm.value, metric.unit, places),
        total=f"{numbers.count(arm.numerator)} / {numbers.count(arm.denominator)}",
        undefined_value="" if arm.undefined is None else numbers.undefined(arm.undefined, lang),
        is_undefined=comparison is not None and comparison.difference is None,
        **_compared(metric, comparison, lang),
    )


def _compared(metric: Metric, comparison: Comparison | None, lang: Lang) -> dict[str, str]:
    empty = dict.fromkeys(
        ("difference", "lift", "interval", "p", "p_corrected", "chance", "symbol", "standing", "undefined_lift"), ""
    )
    if comparison is None:
        return empty | {"tone": "none"}
    tone = findings.tone(metric, comparison)
    said = {"tone": tone, "symbol": findings.TONE_SYMBOLS[tone], "standing": word(f"tone.{tone}", lang)}
    if comparison.difference is None:
        return empty | said | {"undefined_lift": numbers.undefined(comparison.undefined or "unknown", lang)}
    lift, interval, bayes = comparison.relative_lift, comparison.ci, comparison.bayes
    return (
        empty
        | said
        | {
            "difference": numbers.amount(comparison.difference, metric.unit, _difference_places(metric), signed=True),
            "undefined_lift": numbers.undefined(comparison.undefined, lang) if comparison.undefined else "",
            "lift": numbers.lift(lift, interval),
            "interval": numbers.lift_interval(interval, lang, around=lift),
            "p": numbers.p_value(comparison.p),
            "p_corrected": numbers.p_value(comparison.p_adjusted),
            "chance": _chance(bayes.chance_to_win) if bayes else "",
        }
    )


def _difference_places(metric: Metric) -> int:
    """Decimals for all differences of a metric: two digits of the narrowest interval's half-width."""
    scale = 100 if metric.unit == "share" else 1
    widths = [
        (one.difference_ci.high - one.difference_ci.low) / 2 * scale
        for one in metric.comparisons
        if one.difference_ci and one.difference_ci.low is not None and one.difference_ci.high is not None
    ]
    narrowest = min((width for width in widths if width > 0), default=0.0)
    if narrowest:
        return numbers.decimals(narrowest, significant=2, most=6)
    return numbers.shared_places([one.difference for one in metric.comparisons], metric.unit)


def _chance(chance: float | None) -> str:
    if chance is None:
        return "–"
    if 0.999 < chance < 1 or chance == 1:
        return f"> {numbers.share(0.999, 1)}"
    return f"< {numbers.share(0.001, 1)}" if chance < 0.001 else numbers.share(chance, 1)


def checks(report: Report, lang: Lang) -> tuple[CheckRow, ...]:
    """The checks in the order of the document."""
    states = [findings.check_state(passed=one.passed, blocking=one.blocking) for one in report.checks]
    return tuple(
        CheckRow(
            check=term("check", check.key, lang),
            state=state,
            state_text=word(f"state.{state}", lang),
            symbol=findings.CHECK_SYMBOLS[state],
            p=numbers.p_value(check.p),
            detail=check.detail,
        )
        for check, state in zip(report.checks, states, strict=True)
    )


def stops(report: Report) -> tuple[tuple[str, ...], ...]:
    """The looks of a group-sequential test: number, information, statistic, boundary."""
    return tuple(
        (
            str(number),
            numbers.share(stop.information, 0),
            "–" if stop.z is None else numbers.fixed(stop.z, 3, signed=True),
            "–" if stop.boundary is None else f"±{numbers.fixed(stop.boundary, 3)}",
        )
        for number, stop in enumerate(report.looks.stops, start=1)
    )


def traffic(report: Report, lang: Lang) -> tuple[tuple[str, ...], ...]:
    """Each variant's traffic against what was planned: the cells below `traffic_columns`."""
    weights, units = sum(one.weight for one in report.variants), report.units
    return tuple(
        (
            one.key + (f" ({word('control', lang)})" if one.is_control else ""),
            numbers.share(one.weight / weights if weights else None, 1),
            numbers.share(one.units / units if units else None, 1),
            numbers.count(one.units),
            numbers.count(one.crossed),
            numbers.count(one.slates),
            numbers.share(one.fallback_slates / one.slates if one.slates else None),
        )
        for one in report.variants
    )


def traffic_columns(lang: Lang) -> tuple[str, ...]:
    """What the cells of `traffic` are."""
    names = ("variant", "planned_share", "observed_share", "units", "crossed", "slates", "fallback_share")
    return tuple(word(name, lang) for name in names)


def plan(report: Report, lang: Lang) -> tuple[tuple[str, str], ...]:
    """What was fixed at the start, as names and values."""
    names = {metric.key: findings.label(metric, lang) for metric in report.metrics}
    return tuple(
        (term("plan", name, lang), _entry(report.plan, name, value, names, lang))
        for name, value in report.plan.fields.items()
    )


def _entry(plan: Plan, name: str, value: Json, names: Mapping[str, str], lang: Lang) -> str:
    if name == "guardrails":
        margins = (
            word("margin_is", lang, metric=names.get(metric, metric), margin=numbers.round_share(margin))
            for metric, margin in plan.margins.items()
        )
        return "; ".join(margins) or word("none", lang)
    if isinstance(value, bool):
        return word("yes" if value else "no", lang)
    if isinstance(value, int | float):
        return numbers.round_share(value) if name in SHARES else numbers.count(value)
    if isinstance(value, str):
        return names.get(value) or term(NAMED.get(name, name), value, lang)
    if isinstance(value, Sequence) and value:
        return ", ".join(names.get(str(one), str(one)) for one in value)
    return word("none", lang) if not value else str(value)


def inputs(report: Report, lang: Lang) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The means over units by variant: the columns, then a row for each variant; empty for a shape not known."""
    columns, arms = report.inputs.get("columns"), report.inputs.get("arms")
    if not isinstance(columns, Sequence) or not isinstance(arms, Mapping):
        return (), ()
    header = (word("variant", lang), word("units", lang), *(str(column) for column in columns))
    return header, tuple((str(variant), *_means(arm, len(columns))) for variant, arm in arms.items())


def _means(arm: Json, columns: int) -> tuple[str, ...]:
    if not isinstance(arm, Mapping):
        return ("–",) * (columns + 1)
    n, means = arm.get("n"), arm.get("mean")
    known = [one if isinstance(one, int | float) else None for one in means] if isinstance(means, Sequence) else []
    cells = [numbers.count(n if isinstance(n, int) else None)]
    cells += [numbers.amount(mean, "count", 6 if mean is not None and abs(mean) < 1 else 4) for mean in known[:columns]]
    return tuple(cells) + ("–",) * (columns + 1 - len(cells))
