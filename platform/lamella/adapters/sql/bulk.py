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
from psycopg.adapt import Transformer
from sqlalchemy.dialects import postgresql, sqlite

from lamella.adapters.sql.columns import DAY_MICROS, Column, Integers, is_stretch
from lamella.adapters.sql.engine import is_postgresql, unavailable
from lamella.adapters.sql.sending import Sender, Work
from lamella.adapters.sql.sqlite_bulk import SQLiteBulk
from lamella.adapters.sql.types import UTCDateTime

Columns: TypeAlias = Mapping[str, Column]
Counts: TypeAlias = Sequence[int]
_SIZES: Final = [struct.pack("!i", size) for size in range(65)]
# bytea[] and int8[] in PostgreSQL's catalogue.
_BYTEAS: Final = 1001
_INT8S: Final = 1016

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

    def commit(self) -> None:
        """Ends the transaction where the caller can work meanwhile; otherwise that is left to its block."""
        ...


def bulk(connection: sa.Connection, work: Work | None = None) -> Bulk:
    """The way of the connection's store. `work` is done while PostgreSQL lets the caller wait."""
    return PostgreSQLBulk(connection, work) if is_postgresql(connection) else SQLiteBulk(connection)


class PostgreSQLBulk:
    """Binary COPY; look-ups by one array parameter."""

    insert = staticmethod(postgresql.insert)
    indexes_units = True

    def __init__(self, connection: sa.Connection, work: Work | None = None) -> None:
        self._connection = connection
        driver: Any = connection.connection.driver_connection
        self._driver, self._sender = driver, Sender(driver, work)

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
            self._sender.send("SAVEPOINT claim", is_brief=True)
            try:
                self.append(table, columns)
                self._sender.settle()
            except psycopg.errors.UniqueViolation:
                self._sender.send("ROLLBACK TO SAVEPOINT claim", is_brief=True)
                return False
            self._sender.send("RELEASE SAVEPOINT claim", is_brief=True)
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
            result = self._ask(f"{_select(column, wanted)} = ANY($1)", values)
            reading = Transformer(self._driver)
            reading.set_pgresult(result)
            yield from reading.load_rows(0, result.ntuples, tuple)

    def remove(self, column: sa.Column[Any], values: Sequence[Any]) -> int:
        """One statement, whatever the number of values; of numbers that follow each other their stretch."""
        if not values:
            return 0
        if is_stretch(values):
            result = self._ask(f"{_delete(column)} BETWEEN ($1)[1] AND ($1)[2]", [values[0], values[-1]])
        else:
            result = self._ask(f"{_delete(column)} = ANY($1)", values)
        return result.command_tuples or 0

    def read(self, statement: str, *values: object) -> Sequence[Any]:
        """In the binary format: bytes would travel as text of twice the length."""
        with self._telling():
            self._sender.settle()
            rows: Sequence[Any] = self._driver.execute(statement.replace("?", "%s"), values, binary=True).fetchall()
        return rows

    def stage(self, table: sa.Table) -> None:
        """Made with ON COMMIT DELETE ROWS: empty at the start of each transaction."""
        with self._telling():
            self._sender.send(_script(_creating(table), "postgresql"), is_brief=True)

    def commit(self) -> None:
        """Waits for the disk, and works meanwhile."""
        with self._telling():
            self._sender.commit()

    def _ask(self, statement: str, values: Column) -> Any:
        array, oid = (_numbers(values), _INT8S) if isinstance(values[0], int) else (_byte_arrays(values), _BYTEAS)
        with self._telling():
            return self._sender.ask(statement, array, oid)

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


# An array parameter as PostgreSQL reads it: psycopg writes its own value by value, at four times the price.
def _byte_arrays(values: Column) -> bytes:
    head = struct.pack("!iiIii", 1, 0, 17, len(values), 1)
    if isinstance(values, np.ndarray):
        packed = np.empty(values.size, dtype=[("size", ">i4"), ("value", values.dtype)])
        packed["size"], packed["value"] = values.dtype.itemsize, values
        return head + packed.tobytes()
    sizes = map(_SIZES.__getitem__, map(len, values))
    return head + b"".join(chain.from_iterable(zip(sizes, values, strict=True)))


def _numbers(values: Sequence[int]) -> bytes:
    packed = np.empty(len(values), dtype=[("size", ">i4"), ("value", ">i8")])
    packed["size"], packed["value"] = 8, values
    return struct.pack("!iiIii", 1, 0, 20, len(values), 1) + packed.tobytes()


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
