"""Old months of the facts: read for the archive, and taken out of the store once a file holds them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from lamella.adapters.sql.engine import is_postgresql, snapshot
from lamella.adapters.sql.locks import ingesting
from lamella.adapters.sql.partitions import drop_partition
from lamella.adapters.sql.reading import READING, trim
from lamella.adapters.sql.schema import FACTS, archived
from lamella.adapters.sql.types import UTCDateTime
from lamella.services.archive_ports import INTEGER, MOMENT, REAL, TEXT, ArchivedFile, Column, Month

_BATCH: Final = 20_000
_TABLES: Final = {table.name: table for table in FACTS}
# Who reads the facts for long must not hold up ingests behind a partition that waits to be dropped.
_PATIENCE: Final = "SET LOCAL lock_timeout = '10s'"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class SqlOldFacts:
    """The facts of the store, month by month."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def months(self, *, until: datetime) -> Sequence[Month]:
        """The months that ended by `until` and have rows, oldest first, those of each fact."""
        with snapshot(self._engine) as connection:
            return [month for table in FACTS for month in _months(connection, table, until)]

    def columns(self, fact: str) -> Mapping[str, str]:
        """The columns of a fact, in order, with what they hold."""
        return {column.name: _kind(column) for column in _TABLES[fact].columns}

    def batches(self, month: Month) -> Iterator[Sequence[Column]]:
        """The rows of the month in the order of time, by column, some ten thousand at a time."""
        table = _TABLES[month.fact]
        asked = (sa.cast(each, sa.Text) if isinstance(each.type, sa.JSON) else each for each in table.columns)
        wanted = sa.select(*asked).where(_within(table, month)).order_by(table.c.time)
        moments = [index for index, column in enumerate(table.columns) if _kind(column) == MOMENT]
        with snapshot(self._engine) as connection:
            rows = connection.execution_options(stream_results=True, yield_per=_BATCH).execute(wanted)
            for part in rows.partitions():
                columns: list[Any] = list(zip(*part, strict=True))
                for index in moments:
                    columns[index] = [(each - _EPOCH) // _MICROSECOND for each in columns[index]]
                yield columns

    def release(self, file: ArchivedFile, *, at: datetime) -> bool:
        """Whether the month left the store: its rows are gone and `file` is known, in one transaction."""
        month, table = file.month, _TABLES[file.month.fact]
        with ingesting(self._engine) as connection:
            if is_postgresql(connection):
                connection.exec_driver_sql(_PATIENCE)
            there = sa.select(sa.func.count()).select_from(table).where(_within(table, month))
            if connection.execute(there).scalar_one() != file.rows:
                return False
            if is_postgresql(connection):
                drop_partition(connection, month.fact, month.since.date())
            # What is left of the month is all of it on SQLite, and a few strays of the default partition otherwise.
            connection.execute(sa.delete(table).where(_within(table, month)))
            if month.fact in READING and not is_postgresql(connection):
                trim(connection, (month.until - _EPOCH) // _MICROSECOND)
            connection.execute(
                sa.insert(archived).values(
                    fact=month.fact,
                    path=file.path,
                    since=month.since,
                    until=month.until,
                    rows=file.rows,
                    digest=file.digest,
                    at=at,
                )
            )
        return True

    def files(self) -> Sequence[ArchivedFile]:
        """Every file that the archive must have."""
        with self._engine.connect() as connection:
            return [
                ArchivedFile(
                    month=Month(fact=row.fact, since=row.since, until=row.until),
                    path=row.path,
                    rows=row.rows,
                    digest=row.digest,
                )
                for row in connection.execute(sa.select(archived).order_by(archived.c.path))
            ]

    def replace(self, file: ArchivedFile) -> None:
        """From now on the archive has this content at `file.path`."""
        is_it = sa.and_(archived.c.fact == file.month.fact, archived.c.path == file.path)
        with ingesting(self._engine) as connection:
            connection.execute(sa.update(archived).where(is_it).values(rows=file.rows, digest=file.digest))


def _months(connection: sa.Connection, table: sa.Table, until: datetime) -> Iterator[Month]:
    """The months with rows that ended by `until`."""
    bound = _month_of(until)
    starts = _starts_of_partitions if is_postgresql(connection) else _starts_by_key
    for start in starts(connection, table, bound):
        yield Month(fact=str(table.name), since=start, until=_next(start))


def _starts_of_partitions(connection: sa.Connection, table: sa.Table, bound: datetime) -> Iterator[datetime]:
    """One pass over the old partitions, which are those that should go."""
    month = sa.func.date_trunc("month", table.c.time, type_=UTCDateTime)
    old = sa.select(month.label("month")).where(table.c.time < bound).distinct()
    yield from sorted(connection.execute(old).scalars())


def _starts_by_key(connection: sa.Connection, table: sa.Table, bound: datetime) -> Iterator[datetime]:
    """One step in the key for each month: it begins with the time."""
    since = datetime(1, 1, 1, tzinfo=UTC)
    while True:
        oldest = sa.select(sa.func.min(table.c.time)).where(table.c.time >= since, table.c.time < bound)
        first = connection.execute(oldest).scalar()
        if first is None:
            return
        yield _month_of(first)
        since = _next(_month_of(first))


def _month_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _next(month: datetime) -> datetime:
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1)


def _within(table: sa.Table, month: Month) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.time >= month.since, table.c.time < month.until)


def _kind(column: sa.Column[Any]) -> str:
    kinds = {UTCDateTime: MOMENT, sa.Double: REAL, sa.Integer: INTEGER}
    return next((kind for of, kind in kinds.items() if isinstance(column.type, of)), TEXT)
