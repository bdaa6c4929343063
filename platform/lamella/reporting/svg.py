"""Charts as inline SVG: pure functions from numbers to markup, without scripts, styles or fixed widths.

Across, everything stands at percentages of the width, so that a chart fills whatever holds it while text and symbols
keep their size; down, at pixels. Colours come from classes of the stylesheet (`lm-v1` is the first variant).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from lamella.reporting.drawing import SLOTS, SYMBOLS, image, join, label, percent, symbol, vertical
from lamella.reporting.scale import Axis

PLOT_HEIGHT = 150
ROW_HEIGHT = 50
WIDE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """An estimate with its interval; None is a side without a limit."""

    low: float | None
    estimate: float
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestRow:
    """One row of a forest plot. `tone` names the colour; `effect` and `margin` are marks on the lift's own scale.

    `beside` is a second reading of the same lift, drawn lightly; `note` stands where there is no lift.
    """

    identity: str
    title: str
    description: str
    span: Span | None
    beside: Span | None
    tone: str
    is_primary: bool
    effect: float | None = None
    margin: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A value at a place along the x axis; None is a gap. With `span`, a band is drawn around it."""

    x: float
    y: float | None
    span: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line through points from left to right, in the colour, dash and symbol of `slot`."""

    name: str
    slot: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruler:
    """An axis with the text of its ticks; `mark` is a marked place on it and what that is called."""

    axis: Axis
    text: Callable[[float], str]
    mark: tuple[float, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What surrounds the lines of a chart: its rulers, and a name and a description for those who cannot see it."""

    identity: str
    title: str
    description: str
    x: Ruler
    y: Ruler


def forest_row(row: ForestRow, axis: Axis) -> Markup:
    """One interval on the shared scale, with the zero line, the minimum effect and the guardrail's margin.

    Rules run over the whole height, whatever the stylesheet makes it, and the interval stays in its middle.
    """
    parts = [vertical(axis.place(tick), "100%", "lm-grid") for tick in axis.ticks]
    if row.margin is not None:
        parts.append(_beyond(row.margin, axis))
    if axis.holds(0.0):
        parts.append(vertical(axis.place(0.0), "100%", "lm-zero"))
    if row.effect is not None and axis.holds(row.effect):
        parts.append(vertical(axis.place(row.effect), "100%", "lm-effect"))
    parts.append(Markup('<svg y="50%" width="100%" overflow="visible">{}</svg>').format(join(_marks(row, axis))))
    return image(row.identity, row.title, row.description, height=ROW_HEIGHT, kind="lm-forest-plot", parts=parts)


def _marks(row: ForestRow, axis: Axis) -> Iterable[Markup]:
    if row.span is None:
        yield Markup('<text class="lm-note" x="50%" y="4" text-anchor="middle">{}</text>').format(row.note)
        return
    kind = f"lm-span lm-{row.tone}" + (" lm-span-primary" if row.is_primary else "")
    yield _span(row.span, axis, -6 if row.beside else 0, kind)
    if row.beside:
        yield _span(row.beside, axis, 8, f"lm-span lm-beside lm-{row.tone}")


def forest_axis(axis: Axis, text: Callable[[float], str]) -> Markup:
    """The labels under a forest plot; hidden from assistive technology, which gets the numbers themselves."""
    labels = [label(axis.place(tick), 14, text(tick)) for tick in axis.ticks]
    return Markup('<svg class="lm-axis" width="100%" height="20" aria-hidden="true">{}</svg>').format(join(labels))


def trend(lines: Sequence[Line], frame: Frame) -> Markup:
    """Lines over the x axis, each with its band; what leaves the plot is held at its edge and marked by an arrow."""
    parts = [*_frame(frame)]
    parts.extend(_layer(_band(line, frame)) for line in lines)
    for line in lines:
        parts.append(_layer([_stroke(run, frame, f"lm-line lm-v{line.slot % SLOTS}") for run in _runs(line.points)]))
        parts.extend(_symbols(line, frame))
        parts.extend(_arrows(line, frame))
    return image(frame.identity, frame.title, frame.description, height=PLOT_HEIGHT + 22, kind="lm-trend", parts=parts)


