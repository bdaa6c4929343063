"""The rows of a CSV, JSONL or Parquet file, one by one, and how far the reading is."""

import csv
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from lamella.errors import InvalidInput
from lamella.events.validation import shown
from lamella.services.importing import Line

SUFFIXES: Final = (".csv", ".jsonl", ".ndjson", ".parquet")
_BATCH_ROWS: Final = 10_000
# What a byte that is no UTF-8 is read as.
_ESCAPED: Final = re.compile("[\udc80-\udcff]")


class Rows:
    """The rows of `file`; `share` says how much of it was read, 0..1. Raises InvalidInput for another kind of file."""

    def __init__(self, file: Path) -> None:
        if file.suffix.lower() not in SUFFIXES:
            raise InvalidInput(f"{file}: a file of events ends in {', '.join(SUFFIXES)}")
        self._file, self.share = file, 0.0

    def lines(self) -> Iterator[Line]:
        """Each row with its number, from 1. Raises InvalidInput where the file itself cannot be read."""
        try:
            if self._file.suffix.lower() == ".parquet":
                yield from self._parquet()
                return
            # A byte that is no UTF-8 costs its row, not the file.
            with self._file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
                yield from self._csv(text) if self._file.suffix.lower() == ".csv" else self._json(text)
        except (OSError, csv.Error) as error:
            raise InvalidInput(f"{self._file}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
        self.share = 1.0

    def _csv(self, text: TextIO) -> Iterator[Line]:
        reader = csv.DictReader(text)
        for number, row in enumerate(reader, start=1):
            self._move(text, number)
            if None in row:
                yield Line(number=number, row=ValueError("has more cells than the header"))
            elif any(_ESCAPED.search(cell) for cell in row.values() if cell):
                yield Line(number=number, row=_no_utf8())
            else:
                yield Line(number=number, row=row)

    def _json(self, text: TextIO) -> Iterator[Line]:
        for number, line in enumerate(text, start=1):
            self._move(text, number)
            if line.strip():
                yield Line(number=number, row=_no_utf8() if _ESCAPED.search(line) else _object(line))

    def _parquet(self) -> Iterator[Line]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self._file) as file:
                rows, number = max(1, file.metadata.num_rows), 0
                for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                    for row in batch.to_pylist():
                        number += 1
                        yield Line(number=number, row={name: _plain(value) for name, value in row.items()})
                    self.share = number / rows
        except pa.ArrowException as error:
            raise InvalidInput(f"{self._file}: is no Parquet file ({error})") from None
        self.share = 1.0

    def _move(self, text: TextIO, number: int) -> None:
        if number % _BATCH_ROWS == 0:
            self.share = text.buffer.tell() / max(1, self._file.stat().st_size)


def _no_utf8() -> ValueError:
    return ValueError("is not UTF-8; save the file in that encoding")


def _object(line: str) -> dict[str, Any] | ValueError:
    try:
        found = json.loads(line)
    except ValueError as error:
        return ValueError(f"not JSON: {error}")
    except RecursionError:
        return ValueError("too deeply nested to be read")
    return found if isinstance(found, dict) else ValueError(f"not an object: {shown(found, most=60)}")


def _plain(value: Any) -> Any:
    """A moment as RFC 3339 (a naive one of a file is in UTC); anything else as it is."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return value
