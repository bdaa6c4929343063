"""The record in memory: journal, facts, first exposures and training data, behind three ports.

The reports and per-unit totals over it are in `lamella.testing.analysis`.
"""

import json
import threading
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from lamella.errors import Overloaded, TrainingFault
from lamella.events.codec import Fault, Record, decode, encode
from lamella.events.contract import Click, Custom, Event, Exposed, Exposure, Feedback, Interaction, Read, Slate
from lamella.experiments.model import Json
from lamella.services.flagging import Flag, Flagging
from lamella.services.model_ports import TrainingLog
from lamella.services.ports import IngestReceipt
from lamella.services.quarantine import Quarantined

FACTS: Final = ("slate", "impression", "click", "read", "interaction", "custom")
_KINDS: Final[Mapping[type[Record], str]] = {
    Slate: "slate",
    Click: "click",
    Read: "read",
    Interaction: "interaction",
    Custom: "custom",
    Exposure: "exposure",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """A slate, or feedback, with the slate that it belongs to."""

    slate: Slate
    record: Slate | Feedback

    @property
    def day(self) -> date:
        """The day of the record, in UTC."""
        return self.record.time.date()


@dataclass(slots=True)
class FirstExposure:
    """How a unit first met a phase. `counted` is False once it was forced, `crossed` True once it met two variants."""

    variant: str
    first_at: datetime
    counted: bool
    crossed: bool = False


class MemoryRecord:
    """A Journal, a RecordStore and a TrainingStore over the same facts. `down` makes `append` fail with its error."""

    def __init__(self, *, limit: int = 100_000, flagging: Flagging | None = None) -> None:
        self._limit, self._flagging = limit, flagging or Flagging()
        self.flags: dict[str, Flag] = {}
        self.late: list[Slate | Event | Exposure] = []
        self._now = datetime.max.replace(tzinfo=UTC)
        self._lock = threading.Lock()
        self._inbox: list[bytes] = []
        self._slates: dict[str, Slate] = {}
        self._facts: list[Fact] = []
        self._customs: list[Custom] = []
        self._events: set[str] = set()
        self._told: set[str] = set()
        self._refused: dict[str, Event] = {}
        self._faults: dict[bytes, tuple[Fault, datetime]] = {}
        self._refused_at: dict[str, datetime] = {}
        self._exposures: dict[tuple[int, str], FirstExposure] = {}
        self.down: Exception | None = None

    def append(self, batch: bytes) -> None:
        """Keeps the batch. Raises Overloaded when the inbox is full."""
        if self.down is not None:
            raise self.down
        with self._lock:
            if len(self._inbox) >= self._limit:
                raise Overloaded("the inbox")
            self._inbox.append(batch)

    @property
    def inbox(self) -> Sequence[bytes]:
        """The batches that wait."""
        return tuple(self._inbox)

    @property
    def facts(self) -> Sequence[Fact]:
        """What was ingested, in order: slates and the feedback to them."""
        return tuple(self._facts)

    @property
    def customs(self) -> Sequence[Custom]:
        """The custom events that were ingested, in order."""
        return tuple(self._customs)

    @property
    def quarantined(self) -> Sequence[Quarantined]:
        """Every refused record, as it is shown."""
        waiting = [
            Quarantined(
                at=self._refused_at[event.event_id],
                reason="unit_mismatch" if event.request_id in self._slates else "unknown_request",
                detail="",
                kind=_KINDS[type(event)],
                key=event.event_id,
                unit=event.unit,
                body=encode([event]).decode(),
            )
            for event in self._refused.values()
        ]
        return waiting + [
            Quarantined(
                at=at,
                reason=fault.why,
                detail=fault.detail,
                kind=fault.kind,
                key=fault.key,
                unit=fault.unit,
                body=fault.document.decode(errors="replace"),
            )
            for fault, at in self._faults.values()
        ]

    def clear(self, before: datetime) -> int:
        """How many refused records that came before the moment were removed."""
        old = [name for name, at in self._refused_at.items() if at < before and name in self._refused]
        stale = [document for document, (_, at) in self._faults.items() if at < before]
        for name in old:
            del self._refused[name]
        for document in stale:
            del self._faults[document]
        return len(old) + len(stale)

    def of(self, unit: str) -> Mapping[str, Sequence[object]]:
        """What the record holds of the unit, by table."""
        mine = [fact.record for fact in self._facts if fact.slate.unit == unit]
        return {
            **{kind: [each for each in mine if _KINDS[type(each)] == kind] for kind in FACTS},
            "custom": [each for each in self._customs if each.unit == unit],
            "exposure": [{"phase": phase, **asdict(f)} for (phase, of), f in self._exposures.items() if of == unit],
            "flagged_unit": [flag for of, flag in self.flags.items() if of == unit],
            "quarantine": [each for each in self.quarantined if each.unit == unit],
            "inbox": [each for batch in self._inbox for each in decode(batch)[0] if each.unit == unit],
        }

    def erase(self, unit: str) -> Mapping[str, int]:
        """How many rows of the unit are gone, by table; its slates are remembered without it."""
        with self._lock:
            gone = {name: len(rows) for name, rows in self.of(unit).items() if rows}
            self._facts = [fact for fact in self._facts if fact.slate.unit != unit]
            self._customs = [each for each in self._customs if each.unit != unit]
            self._exposures = {key: first for key, first in self._exposures.items() if key[1] != unit}
            self._slates = {
                name: replace(each, unit="", impressions=()) if each.unit == unit else each
                for name, each in self._slates.items()
            }
            self._refused = {name: each for name, each in self._refused.items() if each.unit != unit}
            self._faults = {name: each for name, each in self._faults.items() if each[0].unit != unit}
            self._inbox = [encode(_without(batch, unit)) for batch in self._inbox]
            self.flags.pop(unit, None)
            return gone

    @property
    def refused(self) -> Sequence[str]:
        """The units of the records in quarantine, one for each that names one."""
        named = [fault.unit for fault, _ in self._faults.values() if fault.unit]
        return [event.unit for event in self._refused.values()] + named

    def ingest(self, *, limit: int, now: datetime) -> IngestReceipt:
        """Moves batches into the facts; slates come first, so that their feedback in the same call is no orphan."""
        with self._lock:
            self._now = now
            batches, self._inbox = self._inbox[:limit], self._inbox[limit:]
            stored: Counter[str] = Counter()
            duplicate: Counter[str] = Counter()
            quarantined: Counter[str] = Counter()
            records: list[Record] = []
            for batch in batches:
                found, faults = decode(batch)
                records += found
                for fault in faults:
                    is_repeat = fault.document in self._faults
                    duplicate[fault.kind] += is_repeat
                    quarantined[fault.why] += not is_repeat
                    self._faults.setdefault(fault.document, (fault, now))
            known = frozenset(self._slates)
            for record in records:
                if isinstance(record, Slate):
                    self._take_slate(record, stored, duplicate)
            for record in [*self._release(self._slates.keys() - known), *records]:
                if isinstance(record, Exposure):
                    self._take_exposure(record, stored, duplicate)
                elif not isinstance(record, Slate):
                    self._take_feedback(record, stored, duplicate, quarantined)
            # Adding nothing to a Counter drops its zeros.
            return IngestReceipt(
                batches=len(batches),
                stored=+stored,
                duplicate=+duplicate,
                quarantined=+quarantined,
                is_more=bool(self._inbox),
            )

    def counts(self) -> Mapping[str, int]:
        """Rows of each fact, of the exposures, the quarantine and the inbox."""
        found = Counter(_KINDS[type(fact.record)] for fact in self._facts)
        found["custom"] = len(self._customs)
        found["impression"] = sum(len(slate.impressions) for slate in self._slates.values())
        return {
            **{kind: found[kind] for kind in FACTS},
            "exposure": len(self._exposures),
            "quarantine": len(self._refused) + len(self._faults),
            "inbox": len(self._inbox),
        }

    def impressions(self, *, since: datetime | None = None, until: datetime | None = None) -> TrainingLog:
        """All impressions of the window, by time. Raises TrainingFault if there is none."""
        clicked = {(fact.slate.request_id, fact.record.item) for fact in self._facts if isinstance(fact.record, Click)}
        rows = [
            (slate, each)
            for slate in sorted(self._slates.values(), key=lambda one: (one.time, one.request_id))
            if (since is None or slate.time >= since) and (until is None or slate.time < until)
            for each in slate.impressions
        ]
        if not rows:
            raise TrainingFault("there is no impression in the window; serve some traffic, or widen it")
        return TrainingLog(
            units=[slate.unit for slate, _ in rows],
            items=[each.item for _, each in rows],
            ranks=[each.rank for _, each in rows],
            clicked=[(slate.request_id, each.item) in clicked for slate, each in rows],
            since=rows[0][0].time,
            until=rows[-1][0].time,
            contexts={slate.unit: _json(slate.context) for slate, _ in rows if slate.context},
        )

    def exposed(self, phase: int) -> Mapping[str, FirstExposure]:
        """The first exposure of each unit to the phase."""
        return {unit: first for (of, unit), first in self._exposures.items() if of == phase}

    def _take_slate(self, slate: Slate, stored: Counter[str], duplicate: Counter[str]) -> None:
        if slate.request_id in self._slates:
            duplicate["slate"] += 1
            return
        self._slates[slate.request_id] = slate
        self._facts.append(Fact(slate, slate))
        stored["slate"] += 1
        stored["impression"] += len(slate.impressions)
        self._remark(slate, slate.context)
        for exposed in slate.exposures:
            self._expose(slate.unit, slate.time, exposed)

    def _take_exposure(self, exposure: Exposure, stored: Counter[str], duplicate: Counter[str]) -> None:
        if exposure.exposure_id in self._told:
            duplicate["exposure"] += 1
            return
        self._told.add(exposure.exposure_id)
        self._expose(exposure.unit, exposure.time, exposure.exposed)
        self._remark(exposure, {})
        stored["exposure"] += 1

    def _expose(self, unit: str, time: datetime, exposed: Exposed) -> None:
        first = self._exposures.setdefault((exposed.phase, unit), FirstExposure(exposed.variant, time, exposed.counted))
        first.crossed |= first.variant != exposed.variant
        first.counted &= exposed.counted
        first.first_at, first.variant = min((first.first_at, first.variant), (time, exposed.variant))

    def _take_feedback(
        self, event: Event, stored: Counter[str], duplicate: Counter[str], quarantined: Counter[str]
    ) -> None:
        kind = _KINDS[type(event)]
        if event.event_id in self._events or event.event_id in self._refused:
            duplicate[kind] += 1
        elif event.request_id is None:
            self._keep(event, None, stored)
        elif event.request_id not in self._slates:
            self._refuse(event)
            quarantined["unknown_request"] += 1
        elif event.unit != self._slates[event.request_id].unit:
            is_erased = not self._slates[event.request_id].unit
            self._refuse(replace(event, unit="") if is_erased else event)
            quarantined["erased" if is_erased else "unit_mismatch"] += 1
        else:
            self._keep(event, self._slates[event.request_id], stored)

    def _refuse(self, event: Event) -> None:
        self._refused[event.event_id] = event
        self._refused_at[event.event_id] = self._now

    def _keep(self, event: Event, slate: Slate | None, stored: Counter[str]) -> None:
        self._events.add(event.event_id)
        if isinstance(event, Custom):
            self._customs.append(event)
        elif slate is not None:
            self._facts.append(Fact(slate, event))
        if slate is not None:
            self._remark(event, {})
        stored[_KINDS[type(event)]] += 1

    def _remark(self, record: Slate | Event | Exposure, context: Mapping[str, Any]) -> None:
        if record.time < self._now - timedelta(hours=1):
            self.late.append(record)
        flag = self._flagging.flag(record.unit, context, self._now)
        if flag is not None and not isinstance(record, Click | Read | Interaction | Custom):
            self.flags.setdefault(record.unit, flag)

    def _release(self, served: Container[str]) -> list[Event]:
        """The refused feedback to these new slates, which is tried again."""
        found = [each for each in self._refused.values() if each.request_id is not None and each.request_id in served]
        for event in found:
            del self._refused[event.event_id]
        return found


def _json(context: Mapping[str, object]) -> Mapping[str, Json]:
    """The context as the SQL store gives it back."""
    found: dict[str, Json] = json.loads(json.dumps(context))
    return found


def _without(batch: bytes, unit: str) -> list[Record | Fault]:
    records, faults = decode(batch)
    return [each for each in (*records, *faults) if each.unit != unit]