def boundary(stops: Sequence[tuple[float, float | None, float | None]], frame: Frame) -> Markup:
    """The statistic of each look against its two-sided boundary; stops are (information, z, boundary)."""
    known = [(x, limit) for x, _, limit in stops if limit is not None]
    upper, lower = [(x, limit) for x, limit in known], [(x, -limit) for x, limit in known]
    parts = [*_frame(frame)]
    parts.append(_layer([_area([*upper, *reversed(lower)], frame, "lm-continue")]))
    parts.append(_layer([_stroke(edge, frame, "lm-boundary") for edge in (upper, lower)]))
    for x, limit in known:
        parts.extend(_cap(x, height, frame) for height in (limit, -limit))
    line = Line(name="", slot=1, points=tuple(Point(x=x, y=z) for x, z, _ in stops))
    parts.append(_layer([_stroke(run, frame, "lm-line lm-v1") for run in _runs(line.points)]))
    parts.extend(_symbols(line, frame))
    parts.extend(_arrows(line, frame))
    return image(frame.identity, frame.title, frame.description, height=PLOT_HEIGHT + 22, kind="lm-trend", parts=parts)


def progress(share: float) -> Markup:
    """A thin bar that is filled from the left; decoration beside the number."""
    filled = f"{100 * min(1.0, max(0.0, share)):.2f}%"
    return Markup(
        '<svg class="lm-progress" width="100%" height="6" aria-hidden="true">'
        '<rect class="lm-progress-track" width="100%" height="6" rx="3"/>'
        '<rect class="lm-progress-fill" width="{}" height="6" rx="3"/></svg>'
    ).format(filled)


def key(slot: int) -> Markup:
    """The symbol and dash of a slot, for legends."""
    return Markup(
        '<svg class="lm-key" width="26" height="12" aria-hidden="true">'
        '<line class="lm-line lm-v{0}" x1="0" y1="6" x2="26" y2="6"/>'
        '<g transform="translate(13 6)"><path class="lm-dot lm-v{0}" d="{1}"/></g></svg>'
    ).format(slot % SLOTS, SYMBOLS[slot % SLOTS])


def _beyond(margin: float, axis: Axis) -> Markup:
    edge = axis.place(margin)
    left, right = (0.0, edge) if margin < 0 else (edge, 1.0)
    shade = Markup('<rect class="lm-beyond" x="{}" y="0" width="{}" height="100%"/>').format(
        percent(left), percent(right - left)
    )
    return shade + (vertical(edge, "100%", "lm-margin") if axis.holds(margin) else Markup(""))


def _span(span: Span, axis: Axis, y: float, kind: str) -> Markup:
    low = axis.low if span.low is None else span.low
    high = axis.high if span.high is None else span.high
    parts = [
        Markup('<line class="lm-whisker" x1="{}" x2="{}" y1="{:g}" y2="{:g}"/>').format(
            percent(axis.place(low)), percent(axis.place(high)), y, y
        )
    ]
    if span.low is None or span.low < axis.low:
        parts.append(symbol(0.0, y, "M-1 0l7 -5v10z", "lm-arrow"))
    if span.high is None or span.high > axis.high:
        parts.append(symbol(1.0, y, "M1 0l-7 -5v10z", "lm-arrow"))
    if axis.holds(span.estimate):
        parts.append(symbol(axis.place(span.estimate), y, SYMBOLS[0], "lm-estimate"))
    return Markup('<g class="{}">{}</g>').format(kind, join(parts))


def _height(value: float, frame: Frame) -> float:
    return PLOT_HEIGHT * (1 - frame.y.axis.place(value))


def _frame(frame: Frame) -> Iterable[Markup]:
    for tick in frame.y.axis.ticks:
        y = _height(tick, frame)
        kind = "lm-zero" if tick == 0 else "lm-grid"
        yield Markup('<line class="{}" x1="0" x2="100%" y1="{:.2f}" y2="{:.2f}"/>').format(kind, y, y)
        yield Markup('<text class="lm-tick" x="-8" y="{:.2f}" dy="0.35em" text-anchor="end">{}</text>').format(
            y, frame.y.text(tick)
        )
    for tick in frame.x.axis.ticks:
        yield label(frame.x.axis.place(tick), PLOT_HEIGHT + 17, frame.x.text(tick))
    if frame.y.mark is not None and frame.y.axis.holds(frame.y.mark[0]):
        y = _height(frame.y.mark[0], frame)
        yield Markup(
            '<line class="lm-effect" x1="0" x2="100%" y1="{0:.2f}" y2="{0:.2f}"><title>{1}</title></line>'
        ).format(y, frame.y.mark[1])
    if frame.x.mark is not None and frame.x.axis.holds(frame.x.mark[0]):
        share = frame.x.axis.place(frame.x.mark[0])
        anchor = "end" if share > 0.5 else "start"
        yield vertical(share, f"{PLOT_HEIGHT}", "lm-end")
        yield Markup('<text class="lm-note" x="{}" dx="{}" y="10" text-anchor="{}">{}</text>').format(
            percent(share), -5 if anchor == "end" else 5, anchor, frame.x.mark[1]
        )


