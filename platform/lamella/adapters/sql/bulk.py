"""Many rows at once: binary COPY and array look-ups on PostgreSQL; on SQLite see `lamella.adapters.sql.sqlite_bulk`.

Rows are tuples in the driver's own types: `moments` and `days` say how it takes times and dates. What is written may
still be under way when a call returns: PostgreSQL works on it while the next rows are made. Everything sees what was
written before it, but for statements on the connection itself: those take it from `idle`.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import psycopg
import sqlalchemy as sa
from psycopg.adapt import Dumper
from psycopg.pq import Format
from sqlalchemy.dialects import postgresql, sqlite

from lamella.adapters.sql.columns import DAY_MICROS, Column, Integers
from lamella.adapters.sql.engine import is_postgresql, unavailable
from lamella.adapters.sql.sending import Sender
from lamella.adapters.sql.sqlite_bulk import SQLiteBulk
from lamella.adapters.sql.types import UTCDateTime

Columns: TypeAlias = Mapping[str, Column]
Counts: TypeAlias = Sequence[int]
_SIZES: Final = [struct.pack("!i", size) for size in range(65)]

# PostgreSQL counts from 2000-01-01, the columns of a frame from 1970-01-01.
_DAYS_BEFORE: Final = 10_957
# JSON travels as the text that it is, psycopg would encode it once more; a moment and a day as the numbers that they
# are on the wire.
_BINARY_TYPES: Final[Sequence[tuple[type[sa.types.TypeEngine[Any]], str]]] = (
    (sa.Text, "text"),
    (sa.JSON, "text"),
    (UTCDateTime, "int8"),
    (sa.Date, "int4"),
    (sa.Boolean, "bool"),
    (sa.SmallInteger, "int2"),
    (sa.BigInteger, "int8"),
    (sa.Integer, "int4"),
    (sa.Double, "float8"),
    (sa.LargeBinary, "bytea"),
)


class Bulk(Protocol):
    """One connection's way to move many rows."""

    insert: Any
    """The dialect's INSERT, which knows ON CONFLICT."""

    indexes_units: bool
    """Whether reads and clicks can be found by unit; otherwise ingest chains them."""

    def moments(self, micros: Integers) -> Column:
        """Times, given in microseconds since 1970, as a row of this store takes them."""
        ...

    def days(self, numbers: Integers) -> Column:
        """Dates, given in days since 1970, as a row of this store takes them."""
        ...

    def append(self, table: sa.Table, columns: Columns, *, of: Columns | None = None, counts: Counts = ()) -> None:
        """Inserts the rows of these columns, by name; a conflict is an error that ends the transaction.

        With `of`, each row of those columns stands before as many of these rows as `counts` says.
        """
        ...

    def claim(self, table: sa.Table, columns: Columns) -> bool:
        """Inserts the rows and returns True; False, and nothing inserted, where one of the keys is there already."""
        ...

    def run(self, statement: sa.Executable, *numbers: int) -> None:
        """Executes a statement whose answer nobody needs, `?` for each number; what it is in SQL is remembered."""
        ...

    def idle(self) -> sa.Connection:
        """The connection, once everything that was written has arrived; raises the error if it did not."""
        ...

    def find(self, column: sa.Column[Any], values: Column, wanted: Sequence[sa.Column[Any]]) -> Iterator[Any]:
        """`wanted`, as the driver gives it, of the rows whose `column` has one of the values: bytes of one length."""
        ...

    def remove(self, column: sa.Column[Any], values: Sequence[Any]) -> int:
        """Deletes the rows whose `column` has one of the values; returns how many there were."""
        ...

    def read(self, statement: str, *values: object) -> Sequence[Any]:
        """The rows of a query of whole numbers and bytes, `?` for each value, in the driver's own types."""
        ...

    def stage(self, table: sa.Table) -> None:
        """Makes the temporary table if this connection has none yet, and empties it."""
        ...


def bulk(connection: sa.Connection) -> Bulk:
    """The way of the connection's store."""
    return PostgreSQLBulk(connection) if is_postgresql(connection) else SQLiteBulk(connection)


