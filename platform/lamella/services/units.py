"""One unit's records, exported or erased everywhere: the store, the inbox, the quarantine and the archive."""

import hashlib

from lamella.errors import InvalidInput
from lamella.experiments.fields import text_fault
from lamella.experiments.model import Json
from lamella.services.archive_ports import Archive, OldFacts, UnitRecords
from lamella.services.ports import Clock, ConfigurationStore
from lamella.services.record_ports import Arrivals


def digest_of_unit(unit: str) -> str:
    """How a unit is named in the audit log: `sha256:` and the digest of its text. Raises InvalidInput for no text."""
    if fault := text_fault(unit):
        raise InvalidInput(f"unit: {fault}")
    return f"sha256:{hashlib.sha256(unit.encode()).hexdigest()}"


class Units:
    """Exports and erases units; `arrivals` is what may still be on its way to the store."""

    def __init__(
        self,
        records: UnitRecords,
        facts: OldFacts,
        archive: Archive,
        configuration: ConfigurationStore,
        clock: Clock,
        *,
        arrivals: Arrivals | None = None,
    ) -> None:
        self._records, self._facts, self._archive = records, facts, archive
        self._configuration, self._clock, self._arrivals = configuration, clock, arrivals

    def export(self, unit: str) -> dict[str, Json]:
        """Everything that is recorded of the unit: its rows by table, and by fact those of the archive."""
        _check(unit)
        self._settle()
        with self._archive.lock():
            archived: dict[str, list[Json]] = {}
            for file in self._facts.files():
                rows = self._archive.rows_of(file, unit)
                if rows:
                    archived.setdefault(file.month.fact, []).extend(rows)
            found = self._records.export(unit)
        return {
            "unit": unit,
            "at": self._clock.now().isoformat(),
            "tables": {name: list(rows) for name, rows in found.items()},
            "archive": dict(archived),
            "forced_in": self._forced_in(unit),
        }

    def erase(self, unit: str) -> dict[str, Json]:
        """How many rows of each table, and of each file of the archive, are gone for good.

        Reports made from now on are without the unit; those that were made stay. `forced_in` names the experiments
        whose configuration still names the unit: an override is a setting, and is removed where it was set.
        """
        _check(unit)
        self._settle()
        with self._archive.lock():
            self._archive.settle(self._facts.files())
            rewritten: dict[str, Json] = {}
            for file in self._facts.files():
                left = self._archive.without(file, unit)
                if left is not None:
                    self._facts.replace(left)
                    rewritten[file.path] = file.rows - left.rows
            self._archive.settle(self._facts.files())
            gone = self._records.erase(unit)
        return {
            "unit": digest_of_unit(unit),
            "erased_at": self._clock.now().isoformat(),
            "tables": dict(gone),
            "archive": rewritten,
            "forced_in": self._forced_in(unit),
        }

    def _settle(self) -> None:
        """What was accepted of the unit before the call must be where it is looked for."""
        if self._arrivals is not None:
            self._arrivals.settle()

    def _forced_in(self, unit: str) -> list[Json]:
        return [each.key for each in self._configuration.load().experiments if unit in each.forced]


def _check(unit: str) -> None:
    if not unit:
        raise InvalidInput("unit is empty; an erased unit has no name")
