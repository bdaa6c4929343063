"""The record in memory: journal, facts, first exposures and training data, behind three ports.

The reports and per-unit totals over it are in `lamella.testing.analysis`.
"""

import json
import threading
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from lamella.errors import Overloaded, TrainingFault
from lamella.events.codec import Record, decode
from lamella.events.contract import Click, Exposed, Exposure, Feedback, Interaction, Read, Slate
from lamella.experiments.model import Json
from lamella.services.ports import IngestReceipt, TrainingLog

FACTS: Final = ("slate", "impression", "click", "read", "interaction")
_KINDS: Final[Mapping[type[Record], str]] = {
    Slate: "slate",
    Click: "click",
    Read: "read",
    Interaction: "interaction",
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

    def __init__(self, *, limit: int = 100_000) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._inbox: list[bytes] = []
        self._slates: dict[str, Slate] = {}
        self._facts: list[Fact] = []
        self._events: set[str] = set()
        self._told: set[str] = set()
        self._refused: dict[str, Feedback] = {}
        self._faults: set[bytes] = set()
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

    def ingest(self, *, limit: int, now: datetime) -> IngestReceipt:  # noqa: ARG002 - the port has it
        """Moves batches into the facts; slates come first, so that their feedback in the same call is no orphan."""
        with self._lock:
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
                    self._faults.add(fault.document)
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
            return IngestReceipt(batches=len(batches), stored=+stored, duplicate=+duplicate, quarantined=+quarantined)

    def counts(self) -> Mapping[str, int]:
        """Rows of each fact, of the exposures, the quarantine and the inbox."""
        found = Counter(_KINDS[type(fact.record)] for fact in self._facts)
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
        for exposed in slate.exposures:
            self._expose(slate.unit, slate.time, exposed)

    def _take_exposure(self, exposure: Exposure, stored: Counter[str], duplicate: Counter[str]) -> None:
        if exposure.exposure_id in self._told:
            duplicate["exposure"] += 1
            return
        self._told.add(exposure.exposure_id)
        self._expose(exposure.unit, exposure.time, exposure.exposed)
        stored["exposure"] += 1

    def _expose(self, unit: str, time: datetime, exposed: Exposed) -> None:
        first = self._exposures.setdefault((exposed.phase, unit), FirstExposure(exposed.variant, time, exposed.counted))
        first.crossed |= first.variant != exposed.variant
        first.counted &= exposed.counted
        first.first_at, first.variant = min((first.first_at, first.variant), (time, exposed.variant))

    def _take_feedback(
        self, event: Feedback, stored: Counter[str], duplicate: Counter[str], quarantined: Counter[str]
    ) -> None:
        kind = _KINDS[type(event)]
        if event.event_id in self._events or event.event_id in self._refused:
            duplicate[kind] += 1
        elif event.request_id not in self._slates:
            self._refused[event.event_id] = event
            quarantined["unknown_request"] += 1
        elif event.unit != self._slates[event.request_id].unit:
            self._refused[event.event_id] = event
            quarantined["unit_mismatch"] += 1
        else:
            self._events.add(event.event_id)
            self._facts.append(Fact(self._slates[event.request_id], event))
            stored[kind] += 1

    def _release(self, served: Container[str]) -> list[Feedback]:
        """The refused feedback to these new slates, which is tried again."""
        found = [event for event in self._refused.values() if event.request_id in served]
        for event in found:
            del self._refused[event.event_id]
        return found


def _json(context: Mapping[str, object]) -> Mapping[str, Json]:
    """The context as the SQL store gives it back."""
    found: dict[str, Json] = json.loads(json.dumps(context))
    return found
