"""The interval plot: every lift of a report on one scale, and what each row is called."""

from dataclasses import dataclass
from statistics import median

from markupsafe import Markup

from lamella.reporting import findings, numbers, svg
from lamella.reporting.scale import Axis, axis
from lamella.reporting.view import Comparison, Interval, Metric, Report
from lamella.reporting.wording import Lang, term, word

REACH = 4.0
ROOM = 1.5
LARGEST_LIFT = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the interval plot in words, with its picture. Empty texts are left out."""

    metric: str
    role: str
    role_text: str
    variant: str
    slot: int
    tone: str
    symbol: str
    lift: str
    interval: str
    p: str
    standing: str
    is_first: bool
    plot: Markup


def rows(report: Report, lang: Lang) -> tuple[Row, ...]:
    """The rows in the order of the document: each metric, each variant against the control."""
    scale = shared_scale(report)
    return tuple(
        _row(report, metric, comparison, scale, lang) for metric in report.metrics for comparison in metric.comparisons
    )


def ruler(report: Report) -> Markup:
    """The axis below the rows."""
    scale = shared_scale(report)
    places = scale.places(100)
    return svg.forest_axis(scale, lambda tick: numbers.share(tick, places, signed=True))


def is_cut(report: Report) -> bool:
    """Whether an interval runs out of the plot, or has no limit."""
    scale = shared_scale(report)
    intervals = [one.ci for one in _drawn_comparisons(report) if one.ci is not None]
    return any(bound is None or not scale.holds(bound) for one in intervals for bound in (one.low, one.high))


def _drawn_comparisons(report: Report) -> list[Comparison]:
    """The comparisons that have a lift, before and after CUPED."""
    made = (one for metric in report.metrics for raw in metric.comparisons for one in (raw, raw.adjusted))
    return [one for one in made if one is not None and one.relative_lift is not None]


def shared_scale(report: Report) -> Axis:
    """An axis that shows every lift up to 300%; an interval far wider than the others is cut instead."""
    comparisons = _drawn_comparisons(report)
    estimates = [one.relative_lift for one in comparisons if one.relative_lift is not None]
    bounds = [bound for one in comparisons if one.ci for bound in (one.ci.low, one.ci.high) if bound is not None]
    marks = [0.0, *(-margin for margin in report.plan.margins.values()), *_effects(report)]
    shown = [value for value in (*marks, *estimates) if abs(value) <= LARGEST_LIFT]
    usual = REACH * median(map(abs, bounds)) if bounds else 0.0
    reach = max(usual, *(ROOM * abs(value) for value in shown))
    return axis([*shown, *(min(reach, max(-reach, value)) for value in (*bounds, *estimates))], count=6)


def _effects(report: Report) -> list[float]:
    effect = report.plan.minimum_effect
    return [] if effect is None or report.primary is None else [effect * report.primary.wanted_sign]


def _row(report: Report, metric: Metric, comparison: Comparison, scale: Axis, lang: Lang) -> Row:
    used, margin = comparison.used, report.plan.margins.get(metric.key)
    tone, standing = findings.tone(metric, used), findings.margin_state(metric, used, margin)
    has_lift = used.relative_lift is not None
    return Row(
        metric=findings.label(metric, lang),
        role=metric.role,
        role_text=term("role", metric.role, lang),
        variant=comparison.variant,
        slot=findings.slot(report, comparison.variant),
        tone=tone,
        symbol=findings.TONE_SYMBOLS[tone],
        lift=numbers.lift(used.relative_lift, used.ci) if has_lift else "",
        interval=numbers.lift_interval(used.ci, lang, around=used.relative_lift) if has_lift else "",
        p="" if used.decisive_p is None else findings.p_clause(used.decisive_p, lang),
        standing=word(f"margin.{standing}", lang) if standing else word(f"tone.{tone}", lang),
        is_first=comparison is metric.comparisons[0],
        plot=svg.forest_row(_drawn(report, metric, comparison, lang), scale),
    )


def _drawn(report: Report, metric: Metric, comparison: Comparison, lang: Lang) -> svg.ForestRow:
    name, margin = findings.label(metric, lang), report.plan.margins.get(metric.key)
    used = comparison.used
    is_primary = metric.role == "primary"
    position = f"{report.metrics.index(metric)}-{metric.comparisons.index(comparison)}"
    return svg.ForestRow(
        identity=f"lm-{report.phase}-forest-{position}",
        title=f"{name} · {comparison.variant}",
        description=findings.description(report, metric, used, lang),
        span=_span(used),
        beside=None if used is comparison else _span(comparison),
        tone=findings.tone(metric, used),
        is_primary=is_primary,
        effect=next(iter(_effects(report)), None) if is_primary else None,
        margin=None if margin is None else -margin * metric.wanted_sign,
        note="–" if used.undefined is None else numbers.undefined(used.undefined, lang),
    )


def _span(comparison: Comparison) -> svg.Span | None:
    if comparison.relative_lift is None:
        return None
    interval = comparison.ci or Interval(low=comparison.relative_lift, high=comparison.relative_lift)
    return svg.Span(low=interval.low, estimate=comparison.relative_lift, high=interval.high)
