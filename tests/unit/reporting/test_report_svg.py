import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.reporting import svg
from lamella.reporting.scale import axis, round_step
from unit.reporting.markup import parse

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|nan|inf", re.IGNORECASE)
GEOMETRY = ("x", "y", "x1", "x2", "y1", "y2", "width", "height", "d")


def row(**changes):
    given_values = {
        "identity": "a", "title": "t", "description": "d", "span": None, "beside": None, "tone": "good",
        "is_primary": True,
    }  # fmt: skip
    return svg.ForestRow(**(given_values | changes))


def frame(x, y):
    return svg.Frame(
        identity="a", title="t", description="d", x=svg.Ruler(axis=x, text=str), y=svg.Ruler(axis=y, text=str)
    )


def extents(markup):
    for element in parse(str(markup)).walk():
        for name in GEOMETRY:
            for found in NUMBER.findall(element.attributes.get(name, "")):
                yield float(found)


@given(st.lists(FLOATS, max_size=6), st.booleans())
def test_an_axis_is_finite_and_holds_all_values(values, snap):
    made = axis(values, snap=snap)
    assert math.isfinite(made.low)
    assert math.isfinite(made.high)
    assert made.low < made.high
    assert len(made.ticks) <= 14
    assert all(0 <= made.place(value) <= 1 for value in values)
    assert all(made.low - made.step <= tick <= made.high + made.step for tick in made.ticks)


@given(st.floats(1e-200, 1e200))
def test_a_step_is_one_two_or_five_times_a_power_of_ten(rough):
    step = round_step(rough)
    assert f"{step:e}"[0] in "125"
    assert rough * 0.999 <= step <= rough * 10.001


@pytest.mark.parametrize("values", [[], [0.0], [5.0, 5.0], [1e300, -1e300], [float("nan")], [1e-300], [math.inf, 1.0]])
def test_a_degenerate_axis_still_has_a_range_and_ticks(values):
    made = axis(values)
    assert made.low < made.high
    assert made.ticks


@given(FLOATS, st.none() | FLOATS, st.none() | FLOATS, FLOATS)
def test_a_forest_row_stays_within_its_plot(estimate, low, high, margin):
    made = svg.forest_row(row(span=svg.Span(low=low, estimate=estimate, high=high), margin=margin), axis([-0.1, 0.1]))
    assert all(math.isfinite(number) and -50 <= number <= 100 for number in extents(made))


def test_an_interval_that_leaves_the_plot_ends_in_an_arrow():
    made = svg.forest_row(row(span=svg.Span(low=-5.0, estimate=0.05, high=None)), axis([-0.1, 0.1]))
    assert len(parse(str(made)).all("path", "lm-arrow")) == 2


def test_an_interval_inside_the_plot_has_no_arrow():
    made = svg.forest_row(row(span=svg.Span(low=-0.05, estimate=0.0, high=0.05)), axis([-0.1, 0.1]))
    assert not parse(str(made)).all("path", "lm-arrow")


def test_an_undefined_row_says_so_in_the_plot():
    made = parse(str(svg.forest_row(row(note="not defined: zero variance"), axis([]))))
    assert made.all("text", "lm-note")[0].text == "not defined: zero variance"


@given(st.lists(st.tuples(FLOATS, st.none() | FLOATS, st.none() | FLOATS, st.none() | FLOATS), max_size=5))
def test_a_trend_has_finite_extents_for_any_points(points):
    line = svg.Line(
        name="a",
        slot=9,
        points=tuple(
            svg.Point(x=x, y=y, span=None if y is None else svg.Span(low=low, estimate=y, high=high))
            for x, y, low, high in points
        ),
    )
    made = svg.trend([line], frame(axis([x for x, *_ in points]), axis([0.0, 1.0])))
    assert all(math.isfinite(number) and abs(number) <= 2000 for number in extents(made))


def test_a_gap_breaks_the_line():
    points = [svg.Point(x=float(x), y=None if x == 2 else 1.0) for x in range(5)]
    made = svg.trend([svg.Line(name="a", slot=1, points=tuple(points))], frame(axis([0, 4]), axis([0, 2])))
    assert len(parse(str(made)).all("path", "lm-line")) == 2


@given(st.lists(st.tuples(st.floats(0, 1), st.none() | FLOATS, st.none() | st.floats(0, 1e9)), max_size=5))
def test_a_boundary_chart_has_finite_extents_for_any_looks(stops):
    made = svg.boundary(stops, frame(axis([0, 1]), axis([-5, 5])))
    assert all(math.isfinite(number) and abs(number) <= 2000 for number in extents(made))


def test_every_chart_has_a_name_and_a_description():
    made = parse(str(svg.trend([], frame(axis([]), axis([]))))).children[0]
    ids = made.attributes["aria-labelledby"].split()
    assert made.attributes["role"] == "img"
    assert [child.attributes["id"] for child in made.children[:2]] == ids
    assert [child.tag for child in made.children[:2]] == ["title", "desc"]


def test_text_in_charts_is_escaped():
    made = svg.forest_row(row(title="<script>", note="<b>", description="</svg>"), axis([]))
    assert "<script>" not in made
    assert "<b>" not in made


@pytest.mark.parametrize("share", [-1.0, 0.0, 0.5, 2.0])
def test_a_progress_bar_is_filled_between_nothing_and_everything(share):
    width = parse(str(svg.progress(share))).all("rect", "lm-progress-fill")[0].attributes["width"]
    assert 0 <= float(width.rstrip("%")) <= 100