class PostgreSQLBulk:
    """Binary COPY; look-ups by one array parameter."""

    insert = staticmethod(postgresql.insert)
    indexes_units = True

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        driver: Any = connection.connection.driver_connection
        self._driver, self._sender = driver, Sender(driver)

    def moments(self, micros: Integers) -> Column:
        """Microseconds since 2000."""
        return micros - _DAYS_BEFORE * DAY_MICROS

    def days(self, numbers: Integers) -> Column:
        """Days since 2000."""
        return numbers - _DAYS_BEFORE

    def append(self, table: sa.Table, columns: Columns, *, of: Columns | None = None, counts: Counts = ()) -> None:
        """Copies the rows in. Raises StoreUnavailable if the connection breaks meanwhile."""
        if not _length(columns):
            return
        shared = of or {}
        names = ", ".join(f'"{name}"' for name in (*shared, *columns))
        from lamella.adapters.sql.copying import copy_stream  # imports Arrow, which readers of the store need not

        own, theirs = ([_binary_type(table.c[name]) for name in some] for some in (columns, shared))
        stream = copy_stream(own, list(columns.values()), theirs, list(shared.values()), counts)
        with self._telling():
            self._sender.copy(f'COPY "{table.name}" ({names}) FROM STDIN (FORMAT BINARY)', stream)

    def claim(self, table: sa.Table, columns: Columns) -> bool:
        """Copies them in and lets the key refuse what is there, instead of looking first."""
        with self._telling():
            self._sender.send("SAVEPOINT claim")
            try:
                self.append(table, columns)
                self._sender.settle()
            except psycopg.errors.UniqueViolation:
                self._sender.send("ROLLBACK TO SAVEPOINT claim")
                return False
            self._sender.send("RELEASE SAVEPOINT claim")
        return True

    def run(self, statement: sa.Executable, *numbers: int) -> None:
        """Sent, and not waited for."""
        with self._telling():
            self._sender.send(_script(statement, "postgresql"), *numbers)

    def idle(self) -> sa.Connection:
        """Waits for the statement that is under way."""
        with self._telling():
            self._sender.settle()
        return self._connection

    def find(self, column: sa.Column[Any], values: Column, wanted: Sequence[sa.Column[Any]]) -> Iterator[Any]:
        """One statement, whatever the number of values."""
        if len(values):
            statement = f"{_select(column, wanted)} = ANY(%b)"
            yield from self._execute(statement, values)

    def remove(self, column: sa.Column[Any], values: Sequence[Any]) -> int:
        """One statement, whatever the number of values."""
        if not values:
            return 0
        return int(self._execute(f"{_delete(column)} = ANY(%b)", values).rowcount)

    def read(self, statement: str, *values: object) -> Sequence[Any]:
        """In the binary format: bytes would travel as text of twice the length."""
        with self._telling():
            self._sender.settle()
            rows: Sequence[Any] = self._driver.execute(statement.replace("?", "%s"), values, binary=True).fetchall()
        return rows

    def stage(self, table: sa.Table) -> None:
        """Made with ON COMMIT DELETE ROWS: empty at the start of each transaction."""
        self.run(_creating(table))

    def _execute(self, statement: str, values: Column) -> Any:
        self._driver.adapters.register_dumper(_ByteArrays, _ByteArraysDumper)
        self._driver.adapters.register_dumper(_Numbers, _NumbersDumper)
        array = _Numbers.of(values) if isinstance(values[0], int) else _ByteArrays.of(values)
        with self._telling():
            self._sender.settle()
            return self._driver.execute(statement, (array,), binary=True)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Says in our words that the store is away."""
        try:
            yield
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise unavailable(self._connection.engine, error) from error


@cache
def _creating(table: sa.Table) -> sa.schema.CreateTable:
    return sa.schema.CreateTable(table, if_not_exists=True)


@cache
def _script(statement: Any, dialect_name: str) -> str:
    dialect: Any = {"postgresql": postgresql, "sqlite": sqlite}[dialect_name].dialect()
    return str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


class _Array(bytes):
    """An array parameter as PostgreSQL reads it: psycopg writes its own value by value, at four times the price."""

    oid = 0


class _ByteArrays(_Array):
    oid = 1001  # bytea[], in PostgreSQL's catalogue

    @classmethod
    def of(cls, values: Column) -> "_ByteArrays":
        head = struct.pack("!iiIii", 1, 0, 17, len(values), 1)
        if isinstance(values, np.ndarray):
            packed = np.empty(values.size, dtype=[("size", ">i4"), ("value", values.dtype)])
            packed["size"], packed["value"] = values.dtype.itemsize, values
            return cls(head + packed.tobytes())
        sizes = map(_SIZES.__getitem__, map(len, values))
        return cls(head + b"".join(chain.from_iterable(zip(sizes, values, strict=True))))


class _Numbers(_Array):
    oid = 1016  # int8[]

    @classmethod
    def of(cls, values: Sequence[int]) -> "_Numbers":
        packed = np.empty(len(values), dtype=[("size", ">i4"), ("value", ">i8")])
        packed["size"], packed["value"] = 8, values
        return cls(struct.pack("!iiIii", 1, 0, 20, len(values), 1) + packed.tobytes())


class _ByteArraysDumper(Dumper):
    format, oid = Format.BINARY, _ByteArrays.oid

    def dump(self, obj: bytes) -> bytes:
        return obj


class _NumbersDumper(_ByteArraysDumper):
    oid = _Numbers.oid


def _length(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _binary_type(column: sa.Column[Any]) -> str:
    return next(name for kind, name in _BINARY_TYPES if isinstance(column.type, kind))


# The names below are those of our schema; values always travel as parameters.
def _select(column: sa.Column[Any], wanted: Sequence[sa.Column[Any]]) -> str:
    names = ", ".join(f'"{each.name}"' for each in wanted)
    return f'SELECT {names} FROM "{column.table.name}" WHERE "{column.name}"'  # noqa: S608


def _delete(column: sa.Column[Any]) -> str:
    return f'DELETE FROM "{column.table.name}" WHERE "{column.name}"'  # noqa: S608
