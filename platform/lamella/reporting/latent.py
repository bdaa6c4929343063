"""Pictures of what is inside a model: a histogram of biases and a map of items; see `svg` for how they scale."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from lamella.reporting.drawing import SYMBOLS, image, label, percent, vertical
from lamella.reporting.scale import Axis

HISTOGRAM_HEIGHT: Final = 150
MAP_HEIGHT: Final = 440
AXIS_HEIGHT: Final = 22

MARKS: Final = (
    *SYMBOLS,
    "M-4.2 -2l2.2 -2.2l2 2l2 -2l2.2 2.2l-2 2l2 2l-2.2 2.2l-2 -2l-2 2l-2.2 -2.2l2 -2z",
    "M-5.2 -1.7h10.4v3.4h-10.4z",
)
"""A shape for each cluster beside its colour, so that the map can be read without telling colours apart."""

_LABEL_GAP: Final = 17.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a picture is called, for those who cannot see it; `identity` is unique on its page."""

    identity: str
    title: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A point of the map: where, in which cluster (from 0), and what it is called."""

    x: float
    y: float
    cluster: int
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """A histogram: `edges` is one longer than `counts`; `mark` is a marked value and what it is called."""

    edges: Sequence[float]
    counts: Sequence[int]
    mark: tuple[float, str]


def histogram(bars: Bars, named: Named, x: Axis, y: Axis, text: Callable[[float], str]) -> Markup:
    """Bars over the x axis; the y axis counts."""
    parts = list(_grid(x, y, HISTOGRAM_HEIGHT, text, lambda tick: f"{tick:,.0f}"))
    for low, high, count in zip(bars.edges, bars.edges[1:], bars.counts, strict=False):
        top = HISTOGRAM_HEIGHT * (1 - y.place(count))
        parts.append(
            Markup('<rect class="lm-bar" x="{}" width="{}" y="{:.2f}" height="{:.2f}"/>').format(
                percent(x.place(low)), percent(x.place(high) - x.place(low)), top, HISTOGRAM_HEIGHT - top
            )
        )
    share = x.place(bars.mark[0])
    is_right = share > 0.5
    parts.append(vertical(share, f"{HISTOGRAM_HEIGHT}", "lm-end lm-mean"))
    parts.append(
        Markup('<text class="lm-note" x="{}" dx="{}" y="-4" text-anchor="{}">{}</text>').format(
            percent(share), 3 if is_right else -3, "end" if is_right else "start", bars.mark[1]
        )
    )
    return image(
        named.identity,
        named.title,
        named.description,
        height=HISTOGRAM_HEIGHT + AXIS_HEIGHT,
        kind="lm-trend",
        parts=parts,
    )


def item_map(dots: Sequence[Dot], named: Named, x: Axis, y: Axis, text: Callable[[float, Axis], str]) -> Markup:
    """Items as shapes in the colours of their clusters, each cluster's number at the middle of its points."""
    parts = list(_grid(x, y, MAP_HEIGHT, lambda tick: text(tick, x), lambda tick: text(tick, y)))
    for dot in dots:
        slot = dot.cluster % len(MARKS)
        parts.append(
            Markup('<svg x="{}" y="{:.2f}" overflow="visible"><path class="lm-point lm-c{}" d="{}">').format(
                percent(x.place(dot.x)), MAP_HEIGHT * (1 - y.place(dot.y)), slot, MARKS[slot]
            )
            + Markup("<title>{}</title></path></svg>").format(dot.title)
        )
    parts.extend(_numbers(dots, x, y))
    return image(
        named.identity, named.title, named.description, height=MAP_HEIGHT + AXIS_HEIGHT, kind="lm-trend", parts=parts
    )


def cluster_key(cluster: int) -> Markup:
    """The shape of a cluster in its colour, for legends."""
    slot = cluster % len(MARKS)
    return Markup(
        '<svg class="lm-key" width="16" height="12" aria-hidden="true"><g transform="translate(8 6)">'
        '<path class="lm-point lm-c{}" d="{}"/></g></svg>'
    ).format(slot, MARKS[slot])


def _numbers(dots: Sequence[Dot], x: Axis, y: Axis) -> Iterable[Markup]:
    """The number of each cluster at the mean of its points, moved down where it would lie upon another."""
    placed: list[tuple[float, float]] = []
    for cluster in sorted({dot.cluster for dot in dots}):
        own = [dot for dot in dots if dot.cluster == cluster]
        across = sum(x.place(dot.x) for dot in own) / len(own)
        down = MAP_HEIGHT * (1 - sum(y.place(dot.y) for dot in own) / len(own))
        while any(abs(across - left) < 0.03 and abs(down - top) < _LABEL_GAP for left, top in placed):
            down += _LABEL_GAP
        placed.append((across, down))
        yield Markup('<text class="lm-number" x="{}" y="{:.2f}" dy="0.35em" text-anchor="middle">{}</text>').format(
            percent(across), down, cluster + 1
        )


def _grid(
    x: Axis, y: Axis, height: int, x_text: Callable[[float], str], y_text: Callable[[float], str]
) -> Iterable[Markup]:
    for tick in y.ticks:
        at = height * (1 - y.place(tick))
        yield Markup('<line class="{}" x1="0" x2="100%" y1="{:.2f}" y2="{:.2f}"/>').format(
            "lm-zero" if tick == 0 else "lm-grid", at, at
        )
        yield Markup('<text class="lm-tick" x="-8" y="{:.2f}" dy="0.35em" text-anchor="end">{}</text>').format(
            at, y_text(tick)
        )
    for tick in x.ticks:
        yield vertical(x.place(tick), f"{height}", "lm-zero" if tick == 0 else "lm-grid")
        yield label(x.place(tick), height + 17, x_text(tick))
