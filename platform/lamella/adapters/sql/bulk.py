"""Many rows at once: binary COPY and array look-ups on PostgreSQL, executemany and IN lists on SQLite.

Rows are tuples in the driver's own types: `moment` and `day` say how it takes a time and a date.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, Final, Protocol, TypeAlias

import psycopg
import sqlalchemy as sa

from lamella.adapters.sql.engine import is_postgresql, unavailable
from lamella.adapters.sql.types import UTCDateTime

Row: TypeAlias = tuple[Any, ...]
_IN_LIMIT: Final = 10_000
# JSON travels as the text that it is: psycopg would encode it once more.
_BINARY_TYPES: Final[Sequence[tuple[type[sa.types.TypeEngine[Any]], str]]] = (
    (sa.Text, "text"),
    (sa.JSON, "text"),
    (UTCDateTime, "timestamptz"),
    (sa.Date, "date"),
    (sa.Boolean, "bool"),
    (sa.SmallInteger, "int2"),
    (sa.BigInteger, "int8"),
    (sa.Integer, "int4"),
    (sa.Double, "float8"),
    (sa.LargeBinary, "bytea"),
)


class Bulk(Protocol):
    """One connection's way to move many rows."""

    def moment(self, value: datetime) -> Any:
        """A time as a row of this store takes it; aware, in UTC."""
        ...

    def day(self, value: date) -> Any:
        """A date as a row of this store takes it."""
        ...

    def append(self, table: sa.Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Inserts the rows; a conflict is an error that ends the transaction."""
        ...

    def find(self, column: sa.Column[Any], values: Sequence[Any], wanted: Sequence[sa.Column[Any]]) -> Iterator[Any]:
        """`wanted`, in the driver's own types, of the rows whose `column` has one of the values."""
        ...

    def remove(self, column: sa.Column[Any], values: Sequence[Any]) -> int:
        """Deletes the rows whose `column` has one of the values; returns how many there were."""
        ...

    def stage(self, table: sa.Table) -> None:
        """Makes the temporary table if this connection has none yet, and empties it."""
        ...


def bulk(connection: sa.Connection) -> Bulk:
    """The way of the connection's store."""
    return PostgreSQLBulk(connection) if is_postgresql(connection) else SQLiteBulk(connection)


class PostgreSQLBulk:
    """Binary COPY; look-ups by one array parameter."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def moment(self, value: datetime) -> datetime:
        """The time itself."""
        return value

    def day(self, value: date) -> date:
        """The date itself."""
        return value

    def append(self, table: sa.Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Copies the rows in. Raises StoreUnavailable if the connection breaks meanwhile."""
        if not rows:
            return
        names = ", ".join(f'"{name}"' for name in columns)
        types = [_binary_type(table.c[name]) for name in columns]
        driver: Any = self._connection.connection.driver_connection
        try:
            with (
                driver.cursor() as cursor,
                cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN (FORMAT BINARY)') as copy,
            ):
                copy.set_types(types)
                write = copy.write_row
                for row in rows:
                    write(row)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise unavailable(self._connection.engine, error) from error

    def find(self, column: sa.Column[Any], values: Sequence[Any], wanted: Sequence[sa.Column[Any]]) -> Iterator[Any]:
        """One statement, whatever the number of values."""
        if values:
            statement = f"{_select(column, wanted)} = ANY(%s)"
            yield from self._connection.exec_driver_sql(statement, (list(values),))

    def remove(self, column: sa.Column[Any], values: Sequence[Any]) -> int:
        """One statement, whatever the number of values."""
        if not values:
            return 0
        return self._connection.exec_driver_sql(f"{_delete(column)} = ANY(%s)", (list(values),)).rowcount

    def stage(self, table: sa.Table) -> None:
        """Made with ON COMMIT DELETE ROWS: empty at the start of each transaction."""
        self._connection.execute(sa.schema.CreateTable(table, if_not_exists=True))


class SQLiteBulk:
    """executemany, which SQLite runs in-process; look-ups by IN lists."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def moment(self, value: datetime) -> str:
        """The text that `UTCDateTime` keeps."""
        return value.isoformat(" ", "microseconds")[:26]

    def day(self, value: date) -> str:
        """The text that a date column keeps."""
        return value.isoformat()

    def append(self, table: sa.Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Inserts the rows by one prepared statement."""
        if rows:
            names = ", ".join(f'"{name}"' for name in columns)
            statement = f'INSERT INTO "{table.name}" ({names}) VALUES ({_marks(columns)})'  # noqa: S608 - names of our schema
            self._connection.exec_driver_sql(statement, list(rows))

    def find(self, column: sa.Column[Any], values: Sequence[Any], wanted: Sequence[sa.Column[Any]]) -> Iterator[Any]:
        """One statement for each 10,000 values."""
        for part in _parts(values):
            statement = f"{_select(column, wanted)} IN ({_marks(part)})"
            yield from self._connection.exec_driver_sql(statement, part)

    def remove(self, column: sa.Column[Any], values: Sequence[Any]) -> int:
        """One statement for each 10,000 values."""
        return sum(
            self._connection.exec_driver_sql(f"{_delete(column)} IN ({_marks(part)})", part).rowcount
            for part in _parts(values)
        )

    def stage(self, table: sa.Table) -> None:
        """Kept in memory; emptied here."""
        self._connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
        self._connection.execute(sa.delete(table))


def _binary_type(column: sa.Column[Any]) -> str:
    return next(name for kind, name in _BINARY_TYPES if isinstance(column.type, kind))


# The names below are those of our schema; values always travel as parameters.
def _select(column: sa.Column[Any], wanted: Sequence[sa.Column[Any]]) -> str:
    names = ", ".join(f'"{each.name}"' for each in wanted)
    return f'SELECT {names} FROM "{column.table.name}" WHERE "{column.name}"'  # noqa: S608


def _delete(column: sa.Column[Any]) -> str:
    return f'DELETE FROM "{column.table.name}" WHERE "{column.name}"'  # noqa: S608


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def _parts(values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(values), _IN_LIMIT):
        yield tuple(values[start : start + _IN_LIMIT])
