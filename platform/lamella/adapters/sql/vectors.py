"""One vector of whole numbers for each exposed unit of a phase, read in bulk.

The columns are the totals under the unit's variant, the same in the days before, and what follows from them. They
arrive as arrays of int64: by binary COPY on PostgreSQL, where a row has a fixed width, and by the cursor on SQLite.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Any, Final, TypeAlias

import numpy as np
import psycopg
import sqlalchemy as sa
from numpy.typing import NDArray

from lamella.adapters.sql.engine import is_postgresql, unavailable
from lamella.adapters.sql.schema import TOTALS, arm_member
from lamella.stats.exact import ExactSums

Query: TypeAlias = sa.Select[Any] | sa.CompoundSelect[Any]

COLUMNS: Final = (
    *TOTALS, "clicked", *(f"pre_{name}" for name in TOTALS), "pre_clicked", "has_pre",
)  # fmt: skip
"""The columns of a vector, in order; seconds and completion in millionths."""

_ROWS: Final = 65_536
# So few rows of Python objects stay in the processor's cache, and give its collector of garbage nothing to do.
_FEW: Final = 2_048
_HEADER: Final = 19
# An array in binary: dimensions, nulls, type, length and first index, then each element's length and value.
_ARRAY: Final = 20
_ELEMENT: Final = np.dtype([("length", ">i4"), ("value", ">i8")])
_TRAILER: Final = 2
_SEEN: Final = tuple(TOTALS.index(name) for name in ("slates", "clicks", "reads", "interactions"))
_CLICKS: Final = TOTALS.index("clicks")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSums:
    """One variant: the exact sums over its units that did not cross, and the traffic of all of them."""

    sums: ExactSums
    crossed: int = 0
    slates: int = 0
    fallback_slates: int = 0

    def __add__(self, other: "ArmSums") -> "ArmSums":
        return self._with(other, 1)

    def __sub__(self, other: "ArmSums") -> "ArmSums":
        return self._with(other, -1)

    def _with(self, other: "ArmSums", sign: int) -> "ArmSums":
        return ArmSums(
            sums=self.sums + other.sums if sign > 0 else self.sums - other.sums,
            crossed=self.crossed + sign * other.crossed,
            slates=self.slates + sign * other.slates,
            fallback_slates=self.fallback_slates + sign * other.fallback_slates,
        )


NOTHING: Final = ArmSums(sums=ExactSums.empty(len(COLUMNS)))


def vectors_query(
    phase: int, since: date | None, exposures: sa.FromClause, totals: sa.FromClause, variants: Sequence[str]
) -> sa.Select[Any]:
    """A row a unit: the place of its variant in `variants`, whether it crossed, its totals and those of before.

    `exposures` has unit, variant, first_day and crossed; `totals` has unit, arm, day and the totals. `since` is the
    first day of before.
    """
    places = {each: number for number, each in enumerate(variants)}
    place = sa.case(places, value=exposures.c.variant, else_=-1) if places else sa.literal(-1)
    member = sa.and_(
        arm_member.c.arm == totals.c.arm,
        arm_member.c.phase == phase,
        arm_member.c.variant == exposures.c.variant,
        arm_member.c.counted,
    )
    during = arm_member.c.arm.is_not(None)
    before = totals.c.day < exposures.c.first_day
    if since is not None:
        before = sa.and_(before, totals.c.day >= since)
    columns = [_sum(totals.c[name], during, name) for name in TOTALS]
    columns += [_sum(totals.c[name], before, f"pre_{name}") for name in TOTALS]
    crossed = sa.case((exposures.c.crossed, 1), else_=0)
    joined = exposures.outerjoin(totals, totals.c.unit == exposures.c.unit).outerjoin(arm_member, member)
    group = (exposures.c.unit, exposures.c.variant, exposures.c.crossed)
    asked = (sa.cast(place, sa.BigInteger).label("place"), sa.cast(crossed, sa.BigInteger).label("crossed"), *columns)
    return sa.select(*asked).select_from(joined).group_by(*group)


def sums_by_variant(connection: sa.Connection, query: sa.Select[Any], variants: Sequence[str]) -> Mapping[str, ArmSums]:
    """The sums of each variant over the rows of a `vectors_query`; a variant without units is left out."""
    found: dict[str, ArmSums] = {}
    for rows in read_rows(connection, query):
        for number in np.unique(rows[:, 0]):
            variant = variants[number]
            found[variant] = found.get(variant, NOTHING) + sums_of_vectors(rows[rows[:, 0] == number, 1:])
    return found


def read_rows(connection: sa.Connection, query: Query) -> Iterator[NDArray[np.int64]]:
    """The rows of a query whose columns are all whole numbers, in blocks: (n, columns) int64."""
    width = len(query.selected_columns)
    if is_postgresql(connection):
        yield from _copied(connection, query, width)
        return
    for rows in fetched(connection, query):
        yield np.fromiter(chain.from_iterable(rows), np.int64, len(rows) * width).reshape(-1, width)


def fetched(connection: sa.Connection, query: Query) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a query on SQLite as the driver has them, in blocks: a fourth of the time of rows with names."""
    cursor: Any = connection.execute(query).cursor
    try:
        while rows := cursor.fetchmany(_FEW):
            yield rows
    except sqlite3.Error as error:
        raise unavailable(connection.engine, error) from error
    finally:
        cursor.close()


