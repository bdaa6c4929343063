"""A batch of records as bytes and back: one JSON array of objects, each tagged with its kind.

Decoding checks every record again, because a batch may have been written by another version: one that breaks the
contract becomes a Fault, and never sinks the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

import orjson

from lamella.errors import InvalidEvent, InvalidInput
from lamella.events.contract import Click, Exposure, Feedback, Interaction, Read, Slate
from lamella.events.validation import parse_event, parse_exposure, parse_feedback, parse_slate

__all__ = ["Fault", "Record", "decode", "encode", "parse_event"]

Record: TypeAlias = Slate | Feedback | Exposure

_KIND: Final[dict[type[Feedback], str]] = {Click: "click", Read: "read", Interaction: "interaction"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A record that cannot be read: what it said, the stable word for what is wrong, and a sentence about it.

    `kind` and `key` (the id of the event, exposure or request) are empty where the record does not say.
    """

    why: str
    detail: str
    kind: str
    key: str
    document: bytes


def encode(records: Sequence[Record]) -> bytes:
    """The records as one batch.

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
    try:
        documents = orjson.loads(batch)
    except orjson.JSONDecodeError as error:
        return [], [Fault(why="unreadable_batch", detail=str(error), kind="", key="", document=batch)]
    if not isinstance(documents, list):
        return [], [Fault(why="unreadable_batch", detail="no JSON array", kind="", key="", document=batch)]
    records: list[Record] = []
    faults: list[Fault] = []
    for document in documents:
        try:
            records.append(_parse(document))
        except InvalidEvent as error:
            faults.append(_fault(document, error))
    return records, faults


def _parse(document: object) -> Record:
    kind = document.get("kind") if isinstance(document, dict) else None
    if isinstance(document, dict) and kind == "slate":
        return parse_slate(document)
    if isinstance(document, dict) and kind == "exposure":
        return parse_exposure(document)
    return parse_feedback(document)


def _document(record: Record) -> dict[str, object]:
    if isinstance(record, Slate):
        return {
            "kind": "slate",
            "request_id": record.request_id,
            "unit": record.unit,
            "time": _utc(record.time),
            "exposures": [(one.phase, one.variant, one.counted) for one in record.exposures],
            "impressions": [(i.item, i.rank, i.score, i.source, i.propensity) for i in record.impressions],
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
    return document


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise InvalidInput(f"time {moment.isoformat()} has no offset; times of the record are aware and in UTC")
    return moment


def _fault(document: object, error: InvalidEvent) -> Fault:
    kind, key = "", ""
    if isinstance(document, dict):
        kind = _word(document.get("kind"))
        ids = (_word(document.get(name)) for name in ("event_id", "exposure_id", "request_id"))
        key = next(filter(None, ids), "")
    return Fault(why=error.why, detail=str(error), kind=kind, key=key, document=orjson.dumps(document))


def _word(value: object) -> str:
    return value[:256] if isinstance(value, str) else ""
