"""What cannot be stored, kept with its reason; feedback whose slate comes later is taken back."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import orjson

from lamella.adapters.sql.bulk import Bulk
from lamella.adapters.sql.columns import Column, micros_at
from lamella.adapters.sql.digests import digest_of
from lamella.adapters.sql.schema import quarantine
from lamella.events.codec import Fault

Row: TypeAlias = tuple[Any, ...]

UNKNOWN_REQUEST: Final = "unknown_request"
UNIT_MISMATCH: Final = "unit_mismatch"
ERASED: Final = "erased"


_AWAITED: Final = "SELECT EXISTS (SELECT 1 FROM quarantine WHERE request IS NOT NULL)"


class Refusal(NamedTuple):
    """An event that keeps the contract and cannot be stored."""

    document: Mapping[str, Any]
    why: str


class Quarantine:
    """The quarantine as one ingest sees it."""

    def __init__(self, ways: Bulk, now: datetime) -> None:
        self._ways, self._now = ways, now

    def released(self, slates: Column) -> Iterator[bytes]:
        """Batches of the feedback that waited for these new slates (their digests), which leaves the quarantine."""
        if not len(slates) or not self._ways.read(_AWAITED)[0][0]:
            return
        columns = [quarantine.c.digest, quarantine.c.body]
        waiting: dict[bytes, bytes] = dict(self._ways.find(quarantine.c.request, slates, columns))
        self._ways.remove(quarantine.c.digest, list(waiting))
        yield from waiting.values()

    def keep(
        self, refused: Mapping[bytes, Refusal], faults: Mapping[bytes, Fault]
    ) -> tuple[Counter[str], Counter[str]]:
        """How many were there already, by kind, and how many came in, by reason."""
        (at,) = self._ways.moments(np.array([micros_at(self._now)], dtype=np.int64))
        rows: dict[bytes, Row] = {digest: _refusal(digest, each, at) for digest, each in refused.items()}
        for digest, fault in faults.items():
            said = (fault.why, fault.detail, fault.kind, fault.key, fault.document, fault.unit or None)
            rows[digest] = (digest, None, at, *said)
        column, duplicate = quarantine.c.digest, Counter[str]()
        for (digest,) in list(self._ways.find(column, list(rows), [column])):
            duplicate[rows.pop(digest)[5]] += 1
        if rows:
            columns = zip(*rows.values(), strict=True)
            self._ways.append(quarantine, dict(zip(quarantine.columns.keys(), columns, strict=True)))
        return duplicate, Counter(row[3] for row in rows.values())


def _refusal(digest: bytes, refusal: Refusal, at: Any) -> Row:
    event, reason = refusal
    kind, request_id, unit = event["kind"], event["request_id"], event["unit"]
    if reason == ERASED:
        return (digest, None, at, reason, "of a slate whose unit was erased", kind, "", b"", None)
    request = digest_of(request_id) if reason == UNKNOWN_REQUEST else None
    detail = f"request {request_id!r}, unit {unit!r}"
    return (digest, request, at, reason, detail, kind, event["event_id"], orjson.dumps([event]), unit)