def read_arrays(
    connection: sa.Connection, query: sa.Select[Any], by: sa.ColumnElement[Any]
) -> Iterator[NDArray[np.int64]]:
    """The rows of a query whose columns all have eight bytes, on PostgreSQL: a block for each value of `by`.

    Within a block each column is one array, made by the store's own workers in parallel.
    """
    rows = query.add_columns(by.label("block")).subquery("rows")
    *columns, block = rows.c
    arrays: list[sa.ColumnElement[Any]] = [sa.func.array_agg(column) for column in columns]
    for data in _messages(connection, sa.select(*arrays).group_by(block)):
        # The file's header comes with the first row; a row of -1 fields is its end.
        at = _HEADER if data.startswith(b"PGCOPY") else 0
        if int.from_bytes(data[at : at + 2], signed=True) < 0:
            return
        at += 2
        found = []
        for _ in columns:
            size = int.from_bytes(data[at : at + 4])
            found.append(np.frombuffer(data, _ELEMENT, (size - _ARRAY) // _ELEMENT.itemsize, at + 4 + _ARRAY)["value"])
            at += 4 + size
        yield np.stack(found, axis=1).astype(np.int64)


def _sum(column: sa.ColumnElement[Any], condition: sa.ColumnElement[bool], name: str) -> sa.ColumnElement[Any]:
    total = sa.func.coalesce(sa.func.sum(column).filter(condition), 0)
    return sa.cast(total, sa.BigInteger).label(name)


def sums_of_vectors(rows: NDArray[np.int64]) -> ArmSums:
    """The sums of units of one variant; a row is whether it crossed, the totals, and those of before."""
    crossed, during, before = rows[:, 0], rows[:, 1 : 1 + len(TOTALS)], rows[:, 1 + len(TOTALS) :]
    vectors = np.empty((len(rows), len(COLUMNS)), dtype=np.int64)
    vectors[:, : len(TOTALS)] = during
    vectors[:, len(TOTALS)] = during[:, _CLICKS] > 0
    vectors[:, len(TOTALS) + 1 : -2] = before
    vectors[:, -2] = before[:, _CLICKS] > 0
    vectors[:, -1] = before[:, _SEEN].any(axis=1)
    return ArmSums(
        sums=ExactSums.of(vectors[crossed == 0]),
        crossed=int(crossed.sum()),
        slates=int(during[:, TOTALS.index("slates")].sum()),
        fallback_slates=int(during[:, TOTALS.index("fallback_slates")].sum()),
    )


def _messages(connection: sa.Connection, query: Query) -> Iterator[bytes]:
    """What binary COPY sends for the rows of a query, a row a message."""
    compiled = query.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
    driver: Any = connection.connection.driver_connection
    statement = f"COPY ({compiled}) TO STDOUT (FORMAT BINARY)"
    try:
        with driver.cursor() as cursor, cursor.copy(statement, compiled.params) as copy:
            for data in copy:
                yield bytes(data)
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise unavailable(connection.engine, error) from error


def _copied(connection: sa.Connection, query: Query, width: int) -> Iterator[NDArray[np.int64]]:
    """The rows by binary COPY: two bytes for the number of fields, and for each four of length and eight of value."""
    record = np.dtype([("fields", ">i2"), ("values", _ELEMENT, (width,))])
    held, size = [], -_HEADER
    for data in _messages(connection, query):
        held.append(data)
        size += len(data)
        if size >= _ROWS * record.itemsize:
            whole, rest = b"".join(held)[-size:], size % record.itemsize
            yield _values(whole[: size - rest], record)
            held, size = [whole[size - rest :]], rest
    yield _values(b"".join(held)[-size:-_TRAILER], record)


def _values(data: bytes, record: "np.dtype[Any]") -> NDArray[np.int64]:
    return np.frombuffer(data, dtype=record)["values"]["value"].astype(np.int64)