def _runs(points: Sequence[Point]) -> Iterable[list[tuple[float, float]]]:
    for is_gap, run in groupby(points, key=lambda point: point.y is None):
        if not is_gap:
            yield [(point.x, point.y) for point in run if point.y is not None]


def _layer(parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg width="100%" height="{0}" viewBox="0 0 {1} {0}" preserveAspectRatio="none" overflow="visible">{2}</svg>'
    ).format(PLOT_HEIGHT, WIDE, join(parts))


def _path(points: Iterable[tuple[float, float]], frame: Frame) -> str:
    return "L".join(f"{frame.x.axis.place(x) * WIDE:.2f} {_height(y, frame):.2f}" for x, y in points)


def _stroke(points: Sequence[tuple[float, float]], frame: Frame, kind: str) -> Markup:
    if len(points) < 2:
        return Markup("")
    return Markup('<path class="{}" vector-effect="non-scaling-stroke" d="M{}"/>').format(kind, _path(points, frame))


def _area(points: Sequence[tuple[float, float]], frame: Frame, kind: str) -> Markup:
    return Markup('<path class="{}" d="M{}z"/>').format(kind, _path(points, frame)) if len(points) > 2 else Markup("")


def _band(line: Line, frame: Frame) -> list[Markup]:
    bands = []
    kind = f"lm-band lm-v{line.slot % SLOTS}"
    for is_gap, run in groupby(line.points, key=lambda point: point.span is None):
        spans = [] if is_gap else [(point.x, point.span) for point in run if point.span is not None]
        upper = [(x, frame.y.axis.high if span.high is None else span.high) for x, span in spans]
        lower = [(x, frame.y.axis.low if span.low is None else span.low) for x, span in spans]
        bands.append(
            _area([*upper, *reversed(lower)], frame, kind) if len(spans) > 1 else _whisker(upper, lower, frame, kind)
        )
    return bands


def _whisker(
    upper: Sequence[tuple[float, float]], lower: Sequence[tuple[float, float]], frame: Frame, kind: str
) -> Markup:
    if not upper:
        return Markup("")
    return _stroke([upper[0], lower[0]], frame, f"{kind} lm-band-edge")


def _symbols(line: Line, frame: Frame) -> Iterable[Markup]:
    known = [(point.x, point.y) for point in line.points if point.y is not None]
    shown = known if len(known) <= 30 else known[-1:]
    for x, y in shown:
        kind = f"lm-dot lm-v{line.slot % SLOTS}"
        yield symbol(frame.x.axis.place(x), _height(y, frame), SYMBOLS[line.slot % SLOTS], kind)


def _arrows(line: Line, frame: Frame) -> Iterable[Markup]:
    kind = f"lm-arrow lm-v{line.slot % SLOTS}"
    for point in line.points:
        if point.y is None:
            continue
        low, high = (point.span.low, point.span.high) if point.span else (point.y, point.y)
        if high is None or high > frame.y.axis.high:
            yield symbol(frame.x.axis.place(point.x), 0.0, "M0 -2l4.5 6h-9z", kind)
        if low is None or low < frame.y.axis.low:
            yield symbol(frame.x.axis.place(point.x), PLOT_HEIGHT, "M0 2l4.5 -6h-9z", kind)


def _cap(x: float, value: float, frame: Frame) -> Markup:
    if not frame.y.axis.holds(value):
        path = "M0 -2l4.5 6h-9z" if value > 0 else "M0 2l4.5 -6h-9z"
        return symbol(frame.x.axis.place(x), _height(value, frame), path, "lm-arrow")
    return symbol(frame.x.axis.place(x), _height(value, frame), "M-7 -1h14v2h-14z", "lm-cap")
