"""Old months of the facts move to files: written, read back, and only then taken out of the store."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from lamella.experiments.model import Configuration, Status
from lamella.services.archive_ports import Archive, ArchivedFile, Month, OldFacts
from lamella.services.ports import Clock, ConfigurationStore

_LIVE = (Status.RUNNING, Status.PAUSED)
_UNTOTALLED = frozenset({"custom"})
"""Facts that no per-unit total sums up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One step of a move: the month, its file, and how many rows left the store; `file` is None where it was held.

    `why` says why a month stays: it changed meanwhile, or a live experiment still reads it.
    """

    month: Month
    file: ArchivedFile | None
    why: str = ""


class Retention:
    """Moves what is older than `keep` to the archive."""

    def __init__(
        self, facts: OldFacts, archive: Archive, configuration: ConfigurationStore, clock: Clock, *, keep: timedelta
    ) -> None:
        self._facts, self._archive, self._configuration = facts, archive, configuration
        self._clock, self._keep = clock, keep

    def archive(self) -> Iterator[Moved]:
        """Each month that ended longer ago than `keep`, once it is safe in a file and gone from the store.

        Per-unit totals and first exposures stay. What a live experiment reads from the facts themselves stays too:
        custom events, and every kind that a declared metric measures, from the start of its phase on.
        Raises ArchiveCorrupt where a file does not hold what was written to it; the store then keeps the month.
        """
        now = self._clock.now()
        with self._archive.lock():
            known = list(self._facts.files())
            self._archive.settle(known)
            configuration = self._configuration.load()
            for month in self._facts.months(until=now - self._keep):
                if _is_read(month, configuration):
                    yield Moved(month=month, file=None, why="a live experiment reads it")
                    continue
                yield self._move(month, known)

    def _move(self, month: Month, known: list[ArchivedFile]) -> Moved:
        number = 1 + max((_number(file) for file in known if file.month == month), default=-1)
        columns = self._facts.columns(month.fact)
        file = self._archive.write(month, columns, self._facts.batches(month), number=number)
        if not self._facts.release(file, at=self._clock.now()):
            self._archive.settle(known)
            return Moved(month=month, file=None, why="it changed meanwhile; the next run moves it")
        known.append(file)
        self._archive.settle(known)
        return Moved(month=month, file=file)


def _is_read(month: Month, configuration: Configuration) -> bool:
    """Whether a live experiment, of a phase that had begun by the month's end, needs the facts themselves."""
    measured = {
        measure.event
        for metric in configuration.metrics
        for measure in (metric.measure, metric.denominator)
        if measure is not None
    }
    if month.fact not in _UNTOTALLED | measured:
        return False
    live = (each.phases[-1] for each in configuration.experiments if each.status in _LIVE and each.phases)
    return any(phase.started_at < month.until for phase in live)


def _number(file: ArchivedFile) -> int:
    return int(file.path.rpartition("-")[2].removesuffix(".parquet"))
