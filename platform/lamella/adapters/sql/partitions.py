"""The months of the facts on PostgreSQL: made before the first row that needs them; SQLite has none."""

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql.engine import is_postgresql
from lamella.adapters.sql.schema import FACTS

# Times outside are a few strays; they go to the default partition.
_PAST: Final = timedelta(days=3653)
_AHEAD: Final = timedelta(days=31)
_LOCK: Final = 0x6D6F6E746873
"""The key of the advisory lock on PostgreSQL: "months" in ASCII."""

_CATALOGUE: Final = sa.table("pg_class", sa.column("relname", sa.Text), sa.column("oid", sa.Integer))
_IS_VISIBLE: Final = sa.func.pg_table_is_visible(_CATALOGUE.c.oid)


def months_of(days: Iterable[date], now: datetime) -> set[date]:
    """The first day of every month that needs a partition: those of `days`, this one and the next."""
    today = now.astimezone(UTC).date()
    near = (day for day in days if today - _PAST <= day <= today + _AHEAD)
    return {day.replace(day=1) for day in near} | {today.replace(day=1), _next(today)}


def make_partitions(connection: sa.Connection, months: Collection[date]) -> None:
    """Makes the partitions of the months that have none, in the connection's transaction; nothing on SQLite.

    A month whose rows already lie in the default partition stays there: slower, and as correct.
    """
    if not is_postgresql(connection) or not _missing(connection, months):
        return
    # Whoever makes partitions at the same moment is waited for; then only what is still missing is made.
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    for month, fact in _missing(connection, months):
        _make(connection, fact, month)


def drop_partition(connection: sa.Connection, fact: str, month: date) -> None:
    """Drops the partition of the month with all its rows, where there is one; PostgreSQL only."""
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {_name(fact, month)}")


def _missing(connection: sa.Connection, months: Collection[date]) -> list[tuple[date, str]]:
    wanted = [(month, fact.name) for month in sorted(months) for fact in FACTS]
    # Not to_regclass: a backend remembers that a name was unknown, and would not see what another has just made.
    is_ours = sa.and_(_CATALOGUE.c.relname.in_([_name(fact, month) for month, fact in wanted]), _IS_VISIBLE)
    found = set(connection.execute(sa.select(_CATALOGUE.c.relname).where(is_ours)).scalars())
    return [(month, fact) for month, fact in wanted if _name(fact, month) not in found]


def _name(fact: str, month: date) -> str:
    return f"{fact}_{month:%Y_%m}"


def _make(connection: sa.Connection, fact: str, month: date) -> None:
    bounds = f"FROM ('{month.isoformat()} 00:00:00+00') TO ('{_next(month).isoformat()} 00:00:00+00')"
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(f"CREATE TABLE {_name(fact, month)} PARTITION OF {fact} FOR VALUES {bounds}")
    except sa.exc.IntegrityError:
        return


def _next(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)
