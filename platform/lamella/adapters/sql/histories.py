"""What units have read and clicked, newest first.

PostgreSQL finds it by the index that reads and clicks have by unit and time, SQLite in the rows that ingest chains.
"""

import heapq
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

import orjson
import sqlalchemy as sa

from lamella.adapters.sql.engine import is_postgresql, look
from lamella.adapters.sql.history_schema import history, history_head
from lamella.adapters.sql.schema import click, read

_REPEATS: Final = 10
"""How many rows are read for each item that is wanted: people come back to the same one."""
_AT_ONCE: Final = 50
"""Rows of a chain that are read by one statement: nearly always enough."""
_STATEMENTS: Final = 20
"""How often a chain is followed further: people come back to the same item, and events may come late."""


class SqlHistoryStore:
    """Histories read by unit, without looking at what other units read."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def last_reads(self, unit: str, *, limit: int) -> Sequence[str]:
        """The last `limit` different items that the unit read or clicked, oldest first.

        Looks at the unit's newest 10 · `limit` reads and clicks each; on SQLite at what its last 1,000 ingests brought.
        """
        find = _indexed if is_postgresql(self._engine) else _chained
        found = look(self._engine, lambda connection: find(connection, unit, limit))
        return list(reversed(found))


def _indexed(connection: sa.Connection, unit: str, limit: int) -> Sequence[str]:
    newest = [
        sa.select(fact.c.item, fact.c.time)
        .where(fact.c.unit == unit)
        .order_by(fact.c.time.desc())
        .limit(_REPEATS * limit)
        .subquery()
        for fact in (read, click)
    ]
    both = sa.union_all(*(sa.select(each.c.item, each.c.time) for each in newest)).subquery()
    last = sa.func.max(both.c.time)
    wanted = sa.select(both.c.item).group_by(both.c.item).order_by(last.desc(), both.c.item).limit(limit)
    return connection.execute(wanted).scalars().all()


def _chained(connection: sa.Connection, unit: str, limit: int) -> Sequence[str]:
    found: dict[str, int] = {}
    for newest, events in _rows(connection, unit):
        # No event of this row, or of any before it, is later.
        if len(found) >= limit and heapq.nlargest(limit, found.values())[-1] > newest:
            break
        _see(found, orjson.loads(events))
    return sorted(found, key=lambda item: (-found[item], item))[:limit]


def _rows(connection: sa.Connection, unit: str) -> Iterator[tuple[int, bytes]]:
    """The time and the events of the unit's rows, the one that was stored last first."""
    start: int | None = None
    for _ in range(_STATEMENTS):
        rows = connection.execute(_chain(), {"unit": unit, "start": start}).all()
        yield from ((row.newest, row.events) for row in rows)
        start = rows[-1].previous if len(rows) == _AT_ONCE else None
        if start is None:
            return


def _see(found: dict[str, int], events: Sequence[Any]) -> None:
    """Notes the latest time of each item."""
    for at, item in zip(events[::2], events[1::2], strict=True):
        if item not in found or at > found[item]:
            found[item] = at


@cache
def _chain() -> sa.Select[Any]:
    """Some rows of a unit from the one that `start` names, or from the last one."""
    columns = [history.c[name] for name in ("previous", "newest", "events")]
    head = sa.select(history_head.c.last).where(history_head.c.unit == sa.bindparam("unit")).scalar_subquery()
    start = sa.func.coalesce(sa.bindparam("start", type_=sa.BigInteger), head)
    chain = sa.select(*columns).where(history.c.id == start).cte("chain", recursive=True)
    chain = chain.union_all(sa.select(*columns).join_from(chain, history, history.c.id == chain.c.previous))
    return sa.select(chain).limit(_AT_ONCE)
