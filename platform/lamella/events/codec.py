"""A batch of records as bytes and back: one JSON array of objects, each tagged with its kind.

The impressions of a slate travel as columns, and its items as lines of one text: a worker reads them without making an
object of each. Lists of [item, rank, score, source, propensity], as older versions wrote them, are read as well.
Decoding checks every record again, because a batch may have been written by another version: one that breaks the
contract becomes a Fault, and never sinks the others. What was refused at the door travels in the batch as a Fault too,
so that it is kept as safely as what was accepted.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

import orjson

from lamella.errors import InvalidEvent, InvalidInput
from lamella.events.contract import (
    Click,
    Custom,
    Event,
    Exposure,
    Impression,
    Impressions,
    Interaction,
    Read,
    Slate,
)
from lamella.events.validation import parse_event, parse_exposure, parse_feedback, parse_slate, shown

__all__ = ["Fault", "Record", "decode", "encode", "fault_of", "parse_event"]

Record: TypeAlias = Slate | Event | Exposure

_KIND: Final[dict[type[Event], str]] = {Click: "click", Read: "read", Interaction: "interaction", Custom: "custom"}
DOCUMENT_LIMIT: Final = 8_192
REFUSED: Final = "refused"
COLUMNS: Final = ("items", "ranks", "scores", "sources", "propensities")
"""The columns of a slate's impressions. Items are lines of one text; so are sources, or one text for all."""
_FAULT: Final = ("why", "detail", "of", "key", "unit", "body")
_UNSAFE: Final = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A record that cannot be read: what it said, the stable word for what is wrong, and a sentence about it.

    `kind`, `key` (the id of the event, exposure or request) and `unit` are empty where the record does not say.
    `document` is the record as JSON, its first DOCUMENT_LIMIT bytes.
    """

    why: str
    detail: str
    kind: str
    key: str
    document: bytes
    unit: str = ""


def encode(records: Sequence[Record | Fault]) -> bytes:
    """The records, and what was refused of their call, as one batch.

    Raises InvalidInput if one holds what JSON cannot carry, such as half a surrogate pair in a text.

    >>> decode(encode([]))
    ([], [])
    """
    try:
        return orjson.dumps([_document(record) for record in records], option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError as error:
        raise InvalidInput(f"the batch cannot be written as JSON: {error}") from None


def decode(batch: bytes) -> tuple[list[Record], list[Fault]]:
    """The records of a batch that keep the contract, in order, and a fault for each that does not.

    Bytes that are no JSON array are one fault, `unreadable_batch`.
    """
    documents = read_batch(batch)
    if isinstance(documents, Fault):
        return [], [documents]
    records: list[Record] = []
    faults: list[Fault] = []
    for document in documents:
        found = read_record(document)
        if isinstance(found, Fault):
            faults.append(found)
        else:
            records.append(found)
    return records, faults


def read_batch(batch: bytes) -> list[Any] | Fault:
    """The JSON values of a batch, none of them checked, or the fault `unreadable_batch`."""
    try:
        documents = orjson.loads(batch)
    except orjson.JSONDecodeError as error:
        return Fault(why="unreadable_batch", detail=str(error), kind="", key="", document=batch)
    if not isinstance(documents, list):
        return Fault(why="unreadable_batch", detail="no JSON array", kind="", key="", document=batch)
    return documents


def read_record(document: object) -> Record | Fault:
    """The record that one value of a batch describes, or what is wrong with it."""
    if isinstance(document, dict) and document.get("kind") == REFUSED:
        return _refusal(document)
    try:
        return _parse(document)
    except InvalidEvent as error:
        return fault_of(document, error)


def _parse(document: object) -> Record:
    kind = document.get("kind") if isinstance(document, dict) else None
    if isinstance(document, dict) and kind == "slate":
        return parse_slate(document if "impressions" in document else _listed(document))
    if isinstance(document, dict) and kind == "exposure":
        return parse_exposure(document)
    return parse_feedback(document)


def _refusal(document: dict[str, object]) -> Fault:
    """What the door refused, as `_document` wrote it."""
    why, detail, kind, key, unit, body = (_safe(document.get(name)) for name in _FAULT)
    return Fault(why=why, detail=detail, kind=kind, key=key, document=body.encode(), unit=unit)


def _document(record: Record | Fault) -> dict[str, object]:
    if isinstance(record, Fault):
        body = record.document.decode(errors="replace")
        texts = (record.why, record.detail, record.kind, record.key, record.unit, body)
        return {"kind": REFUSED, **dict(zip(_FAULT, map(_safe, texts), strict=True))}
    if isinstance(record, Slate):
        return {
            "kind": "slate",
            "request_id": record.request_id,
            "unit": record.unit,
            "time": _utc(record.time),
            "exposures": [(one.phase, one.variant, one.counted) for one in record.exposures],
            **_columns(record.impressions),
            "snapshot": record.snapshot,
            "models": dict(record.models),
            "fallbacks": dict(record.fallbacks),
            "context": dict(record.context),
            "latency_ms": record.latency_ms,
        }
    if isinstance(record, Exposure):
        return {
            "kind": "exposure",
            "exposure_id": record.exposure_id,
            "unit": record.unit,
            "time": _utc(record.time),
            "exposed": (record.exposed.phase, record.exposed.variant, record.exposed.counted),
        }
    document: dict[str, object] = {
        "kind": _KIND[type(record)],
        "event_id": record.event_id,
        "request_id": record.request_id,
        "unit": record.unit,
        "item": record.item,
        "time": _utc(record.time),
    }
    if isinstance(record, Read):
        document["read_seconds"] = record.read_seconds
        document["completion"] = record.completion
    elif isinstance(record, Interaction):
        document["action"] = record.action
    elif isinstance(record, Custom):
        document["name"], document["value"] = record.name, record.value
    return document


def _columns(impressions: Sequence[Impression]) -> dict[str, object]:
    """The impressions in columns: a source that all share once, ranks from 1 and propensities of 1 not at all."""
    if type(impressions) is Impressions:
        return _ranked_columns(impressions)
    names, sources = [each.item for each in impressions], [each.source for each in impressions]
    ranks, propensities = [each.rank for each in impressions], [each.propensity for each in impressions]
    items, told = _lines(names), _lines(sources[:1] if len(set(sources)) == 1 else sources)
    if items is None or told is None or "" in names:
        return _untold(impressions)
    return {
        "items": items,
        "ranks": [] if ranks == list(range(1, len(ranks) + 1)) else ranks,
        "scores": [each.score for each in impressions],
        "sources": told,
        "propensities": [] if propensities.count(1.0) == len(propensities) else propensities,
    }


def _ranked_columns(impressions: Impressions) -> dict[str, object]:
    """The same for those that are columns already."""
    items, propensities = _lines(impressions.items), impressions.propensities
    source = impressions.source if impressions.items else ""
    if items is None or "\n" in source or "" in impressions.items:
        return _untold(impressions)
    return {
        "items": items,
        "ranks": (),
        "scores": impressions.scores,
        "sources": source,
        "propensities": () if propensities.count(1.0) == len(propensities) else propensities,
    }


def _untold(impressions: Sequence[Impression]) -> dict[str, object]:
    """What no column can carry: it breaks the contract, and the store says so; it is told as it is."""
    return {"impressions": [(i.item, i.rank, i.score, i.source, i.propensity) for i in impressions]}


def _lines(texts: Sequence[str]) -> str | None:
    """The texts as lines of one, or None where one has several lines itself."""
    together = "\n".join(texts)
    return together if together.count("\n") == max(len(texts) - 1, 0) else None


def _listed(document: Mapping[str, object]) -> dict[str, object]:
    """The slate with its impressions listed one by one. Raises InvalidEvent where the columns are not of one length."""
    slate = dict(document)
    items, ranks, scores, sources, propensities = (slate.pop(name, None) for name in COLUMNS)
    match items, ranks, scores, sources, propensities:
        case [str(), list(), list(), str(), list()]:
            names = items.split("\n") if items else []
            named = sources.split("\n")
            columns: tuple[Sequence[object], ...] = (
                names,
                ranks or range(1, len(names) + 1),
                scores,
                named if len(named) > 1 else named * len(names),
                propensities or [1.0] * len(names),
            )
            if len(set(map(len, columns))) == 1:
                return {**slate, "impressions": list(map(list, zip(*columns, strict=True)))}
    told = shown((items, ranks, scores, sources, propensities))
    raise InvalidEvent("wrong_type", f"impressions {told}: send columns of one length")


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise InvalidInput(f"time {moment.isoformat()} has no offset; times of the record are aware and in UTC")
    return moment


def fault_of(document: object, error: InvalidEvent) -> Fault:
    """The fault of a record that breaks the contract in the way that `error` says."""
    kind = key = unit = ""
    if isinstance(document, dict):
        kind, unit = _word(document.get("kind")), _word(document.get("unit"))
        ids = (_word(document.get(name)) for name in ("event_id", "exposure_id", "request_id"))
        key = next(filter(None, ids), "")
    body = _written(document)[:DOCUMENT_LIMIT]
    return Fault(why=error.why, detail=_safe(str(error)), kind=kind, key=key, document=body, unit=unit)


def _word(value: object) -> str:
    return _safe(value)[:256]


def _safe(value: object) -> str:
    """The text without what no store takes: NUL and the halves of surrogate pairs; empty for what is no text."""
    return _UNSAFE.sub("\ufffd", value) if isinstance(value, str) else ""


def _written(document: object) -> bytes:
    try:
        return orjson.dumps(document)
    except TypeError:
        # NaN, half a surrogate pair, a number of a thousand digits: what only Python's own writer carries.
        return _written_by_python(document).encode()


def _written_by_python(document: object) -> str:
    try:
        return json.dumps(document)
    except RecursionError:
        # Lists in lists in lists, a thousand deep: what else the record says is kept.
        fields = document.items() if isinstance(document, dict) else ()
        return json.dumps({name: shown(value) if isinstance(value, dict | list) else value for name, value in fields})
