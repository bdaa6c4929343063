"""Many rows into SQLite: INSERTs of many rows in the order of the table's key, look-ups of many values by one."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import chain, islice
from operator import itemgetter
from typing import Any, Final, TypeAlias

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from lamella.adapters.sql.columns import Column, Integers, is_stretch, plain
from lamella.adapters.sql.engine import unavailable

Columns: TypeAlias = Mapping[str, Column]
Row: TypeAlias = tuple[Any, ...]
_IN_LIMIT: Final = 10_000
_PLACES: Final = (
    "WITH RECURSIVE place(start) AS (VALUES (1) UNION ALL SELECT start + ?2 FROM place WHERE start + ?2 <= ?3)"
)
"""Where each of the values of length ?2 begins that were joined to ?3 bytes."""
_AT_ONCE: Final = 4_000
"""Values in one INSERT: one for each row would cost half as much again."""
_PARTS: Final = 8
"""So many times fewer rows are in the next smaller INSERT, for those that are left."""


class SQLiteBulk:
    """INSERT of many rows; look-ups of many values by one."""

    insert = staticmethod(sqlite.insert)
    indexes_units = False

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._driver: Any = connection.connection.driver_connection

    def moments(self, micros: Integers) -> Column:
        """The texts that `UTCDateTime` keeps."""
        texts = np.datetime_as_string(micros.view("datetime64[us]"), unit="us")
        # The T between day and time, in place: a `replace` for each text would cost more than the texts.
        texts.view(np.uint32).reshape(texts.size, texts.itemsize // 4)[:, 10] = ord(" ")
        return texts.tolist()

    def days(self, numbers: Integers) -> Column:
        """The texts that a date column keeps."""
        names = {number: str(np.datetime64(number, "D")) for number in np.unique(numbers).tolist()}
        return [names[number] for number in numbers.tolist()]

    def append(
        self, table: sa.Table, columns: Columns, *, of: Columns | None = None, counts: Sequence[int] = ()
    ) -> None:
        """Inserts many rows by each statement."""
        shared = of or {}
        blocks = _blocks(shared, columns, counts) if shared else {1: list(_rows(columns))}
        for statement, values in _inserts(table, (*shared, *columns), len(shared), blocks):
            self._execute(statement, values)

    def claim(self, table: sa.Table, columns: Columns) -> bool:
        """Inserts them and lets the key refuse what is there, instead of looking first."""
        self._execute("SAVEPOINT claim", ())
        is_new = True
        try:
            self.append(table, columns)
        except sqlite3.IntegrityError:
            self._execute("ROLLBACK TO claim", ())
            is_new = False
        self._execute("RELEASE claim", ())
        return is_new

    def run(self, statement: sa.Executable, *numbers: int) -> None:
        """At once."""
        self._execute(_script(statement), numbers)

    def idle(self) -> sa.Connection:
        """Nothing is ever under way: a thread that writes costs as much as it saves."""
        return self._connection

    def find(self, column: sa.Column[Any], values: Column, wanted: Sequence[sa.Column[Any]]) -> Iterator[Any]:
        """One statement, whatever the number of values, which are bytes of one length."""
        if not len(values):
            return iter(())
        joined = values.tobytes() if isinstance(values, np.ndarray) else b"".join(values)
        names = ", ".join(f'"{each.name}"' for each in wanted)
        # The values travel as one, and Python's lock is free while they are looked up.
        statement = (
            f'{_PLACES} SELECT {names} FROM place CROSS JOIN "{column.table.name}" '  # noqa: S608
            f'WHERE "{column.name}" = substr(?1, place.start, ?2)'
        )
        rows: list[Any] = self._execute(statement, (joined, len(joined) // len(values), len(joined))).fetchall()
        return iter(rows)

    def remove(self, column: sa.Column[Any], values: Sequence[Any]) -> int:
        """One statement where whole numbers follow each other, otherwise one for each 10,000 values."""
        delete = f'DELETE FROM "{column.table.name}" WHERE "{column.name}"'  # noqa: S608
        if is_stretch(values):
            return int(self._execute(f"{delete} BETWEEN ? AND ?", (values[0], values[-1])).rowcount)
        parts = (tuple(values[start : start + _IN_LIMIT]) for start in range(0, len(values), _IN_LIMIT))
        return sum(self._execute(f"{delete} IN ({', '.join('?' * len(part))})", part).rowcount for part in parts)

    def read(self, statement: str, *values: object) -> Sequence[Any]:
        """As it stands."""
        rows: list[Any] = self._execute(statement, values).fetchall()
        return rows

    def stage(self, table: sa.Table) -> None:
        """Kept in memory; emptied here."""
        self._connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
        self._connection.execute(sa.delete(table))

    def commit(self) -> None:
        """Left to the caller's block."""

    def _execute(self, statement: str, values: Sequence[object]) -> Any:
        """The statement's cursor.

        Raises StoreUnavailable if the disk is full or the file out of reach, StoreNotMigrated if a table is missing.
        """
        try:
            return self._driver.execute(statement, values)
        except sqlite3.DatabaseError as error:
            if type(error) not in (sqlite3.OperationalError, sqlite3.DatabaseError):
                raise
            raise unavailable(self._connection.engine, error) from error


