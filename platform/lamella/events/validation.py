"""The contract of the record, checked: a JSON object becomes an event or a slate, or says exactly why not.

Every refusal is an InvalidEvent whose `why` is one of REASONS: stable words, fit to count.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from lamella.errors import InvalidEvent
from lamella.events.contract import (
    KINDS,
    Click,
    Custom,
    Event,
    Exposed,
    Exposure,
    Impression,
    Interaction,
    Read,
    Slate,
)

REASONS: Final[Mapping[str, str]] = {
    "not_an_object": "the record is no JSON object",
    "unknown_kind": "its kind is not one of click, read, interaction, custom, exposure",
    "missing_field": "a field that its kind needs is missing",
    "unknown_field": "it has a field that its kind does not know",
    "wrong_type": "a field has the wrong JSON type",
    "empty": "an id is the empty text",
    "too_long": "an id is longer than 256 characters, an action than 32, or a name than 64",
    "control_character": "an id holds a control character",
    "out_of_range": "a number is outside its range",
    "repeated": "a slate names a phase or a rank twice",
    "bad_time": "the time is not RFC 3339",
    "naive_time": "the time has no offset",
    "in_future": "the time lies more than five minutes ahead of ours",
    "too_late": "the event is older than late events may be",
    "clock_skew": "sent_at is more than a day from ours: the body was made for another sending",
}
TEXT_LIMIT: Final = 256
ACTION_LIMIT: Final = 32
NAME_LIMIT: Final = 64
VALUE_LIMIT: Final = 1e12
READ_SECONDS_LIMIT: Final = 86_400.0
_NUMBERS: Final = (float, int)
INTEGER_LIMIT: Final = 2**31 - 1
RANK_LIMIT: Final = 32_767
SKEW: Final = timedelta(minutes=5)
LATE: Final = timedelta(hours=72)

_COMMON: Final = ("event_id", "request_id", "unit", "item", "time")
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "click": frozenset(("kind", *_COMMON)),
    "read": frozenset(("kind", *_COMMON, "read_seconds", "completion")),
    "interaction": frozenset(("kind", *_COMMON, "action")),
    "custom": frozenset(("kind", *_COMMON, "name", "value")),
}
_SLATE: Final = frozenset(
    ("kind", "request_id", "unit", "time", "exposures", "impressions", "snapshot", "models", "fallbacks", "context")
) | {"latency_ms"}
_EXPOSURE: Final = frozenset(("kind", "exposure_id", "unit", "time", "exposed"))
# C0, DEL, C1, and halves of surrogate pairs, which UTF-8 cannot carry.
CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def parse_event(document: object, now: datetime, *, late: timedelta | None = LATE) -> Event:
    """The click, read, interaction or custom event that a JSON object describes, its time in UTC.

    `late` is how old an event may be; None takes any age, for imports of the past. Raises InvalidEvent.
    """
    event = parse_feedback(document)
    check_time(event.time, now, late=late)
    return event


def check_time(time: datetime, now: datetime, *, late: timedelta | None = LATE) -> None:
    """Nothing. Raises InvalidEvent for a time ahead of ours, or more than `late` ago."""
    if time > now + SKEW:
        raise InvalidEvent("in_future", f"time {time.isoformat()} is ahead of ours, {now.isoformat()}; set the clock")
    if late is not None and time < now - late:
        hours = late.total_seconds() / 3600
        raise InvalidEvent("too_late", f"time {time.isoformat()} is more than {hours:g} h ago; import it instead")


def parse_feedback(document: object) -> Event:
    """The click, read, interaction or custom event that a JSON object describes, at whatever time.

    Raises InvalidEvent.
    """
    if not isinstance(document, Mapping):
        raise InvalidEvent("not_an_object", f"an event is a JSON object, not {_type(document)}")
    kind = document.get("kind")
    fields = _FIELDS.get(kind) if isinstance(kind, str) else None
    if fields is None:
        why = "unknown_kind" if "kind" in document else "missing_field"
        raise InvalidEvent(why, f"kind is {shown(kind)}; use one of {', '.join(KINDS)}, exposure")
    if not document.keys() <= fields:
        unknown = ", ".join(sorted(f"{key!r:.80}" for key in document.keys() - fields))
        raise InvalidEvent("unknown_field", f"a {kind} has no field {unknown}; use {', '.join(sorted(fields))}")
    if kind == "custom":
        return _custom(document)
    event_id, request_id = read_text(document, "event_id"), read_text(document, "request_id")
    unit, item, time = read_text(document, "unit"), read_text(document, "item"), read_time(document)
    if kind == "click":
        return Click(event_id=event_id, request_id=request_id, unit=unit, item=item, time=time)
    if kind == "read":
        return Read(
            event_id=event_id,
            request_id=request_id,
            unit=unit,
            item=item,
            time=time,
            read_seconds=_number(document, "read_seconds", most=READ_SECONDS_LIMIT),
            completion=None if document.get("completion") is None else _number(document, "completion", most=1.0),
        )
    action = read_text(document, "action", most=ACTION_LIMIT)
    return Interaction(event_id=event_id, request_id=request_id, unit=unit, item=item, time=time, action=action)


def _custom(document: Mapping[str, object]) -> Custom:
    return Custom(
        event_id=read_text(document, "event_id"),
        unit=read_text(document, "unit"),
        time=read_time(document),
        name=read_text(document, "name", most=NAME_LIMIT),
        value=_number(document, "value", least=-VALUE_LIMIT, most=VALUE_LIMIT),
        request_id=None if document.get("request_id") is None else read_text(document, "request_id"),
        item=None if document.get("item") is None else read_text(document, "item"),
    )


def parse_slate(document: Mapping[str, object]) -> Slate:
    """The slate that a JSON object describes. Raises InvalidEvent."""
    if not document.keys() <= _SLATE:
        unknown = ", ".join(sorted(repr(key) for key in document.keys() - _SLATE))
        raise InvalidEvent("unknown_field", f"a slate has no field {unknown}")
    exposures = parse_exposures(document.get("exposures"))
    impressions = tuple(_impression(each) for each in _list(document.get("impressions"), "impressions"))
    if len({each.rank for each in impressions}) < len(impressions):
        raise InvalidEvent("repeated", "two impressions have the same rank")
    return Slate(
        request_id=read_text(document, "request_id"),
        unit=read_text(document, "unit"),
        time=read_time(document),
        exposures=exposures,
        impressions=impressions,
        snapshot=_whole(document, "snapshot"),
        models=_words(document, "models"),
        fallbacks=_words(document, "fallbacks"),
        context=_object(document, "context"),
        latency_ms=_number(document, "latency_ms") if "latency_ms" in document else 0.0,
    )


def parse_exposure(document: Mapping[str, object]) -> Exposure:
    """The exposure that a JSON object of the record describes. Raises InvalidEvent."""
    if not document.keys() <= _EXPOSURE:
        unknown = ", ".join(sorted(repr(key) for key in document.keys() - _EXPOSURE))
        raise InvalidEvent("unknown_field", f"an exposure has no field {unknown}")
    return Exposure(
        exposure_id=read_text(document, "exposure_id"),
        unit=read_text(document, "unit"),
        time=read_time(document),
        exposed=_exposed(document.get("exposed")),
    )


def parse_exposures(value: object) -> tuple[Exposed, ...]:
    """The exposures of a slate, each [phase, variant, counted]. Raises InvalidEvent."""
    exposures = tuple(_exposed(each) for each in _list(value, "exposures"))
    if len({each.phase for each in exposures}) < len(exposures):
        raise InvalidEvent("repeated", f"exposures {shown(exposures)} name a phase twice")
    return exposures


def _exposed(document: object) -> Exposed:
    match document:
        case [int(phase), str(variant), bool(counted)] if 0 <= phase <= INTEGER_LIMIT:
            _check(variant, "variant", TEXT_LIMIT)
            return Exposed(phase=phase, variant=variant, counted=counted)
    raise InvalidEvent("wrong_type", f"exposure {shown(document)}: send [phase, variant, counted]")


def _impression(document: object) -> Impression:
    if type(document) is not list or len(document) != 5:
        raise InvalidEvent("wrong_type", f"impression {shown(document)}: send [item, rank, score, source, propensity]")
    item, rank, score, source, propensity = document
    if type(item) is not str or type(rank) is not int or type(source) is not str:
        raise InvalidEvent("wrong_type", f"impression {shown(document)}: send texts for item and source, a whole rank")
    if type(score) not in _NUMBERS or type(propensity) not in _NUMBERS:
        raise InvalidEvent("wrong_type", f"impression {shown(document)}: send numbers for score and propensity")
    if not 1 <= rank <= RANK_LIMIT or not 0 < propensity <= 1 or not -math.inf < score < math.inf:
        raise InvalidEvent(
            "out_of_range", f"impression {shown(document)}: rank from 1, 0 < propensity <= 1, a finite score"
        )
    if not 0 < len(item) <= TEXT_LIMIT or not item.isprintable():
        _check(item, "item", TEXT_LIMIT)
    if source and not (len(source) <= TEXT_LIMIT and source.isprintable()):
        _check(source, "source", TEXT_LIMIT)
    return Impression(item=item, rank=rank, score=float(score), source=source, propensity=float(propensity))


def read_text(document: Mapping[str, object], field: str, *, most: int = TEXT_LIMIT) -> str:
    """The text of a field: 1 to `most` characters without control characters. Raises InvalidEvent."""
    value = document.get(field)
    if type(value) is not str:
        if field not in document:
            raise InvalidEvent("missing_field", f"{field} is missing")
        raise InvalidEvent("wrong_type", f"{field} is {shown(value)}; send a text")
    _check(value, field, most)
    return value


def shown(value: object, *, most: int = 80) -> str:
    """The beginning of the value, for a message that names it."""
    try:
        return repr(value)[:most]
    except RecursionError:
        return f"a {_type(value)} too deeply nested to be shown"[:most]


def _check(value: str, field: str, most: int) -> None:
    if not value:
        raise InvalidEvent("empty", f"{field} is empty")
    if len(value) > most:
        raise InvalidEvent("too_long", f"{field} has {len(value)} characters; send at most {most}")
    if not value.isprintable() and CONTROL.search(value):
        raise InvalidEvent("control_character", f"{field} {value!r:.80} holds a control character")


def read_time(document: Mapping[str, object]) -> datetime:
    """The moment of the field `time`, in UTC. Raises InvalidEvent."""
    value = document.get("time")
    if type(value) is not str:
        if "time" not in document:
            raise InvalidEvent("missing_field", "time is missing")
        raise InvalidEvent("wrong_type", f"time is {shown(value)}; send RFC 3339, like 2026-03-02T08:00:00Z")
    try:
        # RFC 3339 lets T and Z be small; Python reads Z alone so.
        moment = datetime.fromisoformat(value.upper())
        if moment.tzinfo is None:
            raise InvalidEvent("naive_time", f"time {value!r} has no offset; end it with Z or +00:00")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidEvent("bad_time", f"time {value!r:.80} is not RFC 3339; send 2026-03-02T08:00:00Z") from None


def _number(document: Mapping[str, object], field: str, *, least: float = 0.0, most: float = math.inf) -> float:
    value = document.get(field)
    if type(value) is not float and type(value) is not int:
        if field not in document:
            raise InvalidEvent("missing_field", f"{field} is missing")
        raise InvalidEvent("wrong_type", f"{field} is {shown(value)}; send a number")
    if not least <= value <= most or value == math.inf:
        raise InvalidEvent("out_of_range", f"{field} is {value!r:.40}; send {least:g} to {most:g}")
    # To the millionth: per-unit totals are sums of whole millionths.
    return round(float(value), 6)


def _whole(document: Mapping[str, object], field: str) -> int:
    value = document.get(field)
    if type(value) is not int or not 0 <= value <= INTEGER_LIMIT:
        raise InvalidEvent("wrong_type", f"{field} is {shown(value)}; send a whole number from 0 to {INTEGER_LIMIT}")
    return value


def _list(value: object, field: str) -> Sequence[object]:
    if not isinstance(value, list):
        raise InvalidEvent("wrong_type", f"{field} is {shown(value)}; send a list")
    return value


def _object(document: Mapping[str, object], field: str) -> Mapping[str, object]:
    value = document.get(field, {})
    if not isinstance(value, dict):
        raise InvalidEvent("wrong_type", f"{field} is {shown(value)}; send an object")
    return value


def _words(document: Mapping[str, object], field: str) -> Mapping[str, str]:
    value = _object(document, field)
    words = {key: text for key, text in value.items() if isinstance(text, str)}
    if len(words) != len(value):
        raise InvalidEvent("wrong_type", f"{field} is {shown(value)}; send texts by stage")
    return words


def _type(value: object) -> str:
    return type(value).__name__
