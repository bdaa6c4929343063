"""A team's history as records: events, exposures and slates of whatever age, row by row, each refused by itself."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from lamella.errors import InvalidEvent
from lamella.events.codec import Record
from lamella.events.contract import Exposed, Exposure, Slate
from lamella.events.validation import (
    check_time,
    parse_exposure,
    parse_feedback,
    parse_slate,
    read_text,
    read_time,
    shown,
)
from lamella.experiments.fields import value_fault
from lamella.experiments.model import Configuration, Experiment

IMPRESSION: Final = "impression"
_SHOWN: Final = frozenset(
    ("kind", "request_id", "unit", "time", "item", "rank", "score", "source", "propensity", "experiment", "variant")
)
_NUMBERS: Final = ("read_seconds", "completion", "value", "score", "propensity", "latency_ms")
_WHOLE: Final = ("rank", "snapshot", "phase")
_KEPT_AS_JSON: Final = ("context", "models", "fallbacks")
_EXPOSURE: Final = frozenset(("kind", "event_id", "unit", "time", "experiment", "variant", "counted"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of a file: its number, from 1, and its object, or why it cannot be read."""

    number: int
    row: Mapping[str, Any] | ValueError


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The record that some rows made, or why they made none; `last` is the number of the newest of them."""

    last: int
    first: int
    record: Record | None
    fault: InvalidEvent | None = None


class Importing:
    """Turns rows into records, against one state of the configuration.

    Rows of kind impression that follow each other and have the same `request_id` make one slate.
    """

    def __init__(self, configuration: Configuration, now: datetime) -> None:
        self._experiments = {each.key: each for each in configuration.experiments}
        self._of_phase = {phase.id: each for each in configuration.experiments for phase in each.phases}
        self._now = now

    def records(self, lines: Iterable[Line]) -> Iterator[Imported]:
        """The records of the rows, in order; never raises for a row."""
        shown: list[tuple[Line, Mapping[str, Any]]] = []
        for line in lines:
            row = _typed(line.row) if isinstance(line.row, Mapping) else {}
            if shown and (row.get("kind") != IMPRESSION or row.get("request_id") != shown[0][1].get("request_id")):
                yield self._made(shown)
                shown = []
            if row.get("kind") == IMPRESSION:
                shown.append((line, row))
            else:
                yield self._made([(line, row)])
        if shown:
            yield self._made(shown)

    def _made(self, rows: list[tuple[Line, Mapping[str, Any]]]) -> Imported:
        first, last = rows[0][0].number, rows[-1][0].number
        try:
            return Imported(first=first, last=last, record=self._record(rows))
        except InvalidEvent as error:
            fault = error
        except OverflowError:
            fault = InvalidEvent("out_of_range", "a number is larger than any that is kept")
        except RecursionError:
            fault = InvalidEvent("wrong_type", "it is too deeply nested to be read")
        return Imported(first=first, last=last, record=None, fault=fault)

    def _record(self, rows: list[tuple[Line, Mapping[str, Any]]]) -> Record:
        line, row = rows[0]
        if isinstance(line.row, ValueError):
            raise InvalidEvent("not_an_object", str(line.row))
        record = self._read(line.number, row, [each for _, each in rows])
        check_time(record.time, self._now, late=None)
        return record

    def _read(self, number: int, row: Mapping[str, Any], rows: list[Mapping[str, Any]]) -> Record:
        kind = row.get("kind")
        if kind == IMPRESSION:
            return self._shown(rows)
        if kind == "slate":
            return self._slate(row)
        if "event_id" not in row:
            row = {**row, "event_id": _own_id(number, row)}
        if kind == "exposure":
            return self._exposure(row)
        return parse_feedback(row)

    def _slate(self, row: Mapping[str, Any]) -> Slate:
        """A slate whose `impressions` may be objects, or whose `items` are just listed; exposures name experiments."""
        time = read_time(row)
        listed = row.get("impressions", row.get("items", []))
        if not isinstance(listed, list) or not isinstance(row.get("exposures", []), list):
            raise InvalidEvent("wrong_type", "impressions, items and exposures are lists")
        for name in _KEPT_AS_JSON:
            if fault := value_fault(row.get(name)):
                raise InvalidEvent("wrong_type", f"{name} {fault}")
        document = {name: value for name, value in row.items() if name != "items"}
        document["impressions"] = [_impression(each, rank) for rank, each in enumerate(listed, start=1)]
        document["exposures"] = [self._exposed(each, time) for each in row.get("exposures", [])]
        return parse_slate({"snapshot": 0, **document})

    def _shown(self, rows: list[Mapping[str, Any]]) -> Slate:
        """The slate of impressions that were listed one by one."""
        first = rows[0]
        for row in rows:
            if unknown := sorted(row.keys() - _SHOWN):
                raise InvalidEvent("unknown_field", f"an impression has no field {', '.join(map(repr, unknown))}")
            if row.get("unit") != first.get("unit"):
                raise InvalidEvent("unit_mismatch", "the impressions of one request name several units")
        time = min(read_time(row) for row in rows)
        named = {row["experiment"]: row.get("variant") for row in rows if row.get("experiment") is not None}
        exposures = [self._exposed({"experiment": key, "variant": variant}, time) for key, variant in named.items()]
        return parse_slate(
            {
                "kind": "slate",
                "request_id": read_text(first, "request_id"),
                "unit": read_text(first, "unit"),
                "time": time.isoformat(),
                "exposures": exposures,
                "impressions": [_impression(row, rank) for rank, row in enumerate(rows, start=1)],
                "snapshot": 0,
            }
        )

    def _exposure(self, row: Mapping[str, Any]) -> Exposure:
        if unknown := sorted(row.keys() - _EXPOSURE):
            raise InvalidEvent("unknown_field", f"an exposure has no field {', '.join(map(repr, unknown))}")
        return parse_exposure(
            {
                "kind": "exposure",
                "exposure_id": read_text(row, "event_id"),
                "unit": read_text(row, "unit"),
                "time": row.get("time"),
                "exposed": self._exposed(row, read_time(row)),
            }
        )

    def _exposed(self, stated: Any, time: datetime) -> list[Any]:
        """Phase, variant and whether it counts: the phase that ran at that time."""
        if isinstance(stated, list):
            return self._known(stated)
        if not isinstance(stated, Mapping):
            raise InvalidEvent("wrong_type", f"exposure {shown(stated)}: send an object with experiment and variant")
        key, variant = read_text(stated, "experiment"), read_text(stated, "variant")
        experiment = self._experiments.get(key)
        if experiment is None:
            raise InvalidEvent("unknown_experiment", f"no experiment {key!r}")
        if variant not in [each.key for each in experiment.variants]:
            raise InvalidEvent("unknown_variant", f"experiment {key!r} has no variant {variant!r}")
        exposed = Exposed(phase=_phase_at(experiment, time), variant=variant, counted=bool(stated.get("counted", True)))
        return [exposed.phase, exposed.variant, exposed.counted]

    def _known(self, stated: list[Any]) -> list[Any]:
        """An exposure as the record writes it: one of an unknown phase would be inherited by a later experiment."""
        phase, variant = stated[:2] if len(stated) > 1 else (None, None)
        if type(phase) is not int or phase not in self._of_phase:
            raise InvalidEvent("unknown_phase", f"exposure {shown(stated)}: no experiment has that phase")
        if variant not in [each.key for each in self._of_phase[phase].variants]:
            raise InvalidEvent("unknown_variant", f"exposure {shown(stated)}: the experiment has no such variant")
        return stated


def _phase_at(experiment: Experiment, time: datetime) -> int:
    for phase in experiment.phases:
        if phase.started_at <= time and (phase.ended_at is None or time < phase.ended_at):
            return phase.id
    raise InvalidEvent("unknown_phase", f"experiment {experiment.key!r} ran no phase at {time.isoformat()}")


def _impression(stated: Any, rank: int) -> Any:
    if isinstance(stated, str):
        return [stated, rank, 0.0, "", 1.0]
    if isinstance(stated, Mapping):
        shown = (stated.get("item"), stated.get("rank", rank), stated.get("score", 0.0))
        return [*shown, stated.get("source", ""), stated.get("propensity", 1.0)]
    return stated


def _typed(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with numbers for the texts that a CSV has; empty cells are left out."""
    typed = {name: value for name, value in row.items() if value is not None and value != ""}
    for name in (*_NUMBERS, *_WHOLE):
        if isinstance(typed.get(name), str):
            try:
                typed[name] = int(typed[name]) if name in _WHOLE else float(typed[name])
            except ValueError:
                # Left as it is, for the contract to refuse in its own words.
                continue
    if isinstance(typed.get("counted"), str):
        typed["counted"] = typed["counted"].lower() not in ("false", "0", "no")
    return typed


def _own_id(number: int, row: Mapping[str, Any]) -> str:
    """An id for an event that has none: the same for the same row at the same place of a file."""
    try:
        written = orjson.dumps([number, row], option=orjson.OPT_SORT_KEYS, default=str)
    except TypeError:
        # Half a surrogate pair, a number of a thousand digits: what only Python's own writer carries.
        written = json.dumps([number, row], sort_keys=True, default=str).encode()
    return f"import-{hashlib.blake2b(written, digest_size=16).hexdigest()}"
