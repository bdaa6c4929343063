"""Flags, quarantine, erasure and an archive in memory, over a MemoryRecord."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime

import orjson

from lamella.errors import NotFound
from lamella.experiments.model import Json
from lamella.services.archive_ports import ArchivedFile, Column, Month
from lamella.services.flagging import BOT, Flag
from lamella.services.quarantine import Quarantined
from lamella.testing.record import MemoryRecord


class MemoryFlagStore:
    """Flags by unit, in the record."""

    def __init__(self, record: MemoryRecord) -> None:
        self._record = record

    def put(self, flag: Flag) -> None:
        """From now on the unit is left out."""
        self._record.flags[flag.unit] = flag

    def remove(self, unit: str) -> None:
        """From now on the unit counts again. Raises NotFound."""
        if self._record.flags.pop(unit, None) is None:
            raise NotFound("flag of unit", unit)

    def all(self, *, skip: int = 0, limit: int = 100) -> list[Flag]:
        """The flags by unit, after the first `skip`."""
        return [self._record.flags[unit] for unit in sorted(self._record.flags)][skip : skip + limit]

    def flag_heavy(self, *, slates: int, now: datetime) -> int:
        """How many units were flagged because they got more than `slates` on one day, today or yesterday."""
        seen = Counter(
            (fact.slate.unit, fact.day)
            for fact in self._record.facts
            if fact.record is fact.slate and (now.date() - fact.day).days <= 1
        )
        heavy = {unit for (unit, _), number in seen.items() if number > slates} - self._record.flags.keys()
        for unit in heavy:
            self.put(Flag(unit=unit, reason=BOT, detail="slates on one day", at=now))
        return len(heavy)


class MemoryQuarantine:
    """What the record refused."""

    def __init__(self, record: MemoryRecord) -> None:
        self._record = record

    def counts(self) -> Mapping[str, int]:
        """How many there are for each reason."""
        return Counter(each.reason for each in self._record.quarantined)

    def newest(self, *, reason: str | None = None, skip: int = 0, limit: int = 100) -> Sequence[Quarantined]:
        """The newest records, of one reason or of all, after the first `skip`."""
        found = [each for each in self._record.quarantined if reason in (None, each.reason)]
        return sorted(found, key=lambda each: each.at, reverse=True)[skip : skip + limit]

    def clear(self, *, before: datetime) -> int:
        """How many records that came before the moment were removed for good."""
        return self._record.clear(before)


class MemoryUnitRecords:
    """One unit's part of the record."""

    def __init__(self, record: MemoryRecord) -> None:
        self._record = record

    def export(self, unit: str) -> Mapping[str, Sequence[Mapping[str, Json]]]:
        """The unit's rows by table."""
        found: Mapping[str, Sequence[Mapping[str, Json]]] = {
            name: [orjson.loads(orjson.dumps(each)) for each in rows] for name, rows in self._record.of(unit).items()
        }
        return {name: rows for name, rows in found.items() if rows}

    def erase(self, unit: str) -> Mapping[str, int]:
        """How many rows are gone."""
        return self._record.erase(unit)


class MemoryArchive:
    """An archive without a file."""

    def lock(self) -> "nullcontext[None]":
        """Held by nobody."""
        return nullcontext()

    def settle(self, files: Iterable[ArchivedFile]) -> None:
        """Nothing to settle."""

    def verify(self, files: Iterable[ArchivedFile]) -> None:
        """Nothing to verify."""

    def write(
        self, month: Month, columns: Mapping[str, str], batches: Iterable[Sequence[Column]], *, number: int
    ) -> ArchivedFile:
        """A file that nobody reads."""
        del columns
        rows = sum(len(batch[0]) for batch in batches)
        return ArchivedFile(month=month, path=f"{month.fact}/part-{number}.parquet", rows=rows, digest="")

    def without(self, file: ArchivedFile, unit: str) -> ArchivedFile | None:  # noqa: ARG002 - the port has it
        """Nothing of the unit."""
        return None

    def rows_of(self, file: ArchivedFile, unit: str) -> Sequence[Mapping[str, Json]]:  # noqa: ARG002 - the port has it
        """Nothing of the unit."""
        return []


class MemoryOldFacts:
    """Facts none of which is old."""

    def months(self, *, until: datetime) -> Sequence[Month]:  # noqa: ARG002 - the port has it
        """None."""
        return []

    def columns(self, fact: str) -> Mapping[str, str]:  # noqa: ARG002 - the port has it
        """None."""
        return {}

    def batches(self, month: Month) -> Iterator[Sequence[Column]]:  # noqa: ARG002 - the port has it
        """None."""
        return iter(())

    def release(self, file: ArchivedFile, *, at: datetime) -> bool:  # noqa: ARG002 - the port has it
        """Never."""
        return False

    def files(self) -> Sequence[ArchivedFile]:
        """None."""
        return []

    def replace(self, file: ArchivedFile) -> None:
        """Nothing to replace."""
