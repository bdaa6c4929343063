"""Columns as the rows of a binary COPY of PostgreSQL, built from a few pieces a row.

Numbers that stand side by side are packed together for all rows at once; a text that repeats is encoded once.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from typing import Any, Final

import numpy as np

from lamella.adapters.sql.columns import Column

HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TAIL: Final = b"\xff\xff"
_CHUNK: Final = 4_096
"""Rows that are sent at once: the server stores them while the next are built."""

_NUMBERS: Final[Mapping[str, str]] = {"int8": ">i8", "int4": ">i4", "int2": ">i2", "float8": ">f8", "bool": ">i1"}
_FORMATS: Final[Mapping[str, str]] = {"int8": "!iq", "int4": "!ii", "int2": "!ih", "float8": "!id", "bool": "!i?"}
_NULL: Final = b"\xff\xff\xff\xff"
_LENGTHS: Final = [struct.pack("!i", length) for length in range(4_096)]


def copy_stream(
    types: Sequence[str], columns: Sequence[Column], shared: Sequence[str] = (), heads: Sequence[Column] = (),
    counts: Sequence[int] = (),
) -> Iterator[bytes]:  # fmt: skip
    """The bytes of a COPY of these columns, of PostgreSQL's types, in parts.

    With `heads`, columns of the types `shared`, each of their rows stands before as many rows as `counts` says.
    """
    prefix = struct.pack("!h", len(types) + len(shared))
    pieces: list[Iterable[bytes]] = list(_pieces(types, columns))
    if heads:
        joined = map(b"".join, zip(repeat(prefix), *_pieces(shared, heads), strict=False))
        pieces.insert(0, chain.from_iterable(map(repeat, joined, counts)))
    else:
        pieces.insert(0, repeat(prefix))
    rows = zip(*pieces, strict=False)
    yield HEAD
    while part := b"".join(chain.from_iterable(islice(rows, _CHUNK))):
        yield part
    yield TAIL


def _pieces(types: Sequence[str], columns: Sequence[Column]) -> Iterator[Sequence[bytes]]:
    """For each text, and each run of numbers, what every row has of it."""
    run: list[tuple[str, Column]] = []
    for kind, column in zip(types, columns, strict=True):
        if kind in _NUMBERS and None not in column:
            run.append((kind, column))
            continue
        if run:
            yield _packed(run)
            run = []
        yield _texts(column) if kind not in _NUMBERS else _nullable(kind, column)
    if run:
        yield _packed(run)


def _packed(run: Sequence[tuple[str, Column]]) -> Sequence[bytes]:
    """The numbers of a run, each behind its length, for every row."""
    fields = [field for at, (kind, _) in enumerate(run) for field in ((f"n{at}", ">i4"), (f"v{at}", _NUMBERS[kind]))]
    packed = np.empty(len(run[0][1]), dtype=np.dtype(fields))
    for at, (kind, column) in enumerate(run):
        packed[f"n{at}"] = np.dtype(_NUMBERS[kind]).itemsize
        packed[f"v{at}"] = column
    data, width = packed.tobytes(), packed.dtype.itemsize
    return [data[start : start + width] for start in range(0, len(data), width)]


def _nullable(kind: str, column: Column) -> Sequence[bytes]:
    pack, size = struct.Struct(_FORMATS[kind]).pack, np.dtype(_NUMBERS[kind]).itemsize
    return [_NULL if value is None else pack(size, value) for value in column]


def _texts(column: Sequence[Any]) -> Sequence[bytes]:
    """Texts, or bytes, each behind its length; None is null."""
    distinct = set(column)
    if 2 * len(distinct) > len(column):
        return [_text(value) for value in column]
    known = {value: _text(value) for value in distinct}
    return list(map(known.__getitem__, column))


def _text(value: Any) -> bytes:
    if value is None:
        return _NULL
    data: bytes = value if type(value) is bytes else value.encode()
    return (_LENGTHS[len(data)] if len(data) < len(_LENGTHS) else struct.pack("!i", len(data))) + data
