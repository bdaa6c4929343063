"""The explored parts of a report as flat rows, the same for CSV, data frames and tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from lamella.errors import InvalidInput
from lamella.experiments.model import Json

PARTS: Final = ("daily", "cumulative", "since_exposure", "segments", "interactions", "health", "service")
"""The parts, each a table of rows under COLUMNS."""

COLUMNS: Final = (
    "experiment", "phase", "as_of", "part", "metric", "slice", "variant", "units", "value", "value_low", "value_high",
    "difference", "difference_low", "difference_high", "relative_lift", "ci_low", "ci_high", "p", "p_adjusted",
    "undefined",
)  # fmt: skip

Cell = str | int | float | bool | None
Object = Mapping[str, Json]


def rows(document: Object, part: str) -> list[dict[str, Cell]]:
    """The rows of a part under COLUMNS; none where the report has not explored it.

    `slice` is the day, the number of days since exposure, the segment, or the other experiment with its variant; an
    interaction's `difference` is how much larger the difference is under the other experiment's treatment. Nothing is
    corrected for multiplicity but `p_adjusted`, where there is one. Raises InvalidInput for an unknown part.
    """
    if part not in PARTS:
        raise InvalidInput(f"no part {part!r} of a report; there are {', '.join(PARTS)}")
    about = _object(document.get("experiment"))
    made: Mapping[str, Callable[[Object], Iterator[dict[str, Cell]]]] = {
        "segments": _segments,
        "interactions": _interactions,
        "health": lambda held: _figures(held, "health", "recommender"),
        "service": lambda held: _figures(held, "health", "service"),
    }
    found = made[part](document) if part in made else _series(document, part)
    head: dict[str, Cell] = {"experiment": _cell(about.get("key")), "phase": _cell(about.get("phase")), "part": part}
    return [dict.fromkeys(COLUMNS) | head | row for row in found]


def _series(document: Object, part: str) -> Iterator[dict[str, Cell]]:
    held = _object(document.get("series"))
    for metric in _objects(held.get("metrics")):
        for point in _objects(metric.get(part)):
            label = point.get("day") if part != "since_exposure" else point.get("days")
            for row in _measured(point):
                yield {"as_of": _cell(held.get("as_of")), "slice": _cell(label), **row}


def _segments(document: Object) -> Iterator[dict[str, Cell]]:
    held = _object(document.get("segments"))
    for by in _objects(held.get("by")):
        for segment in _objects(by.get("segments")):
            values = _object(segment.get("values"))
            label = ", ".join(f"{name}={'?' if value is None else value}" for name, value in values.items())
            for metric in _objects(segment.get("metrics")):
                for row in _measured(metric):
                    yield {"as_of": _cell(held.get("as_of")), "slice": label, **row}


def _interactions(document: Object) -> Iterator[dict[str, Cell]]:
    held = _object(document.get("interactions"))
    for pair in _objects(held.get("pairs")):
        low, high = _bounds(pair.get("interaction_ci"))
        yield {
            "as_of": _cell(held.get("as_of")),
            "metric": _cell(pair.get("metric")),
            "slice": f"{pair.get('experiment')}: {pair.get('other_variant')}",
            "variant": _cell(pair.get("variant")),
            "difference": _cell(pair.get("interaction")),
            "difference_low": low,
            "difference_high": high,
            "p": _cell(pair.get("p")),
            "p_adjusted": _cell(pair.get("p_adjusted")),
            "undefined": _cell(pair.get("undefined")),
        }


def _figures(document: Object, key: str, name: str) -> Iterator[dict[str, Cell]]:
    held = _object(document.get(key))
    for figure in _objects(held.get(name)):
        for row in _measured(figure):
            yield {"as_of": _cell(held.get("as_of")), **row, "metric": _cell(figure.get("figure"))}


def _measured(point: Object) -> Iterator[dict[str, Cell]]:
    """One row for each variant: its value, and how it compares with control."""
    compared = {each.get("variant"): each for each in _objects(point.get("comparisons"))}
    for arm in _objects(point.get("arms")):
        beside = compared.get(arm.get("variant"), {})
        own, difference, lift = (
            _bounds(arm.get("ci")),
            _bounds(beside.get("difference_ci")),
            _bounds(beside.get("ci")),
        )
        yield {
            "metric": _cell(point.get("metric")),
            "variant": _cell(arm.get("variant")),
            "units": _cell(arm.get("units")),
            "value": _cell(arm.get("value")),
            "value_low": own[0],
            "value_high": own[1],
            "difference": _cell(beside.get("difference")),
            "difference_low": difference[0],
            "difference_high": difference[1],
            "relative_lift": _cell(beside.get("relative_lift")),
            "ci_low": lift[0],
            "ci_high": lift[1],
            "p": _cell(beside.get("p")),
            "undefined": _cell(arm.get("undefined") or beside.get("undefined")),
        }


def _bounds(value: Json) -> tuple[Cell, Cell]:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        return _cell(value[0]), _cell(value[1])
    return None, None


def _cell(value: Json) -> Cell:
    return value if isinstance(value, str | int | float) else None


def _object(value: Json) -> Object:
    return value if isinstance(value, Mapping) else {}


def _objects(value: Json) -> list[Object]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [each for each in value if isinstance(each, Mapping)]