@cache
def _script(statement: Any) -> str:
    dialect: Any = sqlite.dialect()
    return str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def _inserts(
    table: sa.Table, names: tuple[str, ...], shared: int, blocks: Mapping[int, Sequence[Row]]
) -> Iterator[tuple[str, Row]]:
    """What inserts the blocks, which are by their number of rows; neighbours lie on the same page of the table."""
    leading = names[:shared] or names
    # By one value: to compare two of each row costs twice as much, and equal ones lie close anyway.
    place = next((leading.index(column.name) for column in table.primary_key if column.name in leading), None)
    for height, found in blocks.items():
        key: Any = None if place is None else itemgetter(place)
        values = chain.from_iterable(sorted(found, key=key) if key else found)
        size = shared + height * (len(names) - shared)
        for number in _portions(len(found), max(1, _AT_ONCE // size)):
            yield _insert(table.name, names, shared, height, number), tuple(islice(values, number * size))


def _rows(columns: Columns) -> Iterator[Row]:
    return zip(*map(plain, columns.values()), strict=True)


def _blocks(shared: Columns, columns: Columns, counts: Sequence[int]) -> dict[int, list[Row]]:
    """Each shared row and behind it the values of its own rows, by their number; those with too many are divided."""
    width, at = len(columns), 0
    most = max(1, (_AT_ONCE - len(shared)) // width)
    own = tuple(chain.from_iterable(_rows(columns)))
    blocks: defaultdict[int, list[Row]] = defaultdict(list)
    for head, count in zip(_rows(shared), counts, strict=True):
        end = at + count * width
        while at < end:
            height = min(count, most, (end - at) // width)
            blocks[height].append(head + own[at : at + height * width])
            at += height * width
    return blocks


def _portions(total: int, most: int) -> Iterator[int]:
    """Numbers that add up to the total, of few kinds: each is a statement that the driver keeps prepared."""
    size = most
    while total:
        yield from [size] * (total // size)
        total, size = total % size, max(1, size // _PARTS)


# The names below are those of our schema; values always travel as parameters.
@lru_cache(maxsize=128)
def _insert(table: str, names: tuple[str, ...], shared: int, height: int, number: int) -> str:
    """An INSERT of `number` blocks: `shared` values that `height` rows have in common, then what each has itself."""
    width = len(names) - shared
    own, size = ["?"] * width, shared + height * width
    rows: list[str] = []
    for first in range(1, number * size + 1, size):
        # By number, so that each is bound once.
        heads = [f"?{place}" for place in range(first, first + shared)]
        rows += [f"({', '.join(heads + own)})"] * height
    quoted = ", ".join(f'"{name}"' for name in names)
    return f'INSERT INTO "{table}" ({quoted}) VALUES {", ".join(rows)}'  # noqa: S608
