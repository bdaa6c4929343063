"""Columns as the rows of a binary COPY of PostgreSQL, built column by column and joined by Arrow's kernels.

What is of one width in every row (numbers and the lengths before them, and before each text) is packed for all rows at
once; Arrow puts it between the texts, in machine code and without Python's lock.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lamella.adapters.sql.columns import Column

HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TAIL: Final = b"\xff\xff"
_BLOCK: Final = 16_384
"""Rows whose columns are packed at once. The first block is a chunk: the server waits for it."""
_CHUNK: Final = 2_048
"""Rows that are sent at once: the server stores them while the next are built."""

_NUMBERS: Final[Mapping[str, str]] = {"int8": ">i8", "int4": ">i4", "int2": ">i2", "float8": ">f8", "bool": ">i1"}
_NULL: Final = b"\xff\xff\xff\xff"
_BINARY: Final = pa.binary()


def copy_stream(
    types: Sequence[str], columns: Sequence[Column], shared: Sequence[str] = (), heads: Sequence[Column] = (),
    counts: Sequence[int] = (),
) -> Iterator[Any]:  # fmt: skip
    """The bytes of a COPY of these columns, of PostgreSQL's types, in parts.

    With `heads`, columns of the types `shared`, each of their rows stands before as many rows as `counts` says.
    """
    width = len(types) + len(shared)
    rows = np.repeat(np.arange(len(heads[0])), counts) if heads else None
    yield HEAD
    first, size = 0, _CHUNK
    while first < len(columns[0]):
        last = first + size
        pieces = _pieces(types, [column[first:last] for column in columns], None if heads else width)
        if rows is not None:
            mine = rows[first:last]
            before = _joined(_pieces(shared, [head[mine[0] : mine[-1] + 1] for head in heads], width))
            pieces.insert(0, before.take(pa.array(mine - mine[0])))
        for start in range(0, len(pieces[0]), _CHUNK):
            yield _joined([piece.slice(start, _CHUNK) for piece in pieces]).buffers()[2]
        first, size = last, _BLOCK
    yield TAIL


def _joined(pieces: Sequence[Any]) -> Any:
    """The pieces of each row, one behind the other."""
    return pc.binary_join_element_wise(*pieces, b"")


def _pieces(types: Sequence[str], columns: Sequence[Column], width: int | None = None) -> list[Any]:
    """What every row has of each text, and of each run between texts; with `width`, its number of fields is before."""
    size = len(columns[0])
    run = _Run(size)
    if width is not None:
        run.add(">i2", width)
    pieces = []
    for kind, column in zip(types, columns, strict=True):
        # Bytes of one width are an array of numpy.
        number = str(column.dtype) if kind == "bytea" and isinstance(column, np.ndarray) else _NUMBERS.get(kind)
        if number is not None and not _has_null(column):
            run.add(">i4", np.dtype(number).itemsize)
            run.add(number, column)
            continue
        values = _nullable(number, column) if number is not None else pa.array(column, _BINARY)
        if number is None:
            run.add(">i4", pc.fill_null(pc.binary_length(values), -1))
        pieces += [*run.packed(), pc.fill_null(values, b"") if values.null_count else values]
        run = _Run(size)
    return pieces + run.packed()


class _Run:
    """Values of fixed width that stand side by side in every row."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._formats: list[str] = []
        self._columns: list[Any] = []

    def add(self, form: str, column: Any) -> None:
        """One more column, or one value for all rows."""
        self._formats.append(form)
        self._columns.append(column)

    def packed(self) -> list[Any]:
        """The run as one column of bytes; none where nothing was added."""
        if not self._formats:
            return []
        packed = np.empty(self._size, dtype=[(f"v{at}", form) for at, form in enumerate(self._formats)])
        for at, column in enumerate(self._columns):
            packed[f"v{at}"] = column
        ends = np.arange(self._size + 1, dtype=np.int32) * np.int32(packed.itemsize)
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(packed.tobytes())]
        return [pa.Array.from_buffers(_BINARY, self._size, buffers)]


def _has_null(column: Column) -> bool:
    if isinstance(column, np.ndarray):
        return False
    return bool(column.null_count) if isinstance(column, pa.Array) else None in column


def _nullable(number: str, column: Column) -> Any:
    """Numbers, each behind its length; None is null."""
    run = _Run(len(column))
    run.add(">i4", np.dtype(number).itemsize)
    run.add(number, [0 if value is None else value for value in column])
    is_there = pa.array([value is not None for value in column])
    return pc.if_else(is_there, run.packed()[0], pa.scalar(_NULL, _BINARY))
