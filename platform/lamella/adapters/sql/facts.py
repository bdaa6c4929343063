"""One ingest: new slates, then the feedback on them, then what cannot be stored, all in one transaction."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import orjson
import sqlalchemy as sa

from lamella.adapters.sql.arms import Arms
from lamella.adapters.sql.bulk import Bulk, Row
from lamella.adapters.sql.intake import KIND, Intake, digest_of
from lamella.adapters.sql.schema import (
    click,
    event_receipt,
    impression,
    interaction,
    quarantine,
    read,
    slate,
    slate_receipt,
)
from lamella.adapters.sql.totals import Totals
from lamella.events.codec import Fault, encode
from lamella.events.contract import Click, Exposed, Exposure, Feedback, Interaction, Read, Slate

_FACT: Final = ("time", "request_id", "unit", "arm")
_EVENT: Final = (*_FACT, "event_id", "item")
UNKNOWN_REQUEST: Final = "unknown_request"
UNIT_MISMATCH: Final = "unit_mismatch"


class Ingest:
    """Stores what is new of an intake. `stored` and `duplicate` count by kind, `quarantined` by reason."""

    def __init__(self, connection: sa.Connection, ways: Bulk, arms: Arms, now: datetime) -> None:
        self._connection, self._ways, self._arms, self._now = connection, ways, arms, now
        self._totals = Totals()
        self.numbers: dict[tuple[Exposed, ...], int] = {}
        self.stored: Counter[str] = Counter()
        self.duplicate: Counter[str] = Counter()
        self.quarantined: Counter[str] = Counter()

    def run(self, intake: Intake) -> None:
        """Stores the intake; slates come first, because feedback takes its arm from them."""
        served = self._store_slates(intake.slates)
        self._release(served, intake)
        refused = self._store_feedback(intake.feedback, served)
        self._store_exposures(intake.exposures)
        self._quarantine(refused, intake.faults)
        self._totals.store(self._connection, self._ways)
        self.duplicate += intake.duplicate

    def _store_slates(self, slates: Mapping[bytes, Slate]) -> dict[bytes, tuple[int, str]]:
        """The arm and unit of each new slate, by digest."""
        known = {
            digest for (digest,) in self._ways.find(slate_receipt.c.digest, list(slates), [slate_receipt.c.digest])
        }
        self._count(self.duplicate, "slate", len(known))
        new = {digest: each for digest, each in slates.items() if digest not in known}
        self.numbers = self._arms.numbers(self._connection, (each.exposures for each in new.values()))
        receipts: list[Row] = []
        shown: list[Row] = []
        lists: list[Row] = []
        for digest, each in new.items():
            arm, time = self.numbers[each.exposures], self._ways.moment(each.time)
            receipts.append((digest, time, arm, each.unit))
            lists.append(_slate_row(each, time, arm))
            common = (time, each.request_id, each.unit, arm)
            shown.extend((*common, i.item, i.rank, i.score, i.source, i.propensity) for i in each.impressions)
            self._totals.add_slate(each, arm)
        self._ways.append(slate_receipt, ("digest", "time", "arm", "unit"), receipts)
        fields = ("snapshot", "items", "latency_ms", "models", "fallbacks", "context")
        self._ways.append(slate, (*_FACT, *fields), lists)
        self._ways.append(impression, (*_FACT, "item", "rank", "score", "source", "propensity"), shown)
        self._count(self.stored, "slate", len(new))
        self._count(self.stored, "impression", len(shown))
        return {digest: (self.numbers[each.exposures], each.unit) for digest, each in new.items()}

    def _release(self, served: Mapping[bytes, object], intake: Intake) -> None:
        """Takes back the feedback that waited in quarantine for one of these slates."""
        awaited = sa.select(sa.exists().where(quarantine.c.request.is_not(None)))
        if not served or not self._connection.execute(awaited).scalar():
            return
        columns = [quarantine.c.digest, quarantine.c.body]
        waiting: dict[bytes, bytes] = dict(self._ways.find(quarantine.c.request, list(served), columns))
        self._ways.remove(quarantine.c.digest, list(waiting))
        intake.read(waiting.values())

    def _store_feedback(
        self, feedback: Mapping[bytes, Feedback], served: Mapping[bytes, tuple[int, str]]
    ) -> dict[bytes, tuple[str, Feedback]]:
        """The events that were not stored, with the reason."""
        column = event_receipt.c.digest
        known = {digest for (digest,) in self._ways.find(column, list(feedback), [column])}
        requests = {event.request_id: digest_of(event.request_id) for event in feedback.values()}
        slates = {**self._served_before(requests.values(), served), **served}
        refused: dict[bytes, tuple[str, Feedback]] = {}
        receipts: list[Row] = []
        rows: dict[type[Feedback], list[Row]] = {Click: [], Read: [], Interaction: []}
        for digest, event in feedback.items():
            if digest in known:
                self.duplicate[KIND[type(event)]] += 1
                continue
            found = slates.get(requests[event.request_id])
            if found is None or found[1] != event.unit:
                refused[digest] = (UNKNOWN_REQUEST if found is None else UNIT_MISMATCH, event)
                continue
            time = self._ways.moment(event.time)
            receipts.append((digest, time))
            rows[type(event)].append(_event_row(event, time, found[0]))
            self._totals.add_feedback(event, found[0])
        self._ways.append(event_receipt, ("digest", "time"), receipts)
        self._ways.append(click, _EVENT, rows[Click])
        self._ways.append(read, (*_EVENT, "read_seconds", "completion"), rows[Read])
        self._ways.append(interaction, (*_EVENT, "action"), rows[Interaction])
        for kind, stored in rows.items():
            self._count(self.stored, KIND[kind], len(stored))
        return refused

    def _store_exposures(self, exposures: Mapping[bytes, Exposure]) -> None:
        column = event_receipt.c.digest
        known = {digest for (digest,) in self._ways.find(column, list(exposures), [column])}
        new = {digest: each for digest, each in exposures.items() if digest not in known}
        rows: list[Row] = [(digest, self._ways.moment(each.time)) for digest, each in new.items()]
        self._ways.append(event_receipt, ("digest", "time"), rows)
        numbers = self._arms.numbers(self._connection, ((each.exposed,) for each in new.values()))
        self.numbers = {**self.numbers, **numbers}
        for each in new.values():
            self._totals.add_exposure(each, numbers[each.exposed,])
        self._count(self.stored, "exposure", len(new))
        self._count(self.duplicate, "exposure", len(known))

    def _served_before(self, requests: Iterable[bytes], served: Mapping[bytes, object]) -> dict[bytes, tuple[int, str]]:
        wanted = [digest for digest in requests if digest not in served]
        columns = [slate_receipt.c.digest, slate_receipt.c.arm, slate_receipt.c.unit]
        return {digest: (arm, unit) for digest, arm, unit in self._ways.find(slate_receipt.c.digest, wanted, columns)}

    def _quarantine(self, refused: Mapping[bytes, tuple[str, Feedback]], faults: Mapping[bytes, Fault]) -> None:
        rows: dict[bytes, Row] = {}
        at = self._ways.moment(self._now)
        for digest, (reason, event) in refused.items():
            request = digest_of(event.request_id) if reason == UNKNOWN_REQUEST else None
            detail = f"request {event.request_id!r}, unit {event.unit!r}"
            kind = KIND[type(event)]
            rows[digest] = (digest, request, at, reason, detail, kind, event.event_id, encode([event]))
        for digest, fault in faults.items():
            rows[digest] = (digest, None, at, fault.why, fault.detail, fault.kind, fault.key, fault.document)
        column = quarantine.c.digest
        for (digest,) in list(self._ways.find(column, list(rows), [column])):
            self.duplicate[rows.pop(digest)[5]] += 1
        self._ways.append(quarantine, quarantine.columns.keys(), list(rows.values()))
        self.quarantined.update(row[3] for row in rows.values())

    @staticmethod
    def _count(counter: Counter[str], kind: str, number: int) -> None:
        if number:
            counter[kind] += number


def _slate_row(each: Slate, time: object, arm: int) -> Row:
    texts = (_json(each.models), _json(each.fallbacks), _json(each.context))
    return (time, each.request_id, each.unit, arm, each.snapshot, len(each.impressions), each.latency_ms, *texts)


def _event_row(event: Feedback, time: object, arm: int) -> Row:
    common = (time, event.request_id, event.unit, arm, event.event_id, event.item)
    match event:
        case Click():
            return common
        case Read():
            return (*common, event.read_seconds, event.completion)
        case Interaction():
            return (*common, event.action)


def _json(value: Mapping[str, object]) -> str:
    return orjson.dumps(value).decode() if value else "{}"
