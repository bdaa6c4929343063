"""A metric over the looks: its lift, its values, and the same numbers as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lamella.reporting import findings, numbers, svg
from lamella.reporting.scale import Axis, axis
from lamella.reporting.series import Course, Look
from lamella.reporting.view import Comparison, Metric, Report
from lamella.reporting.wording import Lang, term, word

REACH = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """Two charts of one metric, and the rows of text under `columns` that say the same."""

    metric: str
    role: str
    role_text: str
    lift_plot: Markup
    value_plot: Markup
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def trend(report: Report, course: Course, identity: str, lang: Lang) -> Trend:
    """How the metric came to where it is; `identity` starts the names of its charts."""
    return Trend(
        metric=findings.label(course.metric, lang),
        role=course.metric.role,
        role_text=term("role", course.metric.role, lang),
        lift_plot=_lift_plot(report, course, identity, lang),
        value_plot=_value_plot(report, course, identity, lang),
        columns=_columns(course.metric, lang),
        rows=tuple(_row(course.metric, look, lang) for look in course.looks),
    )


def boundary(report: Report, lang: Lang) -> Markup | None:
    """The test statistic against its boundary over the looks; None where the document has no such looks."""
    stops = [(stop.information, stop.z, stop.boundary) for stop in report.looks.stops]
    if not stops:
        return None
    zs = [abs(z) for _, z, _ in stops if z is not None]
    limits = [limit for _, _, limit in stops if limit is not None]
    reach = max(1.15 * max(zs, default=0.0), min(5.5, 1.1 * max(limits, default=2.0)))
    heights = axis([-reach, reach], count=8, padding=0)
    frame = svg.Frame(
        identity=f"lm-{report.phase}-boundary",
        title=word("boundary_title", lang),
        description=_boundary_description(report, lang),
        x=svg.Ruler(
            axis=axis([0.0, *(stop[0] for stop in stops), 1.0], count=5, padding=0),
            text=lambda tick: numbers.share(tick, 0),
        ),
        y=svg.Ruler(axis=heights, text=lambda tick: numbers.fixed(tick, heights.places(), signed=True)),
    )
    return svg.boundary(stops, frame)


def _boundary_description(report: Report, lang: Lang) -> str:
    newest = report.looks.stops[-1]
    is_crossed = newest.z is not None and newest.boundary is not None and abs(newest.z) >= newest.boundary
    return word(
        "boundary_description",
        lang,
        looks=len(report.looks.stops),
        information=numbers.share(newest.information, 0),
        z="–" if newest.z is None else numbers.fixed(newest.z, 2, signed=True),
        boundary="–" if newest.boundary is None else numbers.fixed(newest.boundary, 2),
        state=word("boundary_crossed" if is_crossed else "boundary_inside", lang),
    )


def _columns(metric: Metric, lang: Lang) -> tuple[str, ...]:
    lifts = (
        f"{one.variant}: {word(part, lang)}" for one in metric.comparisons for part in ("relative_lift", "interval")
    )
    return (word("time", lang), *(arm.variant for arm in metric.arms), *lifts)


def _row(metric: Metric, look: Look, lang: Lang) -> tuple[str, ...]:
    places = numbers.shared_places([arm.value for arm in look.arms.values()], metric.unit)
    cells = [numbers.moment(look.at)]
    for newest in metric.arms:
        arm = look.arms.get(newest.variant)
        if arm is not None and arm.undefined is not None:
            cells.append(numbers.undefined(arm.undefined, lang))
        else:
            cells.append(numbers.amount(arm.value if arm else None, metric.unit, places))
    for comparison in metric.comparisons:
        found = look.comparisons.get(comparison.variant)
        cells += _lift_cells(found.used if found else None, lang)
    return tuple(cells)


def _lift_cells(comparison: Comparison | None, lang: Lang) -> tuple[str, str]:
    if comparison is None:
        return ("–", "–")
    if comparison.undefined is not None:
        return (numbers.undefined(comparison.undefined, lang), "–")
    return (
        numbers.lift(comparison.relative_lift, comparison.ci),
        numbers.lift_interval(comparison.ci, lang, around=comparison.relative_lift),
    )


def _lift_plot(report: Report, course: Course, identity: str, lang: Lang) -> Markup:
    metric = course.metric
    lines = [
        svg.Line(
            name=one.variant,
            slot=findings.slot(report, one.variant),
            points=tuple(_lift_point(look, one.variant) for look in course.looks),
        )
        for one in metric.comparisons
    ]
    newest = {one.variant: _lift_cells(one.used, lang)[0] for one in metric.comparisons}
    effect = report.plan.minimum_effect if metric.role == "primary" else None
    mark = None if effect is None else (effect * metric.wanted_sign, word("legend.minimum_effect_line", lang))
    scale = _lift_scale(lines, mark)
    places = scale.places(100)
    return svg.trend(
        lines,
        svg.Frame(
            identity=f"{identity}-lift",
            title=word("trend_title", lang, metric=findings.label(metric, lang)),
            description=_description(newest, len(course.looks), lang),
            x=_time(report, course, lang),
            y=svg.Ruler(axis=scale, text=lambda tick: numbers.share(tick, places, signed=True), mark=mark),
        ),
    )


def _lift_point(look: Look, variant: str) -> svg.Point:
    found = look.comparisons.get(variant)
    if found is None or found.used.relative_lift is None:
        return svg.Point(x=look.days, y=None)
    one = found.used
    span = svg.Span(low=one.ci.low, estimate=found.used.relative_lift, high=one.ci.high) if one.ci else None
    return svg.Point(x=look.days, y=one.relative_lift, span=span)


def _lift_scale(lines: Sequence[svg.Line], mark: tuple[float, str] | None) -> Axis:
    """A scale on which the newest interval is read well; wide early intervals are cut."""
    spans = [_known(point) for line in lines for point in line.points]
    newest = [value for line in lines for value in (_known(line.points[-1]) if line.points else ())]
    reach = REACH * max(map(abs, newest), default=0.0) or max(
        (abs(value) for span in spans for value in span), default=1
    )
    marks = [0.0] if mark is None else [0.0, mark[0]]
    return axis([*marks, *(min(reach, max(-reach, value)) for span in spans for value in span)], count=5, padding=0.08)


def _known(point: svg.Point) -> tuple[float, ...]:
    bounds = (point.span.low, point.span.high) if point.span else ()
    return tuple(value for value in (point.y, *bounds) if value is not None)


def _value_plot(report: Report, course: Course, identity: str, lang: Lang) -> Markup:
    metric = course.metric
    lines = [
        svg.Line(
            name=arm.variant,
            slot=findings.slot(report, arm.variant),
            points=tuple(_value_point(look, arm.variant) for look in course.looks),
        )
        for arm in metric.arms
    ]
    scale = axis([point.y for line in lines for point in line.points if point.y is not None], count=5, padding=0.15)
    places = scale.places(100 if metric.unit == "share" else 1)
    newest = {
        arm.variant: numbers.amount(arm.value, metric.unit)
        if arm.undefined is None
        else numbers.undefined(arm.undefined, lang)
        for arm in metric.arms
    }
    return svg.trend(
        lines,
        svg.Frame(
            identity=f"{identity}-value",
            title=word("trend_values_title", lang, metric=findings.label(metric, lang)),
            description=_description(newest, len(course.looks), lang),
            x=_time(report, course, lang),
            y=svg.Ruler(axis=scale, text=lambda tick: numbers.amount(tick, metric.unit, places)),
        ),
    )


def _value_point(look: Look, variant: str) -> svg.Point:
    arm = look.arms.get(variant)
    return svg.Point(x=look.days, y=None if arm is None or arm.undefined is not None else arm.value)


def _description(newest: Mapping[str, str], looks: int, lang: Lang) -> str:
    last = ", ".join(f"{variant} {value}" for variant, value in newest.items())
    return word("trend_description", lang, series=", ".join(newest), looks=looks, last=last)


def _time(report: Report, course: Course, lang: Lang) -> svg.Ruler:
    """Days into the phase, up to its planned end; hours where everything happened within two days."""
    last = max((look.days for look in course.looks), default=0.0)
    planned = report.plan.planned_days
    span = max(last, planned or 0.0)
    if span < 2:
        scale = axis([0.0, span * 24 or 1.0], count=4, padding=0)
        scale = Axis(
            low=scale.low / 24, high=scale.high / 24, step=scale.step / 24, ticks=tuple(t / 24 for t in scale.ticks)
        )
        return svg.Ruler(
            axis=scale, text=lambda tick: word("hour_n", lang, n=numbers.fixed(tick * 24, 1).removesuffix(".0"))
        )
    mark = None if planned is None else (planned, word("planned_end", lang))
    return svg.Ruler(
        axis=axis([0.0, span], count=5, padding=0),
        text=lambda tick: word("day_n", lang, n=numbers.fixed(tick, 1).removesuffix(".0")),
        mark=mark,
    )
