"""The archive: `<fact>/year=2026/month=03/part-0.parquet`, which DuckDB, Spark and pandas read as one table.

A file is written beside its place, with `.new` at its end, and moved there once the store knows it. Killed at any
moment, the next `settle` ends the move or removes the file, as the store says.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from lamella.errors import ArchiveCorrupt
from lamella.experiments.model import Json
from lamella.services.archive_ports import INTEGER, MOMENT, REAL, TEXT, ArchivedFile, Column, Month

_NEW: Final = ".new"


class ParquetArchive:
    """Files below `folder`, which every worker and web process must share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held by whoever changes the archive; others wait."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield

    def settle(self, files: Iterable[ArchivedFile]) -> None:
        """Brings every file to its place, and removes what was begun and not finished. Raises ArchiveCorrupt."""
        known = {file.path: file for file in files}
        for path in sorted(self._folder.glob(f"*/year=*/month=*/*.parquet{_NEW}")):
            wanted = known.get(str(path.relative_to(self._folder)).removesuffix(_NEW))
            if wanted is None or _digest(path) != wanted.digest:
                path.unlink()
            else:
                path.replace(path.with_suffix(""))
        for file in known.values():
            if not (self._folder / file.path).is_file():
                raise ArchiveCorrupt(f"{self._folder / file.path} is missing; restore it from a copy")

    def verify(self, files: Iterable[ArchivedFile]) -> None:
        """Returns if every file is what the store says; reads all of them. Raises ArchiveCorrupt."""
        for file in files:
            path = self._folder / file.path
            if not path.is_file() or _digest(path) != file.digest:
                raise ArchiveCorrupt(f"{path} is missing, or is not what the store says; restore it from a copy")

    def write(
        self, month: Month, columns: Mapping[str, str], batches: Iterable[Sequence[Column]], *, number: int
    ) -> ArchivedFile:
        """The file, made and read back: its rows and their checksum are those of `batches`. Raises ArchiveCorrupt."""
        place = f"{month.fact}/year={month.since:%Y}/month={month.since:%m}/part-{number}.parquet"
        path = self._folder / f"{place}{_NEW}"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows, said = _store(path, columns, batches)
        found, read = _read_back(path, columns)
        if (found, read) != (rows, said):
            path.unlink()
            raise ArchiveCorrupt(f"{path}: {found} of {rows} rows were read back, or others than were written")
        return ArchivedFile(month=month, path=place, rows=rows, digest=_digest(path))

    def without(self, file: ArchivedFile, unit: str) -> ArchivedFile | None:
        """The file without the rows of a unit, made beside it; None where it has no such row."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        path = self._folder / file.path
        rows, is_changed = 0, False
        with (
            pq.ParquetFile(path) as old,
            pq.ParquetWriter(f"{path}{_NEW}", old.schema_arrow, compression="zstd") as new,
        ):
            for group in range(old.num_row_groups):
                table = old.read_row_group(group)
                kept = table.filter(pc.not_equal(table["unit"], unit))
                is_changed = is_changed or kept.num_rows < table.num_rows
                rows += kept.num_rows
                new.write_table(kept)
        made = Path(f"{path}{_NEW}")
        if not is_changed:
            made.unlink()
            return None
        _flush(made)
        return replace(file, rows=rows, digest=_digest(made))

    def rows_of(self, file: ArchivedFile, unit: str) -> Sequence[Mapping[str, Json]]:
        """The rows of a unit."""
        import pyarrow.parquet as pq

        table = pq.read_table(self._folder / file.path, filters=[("unit", "==", unit)], partitioning=None)
        rows: list[dict[str, Any]] = table.to_pylist()
        return [{**row, "time": row["time"].isoformat()} for row in rows]


def _store(path: Path, columns: Mapping[str, str], batches: Iterable[Sequence[Column]]) -> tuple[int, str]:
    """How many rows were written, and their checksum."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {MOMENT: pa.timestamp("us", "UTC"), TEXT: pa.string(), INTEGER: pa.int64(), REAL: pa.float64()}
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    rows, checksum = 0, hashlib.blake2b()
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            arrays = [
                pa.array(values, pa.int64()).cast(field.type)
                if pa.types.is_timestamp(field.type)
                else pa.array(values, field.type)
                for values, field in zip(batch, schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=len(batch[0]))
            _add(checksum, batch)
            rows += len(batch[0])
    _flush(path)
    return rows, checksum.hexdigest()


def _read_back(path: Path, columns: Mapping[str, str]) -> tuple[int, str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, checksum = 0, hashlib.blake2b()
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            read = [
                (table[name].cast(pa.int64()) if kind == MOMENT else table[name]).to_pylist()
                for name, kind in columns.items()
            ]
            _add(checksum, read)
            rows += table.num_rows
    return rows, checksum.hexdigest()


def _add(checksum: Any, batch: Sequence[Column]) -> None:
    for values in batch:
        checksum.update(repr(list(values)).encode(errors="surrogatepass"))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Waits until the file and its name are on disk."""
    for each in (path, path.parent):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
