"""A CSV or Parquet file as a stream of batches, with the kind of every column known beforehand."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyarrow import csv, parquet

from lamella.errors import InvalidInput

_BLOCK_BYTES: Final = 1 << 24
_BATCH_ROWS: Final = 1 << 20
_SAMPLE_BYTES: Final = 1 << 20


class Kind(StrEnum):
    """What a column holds, as far as an analysis cares."""

    NUMBER = "number"
    FLAG = "flag"
    TEXT = "text"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that was looked into: its columns in order, each with its kind; `delimiter` None means Parquet."""

    path: Path
    kinds: dict[str, Kind]
    delimiter: str | None

    def batches(self, numbers: Sequence[str], texts: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows, some hundred thousand at a time: `numbers` as float64, `texts` as strings, empty cells null.

        Raises InvalidInput that names the column and the value which is no number.
        """
        wanted = pa.schema([(name, pa.float64()) for name in numbers] + [(name, pa.string()) for name in texts])
        with _explained(self.path):
            for batch in self._rows(wanted):
                yield batch.select(wanted.names).cast(wanted)

    def _rows(self, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
        if self.delimiter is None:
            with parquet.ParquetFile(self.path) as file:
                yield from file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted.names)
            return
        flags = {name: pa.bool_() for name in wanted.names if self.kinds[name] is Kind.FLAG}
        types = {field.name: flags.get(field.name, field.type) for field in wanted if field.type != pa.string()}
        types |= {field.name: field.type for field in wanted if field.type == pa.string()}
        convert = csv.ConvertOptions(column_types=types, include_columns=wanted.names, strings_can_be_null=True)
        with pa.input_stream(str(self.path), compression="detect") as stream:
            reader = csv.open_csv(
                stream,
                read_options=csv.ReadOptions(block_size=_BLOCK_BYTES),
                parse_options=csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
                convert_options=convert,
            )
            with reader:
                yield from reader


def look_into(path: Path) -> Source:
    """The columns of the file, from its schema (Parquet) or its first rows (CSV, gzip or not).

    Raises InvalidInput for a file that is absent, empty, neither CSV nor Parquet, or names a column twice.
    """
    if not path.is_file():
        raise InvalidInput(f"{path}: there is no such file")
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise InvalidInput(f"{path}: the file is empty")
    with _explained(path):
        delimiter = None if start == b"PAR1" else _delimiter(path)
        schema = parquet.read_schema(path) if delimiter is None else _first_rows(path, delimiter).schema
    names = list(schema.names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInput(f"{path}: the column {twice[0]!r} stands in it twice; give each a name of its own")
    return Source(path=path, kinds={field.name: _kind(field.type) for field in schema}, delimiter=delimiter)


def _delimiter(path: Path) -> str:
    """The separator that the header uses most; a comma where it has none."""
    with pa.input_stream(str(path), compression="detect") as stream:
        text = stream.read(_SAMPLE_BYTES).decode("utf-8")
    header = text.splitlines()[0] if text.strip() else ""
    if not header.strip() or "\x00" in header:
        raise InvalidInput(f"{path}: no header line was found; the file must be CSV with names on top, or Parquet")
    return max(",;\t|", key=header.count)


def _first_rows(path: Path, delimiter: str) -> pa.Table:
    """What the first rows hold; a row that is cut by the end of the sample is left out."""
    with pa.input_stream(str(path), compression="detect") as stream:
        sample = stream.read(_SAMPLE_BYTES)
    if len(sample) == _SAMPLE_BYTES:
        sample = sample[: sample.rfind(b"\n") + 1]
    return csv.read_csv(
        pa.BufferReader(sample),
        parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=csv.ConvertOptions(strings_can_be_null=True),
    )


def _kind(found: pa.DataType) -> Kind:
    if pa.types.is_boolean(found):
        return Kind.FLAG
    if pa.types.is_integer(found) or pa.types.is_floating(found) or pa.types.is_decimal(found):
        return Kind.NUMBER
    if pa.types.is_null(found):
        return Kind.NUMBER
    is_text = pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_dictionary(found)
    return Kind.TEXT if is_text else Kind.OTHER


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """The block, whose failures to read become InvalidInput with the file's name."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        lines = str(error).splitlines()
        raise InvalidInput(f"{path}: {lines[0] if lines else type(error).__name__}") from error
