"""What retention and erasure need from outside, as protocols: old facts in the store, and the files they move to."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from lamella.experiments.model import Json

Column: TypeAlias = Sequence[int | float | str | None]
"""The values of one column of some rows; moments are microseconds since 1970."""

MOMENT, TEXT, INTEGER, REAL = "moment", "text", "integer", "real"


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """The rows of one fact from `since` up to, not including, `until`: a calendar month in UTC."""

    fact: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedFile:
    """A file of the archive: its place below the archive's folder, its rows, and the SHA-256 of its bytes."""

    month: Month
    path: str
    rows: int
    digest: str


class OldFacts(Protocol):
    """The facts of the store, as far as they may leave it."""

    def months(self, *, until: datetime) -> Sequence[Month]:
        """The months that ended by `until` and have rows, oldest first, those of each fact."""
        ...

    def columns(self, fact: str) -> Mapping[str, str]:
        """The columns of a fact, in order, with what they hold: MOMENT, TEXT, INTEGER or REAL."""
        ...

    def batches(self, month: Month) -> Iterator[Sequence[Column]]:
        """The rows of the month in the order of time, by column, some ten thousand at a time."""
        ...

    def release(self, file: ArchivedFile, *, at: datetime) -> bool:
        """Whether the month left the store: its rows are gone and `file` is known, in one transaction.

        False, and nothing has changed, where its rows are not as many as those of the file.
        """
        ...

    def files(self) -> Sequence[ArchivedFile]:
        """Every file that the archive must have."""
        ...

    def replace(self, file: ArchivedFile) -> None:
        """From now on the archive has this content at `file.path`."""
        ...


class Archive(Protocol):
    """The files. Each is made beside its place and moved there once the store knows it: `settle` ends such a move."""

    def lock(self) -> AbstractContextManager[None]:
        """Held by whoever changes the archive; others wait."""
        ...

    def settle(self, files: Iterable[ArchivedFile]) -> None:
        """Brings every file to its place, and removes what was begun and not finished.

        Raises ArchiveCorrupt if a file is missing.
        """
        ...

    def verify(self, files: Iterable[ArchivedFile]) -> None:
        """Returns if every file is what the store says; reads all of them. Raises ArchiveCorrupt."""
        ...

    def write(
        self, month: Month, columns: Mapping[str, str], batches: Iterable[Sequence[Column]], *, number: int
    ) -> ArchivedFile:
        """The file, made and read back: its rows and their checksum are those of `batches`. Raises ArchiveCorrupt."""
        ...

    def without(self, file: ArchivedFile, unit: str) -> ArchivedFile | None:
        """The file without the rows of a unit, made beside it; None where it has no such row."""
        ...

    def rows_of(self, file: ArchivedFile, unit: str) -> Sequence[Mapping[str, Json]]:
        """The rows of a unit."""
        ...


class UnitRecords(Protocol):
    """Everything that the store holds of one unit."""

    def export(self, unit: str) -> Mapping[str, Sequence[Mapping[str, Json]]]:
        """The unit's rows by table, at one moment; tables without any are left out."""
        ...

    def erase(self, unit: str) -> Mapping[str, int]:
        """How many rows of each table are gone, or (inbox) were rewritten without the unit."""
        ...
