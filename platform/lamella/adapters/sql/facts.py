"""One ingest: new slates, then the feedback on them, then what cannot be stored, all in one transaction."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import compress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson
import sqlalchemy as sa

from lamella.adapters.sql.arms import Arms
from lamella.adapters.sql.bulk import Bulk
from lamella.adapters.sql.columns import Integers, kept, micros_at, plain, taken
from lamella.adapters.sql.digests import Digests
from lamella.adapters.sql.event_frame import EXTRAS, Events
from lamella.adapters.sql.intake import Intake
from lamella.adapters.sql.kept_schema import told
from lamella.adapters.sql.quarantining import ERASED, UNIT_MISMATCH, UNKNOWN_REQUEST, Quarantine, Refusal
from lamella.adapters.sql.reading import READING, Reading
from lamella.adapters.sql.receiving import Mask, Receiving
from lamella.adapters.sql.schema import (
    click,
    custom,
    event_receipt,
    impression,
    interaction,
    read,
    slate,
    slate_receipt,
)
from lamella.adapters.sql.slate_frame import NOTHING, Slates
from lamella.adapters.sql.tallies import Tallies
from lamella.adapters.sql.totals import Totals
from lamella.events.contract import Exposed, Exposure

if TYPE_CHECKING:
    from lamella.adapters.sql.served import Served

_NO_ARM: Final = -1
_IMPRESSION: Final = ("item", "rank", "score", "source", "propensity")
_TABLES: Final[Mapping[str, sa.Table]] = {"click": click, "read": read, "interaction": interaction, "custom": custom}


class _Chosen(NamedTuple):
    """What becomes of events: which are stored, the arm of each or _NO_ARM, and by digest those that are refused."""

    is_stored: Mask
    arms: Integers
    refused: dict[bytes, Refusal]


class Ingest:
    """Stores what is new of an intake. `stored` and `duplicate` count by kind, `quarantined` by reason."""

    def __init__(self, ways: Bulk, arms: Arms, now: datetime, receiving: Receiving, tallies: Tallies) -> None:
        self._ways, self._arms, self._now, self._receiving = ways, arms, now, receiving
        self._totals, self._tallies, self._reading = Totals(ways), tallies, Reading(ways)
        self.numbers: dict[tuple[Exposed, ...], int] = {}
        self.stored: Counter[str] = Counter()
        self.duplicate: Counter[str] = Counter()
        self.quarantined: Counter[str] = Counter()

    def run(self, intake: Intake) -> None:
        """Stores the intake; slates come first, because feedback takes its arm from them.

        What can be asked is asked before anything is written: from then on the store has always something to do, and
        the next rows are made meanwhile.
        """
        from lamella.adapters.sql.served import Served  # Arrow, which readers of the store need not import

        quarantine, served = Quarantine(self._ways, self._now), Served()
        slates, digests, arms = self._new_slates(intake.slates, intake.slate_digests, served)
        events = self._new_events(intake.events, intake.event_digests, served)
        waiting = list(quarantine.released(digests.values))
        self._store_slates(slates, arms)
        self._store_events(intake.events, events)
        refused = dict(events.refused)
        waited = Intake.of(waiting)
        if waiting:
            events = self._new_events(waited.events, waited.event_digests, served)
            self._store_events(waited.events, events)
            self.duplicate += Counter(
                each.document["kind"] for digest, each in events.refused.items() if digest in refused
            )
            refused |= events.refused
        if intake.exposures:
            self._store_exposures(intake.exposures)
        repeated, self.quarantined = quarantine.keep(refused, {**waited.faults, **intake.faults})
        self.duplicate += repeated
        # Before the totals: what a flag changes is noted from the exposures as they were.
        self._tallies.store(self._ways)
        self._totals.store()
        self._reading.store()
        self.duplicate += intake.duplicate

    def _new_slates(self, found: Slates, digests: Digests, served: "Served") -> tuple[Slates, Digests, Integers]:
        """The new slates, which leave receipts, with their digests and arms; they are added to `served`."""
        self.numbers = self._arms.numbers(self._ways, found.exposures)
        of_combination = np.array([self.numbers[each] for each in found.exposures], dtype=np.int64)
        arms = of_combination[found.combination]
        columns = {"arm": arms, "unit": found.units}
        is_new = self._receiving.receive(slate_receipt, digests, digests.is_first, columns)
        self.duplicate += Counter({"slate": int((~is_new).sum())})
        slates, arms = found if is_new.all() else found.where(is_new), kept(arms, is_new)
        served.add(slates.request_ids, arms, slates.units)
        return slates, digests.where(is_new), arms

    def _store_slates(self, slates: Slates, arms: Integers) -> None:
        moments = self._ways.moments(slates.micros)
        common = {"time": moments, "request_id": slates.request_ids, "unit": slates.units, "arm": arms}
        self._ways.append(
            impression, dict(zip(_IMPRESSION, slates.impressions, strict=True)), of=common, counts=slates.shown
        )
        self._ways.append(
            slate,
            {
                **common,
                "snapshot": slates.snapshots,
                "items": slates.shown,
                "latency_ms": slates.latencies,
                "models": slates.models,
                "fallbacks": slates.fallbacks,
                "context": _json(slates.contexts),
            },
        )
        self._totals.add_slates(slates, arms)
        self._tallies.see(slates.micros, arms)
        self._tallies.judge(plain(slates.units), slates.contexts)
        self.stored += Counter(slate=arms.size, impression=len(slates.impressions[0]))

    def _new_events(self, events: Events, digests: Digests, served: "Served") -> _Chosen:
        """The new events; those that can be stored leave receipts."""
        served.add_found(self._slates_of(served.unknown(events.request_ids)))
        rows = served.rows(events.request_ids)
        is_sound = served.are_of(rows, events.units) | np.array(events.request_ids.is_null())
        is_new = self._receiving.receive(event_receipt, digests, is_sound, {})
        if not is_new.all():
            self.duplicate += Counter(compress(events.kinds, (~is_new).tolist()))
        wrong = np.flatnonzero(is_new & ~is_sound)
        found = zip(digests.values[wrong].tolist(), events.documents(wrong), rows[wrong].tolist(), strict=True)
        refused = {digest: Refusal(document=document, why=_why(served, row)) for digest, document, row in found}
        arms = np.append(served.arms, _NO_ARM)[rows]
        return _Chosen(is_new & is_sound, arms, refused)

    def _store_events(self, events: Events, chosen: _Chosen) -> None:
        moments, is_stored, arms = self._ways.moments(events.micros), chosen.is_stored, chosen.arms
        for kind, rows in events.rows.items():
            is_mine = is_stored[rows]
            mine, extras = rows[is_mine], [kept(column, is_mine) for column in events.extras[kind]]
            micros, mine_arms, units = events.micros[mine], arms[mine], taken(events.units, mine)
            is_known = mine_arms != _NO_ARM
            common = {
                "time": taken(moments, mine),
                "request_id": taken(events.request_ids, mine),
                "unit": units,
                "arm": mine_arms if is_known.all() else [None if arm == _NO_ARM else arm for arm in mine_arms.tolist()],
                "event_id": taken(events.event_ids, mine),
                "item": taken(events.items, mine),
            }
            self._ways.append(_TABLES[kind], {**common, **dict(zip(EXTRAS[kind], extras, strict=True))})
            self._totals.add_events(kind, units, mine_arms, micros, extras)
            self._tallies.see(micros[is_known], mine_arms[is_known])
            self.stored += Counter({kind: mine.size})
            if kind in READING:
                self._reading.add(units, micros, common["item"])

    def _store_exposures(self, exposures: Mapping[bytes, Exposure]) -> None:
        digests = Digests.made(b"".join(exposures))
        micros = np.fromiter(
            (micros_at(each.time) for each in exposures.values()), dtype=np.int64, count=len(exposures)
        )
        is_new = self._receiving.receive(event_receipt, digests, digests.is_first, {})
        new = dict(compress(exposures.items(), is_new.tolist()))
        micros, digests = micros[is_new], digests.where(is_new)
        moments = self._ways.moments(micros)
        exposed = [each.exposed for each in new.values()]
        numbers = self._arms.numbers(self._ways, ((each,) for each in exposed))
        self.numbers = {**self.numbers, **numbers}
        arms = np.array([numbers[each,] for each in exposed], dtype=np.int64)
        units = [each.unit for each in new.values()]
        self._ways.append(told, {"digest": digests.values, "time": moments, "unit": units, "arm": arms})
        self._totals.add_exposures(units, arms, micros, exposed)
        self._tallies.see(micros, arms)
        self._tallies.judge(units, [{}] * len(units))
        self.stored += Counter(exposure=len(new))
        self.duplicate += Counter(exposure=len(exposures) - len(new))

    def _slates_of(self, request_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
        """The arm and the unit of those slates that the store knows; the unit of an erased one is ""."""
        digests = Digests.of(request_ids)
        names = dict(zip(digests.values.tolist(), request_ids, strict=True))
        columns = [slate_receipt.c.digest, slate_receipt.c.arm, slate_receipt.c.unit]
        found = self._ways.find(slate_receipt.c.digest, digests.distinct(), columns)
        return {names[digest]: (arm, unit or "") for digest, arm, unit in found}


def _why(served: "Served", row: int) -> str:
    """Why feedback to this slate is not stored; an erased slate has lost its unit."""
    if row < 0:
        return UNKNOWN_REQUEST
    return UNIT_MISMATCH if served.units[row].as_py() else ERASED


def _json(values: Sequence[Mapping[str, Any]]) -> list[str]:
    return [orjson.dumps(value).decode() if value else NOTHING for value in values]
