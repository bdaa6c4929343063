"""What units read and clicked, chained in the transaction that stores the facts: see `history_schema`."""

from collections import defaultdict
from functools import cache
from typing import Any, Final, NamedTuple

import orjson
import sqlalchemy as sa

from lamella.adapters.sql.bulk import Bulk
from lamella.adapters.sql.columns import Column, Integers, plain
from lamella.adapters.sql.history_schema import history, history_head

READING: Final = ("click", "read")
"""The facts that histories are made of."""

_LAST: Final = "SELECT coalesce(max(id), 0) FROM history"
_AT_ONCE: Final = 50
"""Events in one row where chains are made anew."""

# Of a unit the numbers follow each other, so that the one before is the row before.
_ROWS_ANEW: Final = f"""
INSERT INTO history (id, unit, previous, newest, events)
SELECT number, unit, CASE WHEN part > 0 THEN number - 1 END, newest, CAST('[' || events || ']' AS BLOB)
FROM (
  SELECT
    row_number() OVER (ORDER BY unit, part) AS number,
    unit,
    part,
    MAX(micros) AS newest,
    group_concat(micros || ',' || json_quote(item)) AS events
  FROM (
    SELECT
      unit,
      item,
      CAST(strftime('%s', substr(time, 1, 19)) AS INTEGER) * 1000000 + CAST(substr(time, 21, 6) AS INTEGER) AS micros,
      (row_number() OVER (PARTITION BY unit ORDER BY time) - 1) / {_AT_ONCE} AS part
    FROM (SELECT unit, time, item FROM read UNION ALL SELECT unit, time, item FROM click)
  )
  GROUP BY unit, part
)
"""  # noqa: S608 - a number of ours
_HEADS_ANEW: Final = (
    "INSERT INTO history_head (unit, last, newest) SELECT unit, MAX(id), MAX(newest) FROM history GROUP BY unit"
)

stage_history: Final = sa.Table(
    "stage_history",
    sa.MetaData(),
    *(sa.Column(name, history.c[name].type) for name in ("unit", "newest", "events")),
    prefixes=["TEMPORARY"],
)


class Reading:
    """The reads and clicks of one transaction, during which no other ingest runs, until they are stored.

    Nothing where the store finds them by an index.
    """

    def __init__(self, bulk: Bulk) -> None:
        self._bulk = bulk
        self._events: defaultdict[str, list[int | str]] = defaultdict(list)

    def add(self, units: Column, micros: Integers, items: Column) -> None:
        """Adds events: their units, times in microseconds since 1970, and items."""
        if self._bulk.indexes_units:
            return
        for unit, at, item in zip(*map(plain, (units, micros, items)), strict=True):
            self._events[unit] += (at, item)

    def store(self) -> None:
        """Puts a row before the rows of each unit that has events."""
        if not self._events:
            return
        ((last,),) = self._bulk.read(_LAST)
        self._bulk.stage(stage_history)
        # Neighbours lie on the same page of the heads.
        units = sorted(self._events)
        events = [self._events[unit] for unit in units]
        newest = [max(each[::2]) for each in events]
        bodies = [orjson.dumps(each) for each in events]
        self._bulk.append(stage_history, {"unit": units, "newest": newest, "events": bodies})
        statements = _statements(self._bulk.insert)
        self._bulk.run(statements.add_rows)
        self._bulk.run(statements.move_heads, last)


def trim(connection: sa.Connection, until: int) -> None:
    """Deletes the rows of chains that hold nothing from `until` on (microseconds since 1970), nor does any before."""
    for table in (history, history_head):
        connection.execute(sa.delete(table).where(table.c.newest < until))


def chain_anew(connection: sa.Connection) -> None:
    """Makes every chain again from the facts."""
    for table in (history, history_head):
        connection.execute(sa.delete(table))
    connection.exec_driver_sql(_ROWS_ANEW)
    connection.exec_driver_sql(_HEADS_ANEW)


class _Statements(NamedTuple):
    """What chains the staged rows."""

    add_rows: sa.Executable
    move_heads: sa.Executable


@cache
def _statements(insert: Any) -> _Statements:
    new, head = stage_history.c, history_head.c
    newest = sa.case((head.newest > new.newest, head.newest), else_=new.newest)
    found = stage_history.outerjoin(history_head, head.unit == new.unit)
    rows = sa.select(new.unit, head.last, newest, new.events).select_from(found)
    added = sa.select(history.c.unit, history.c.id, history.c.newest).where(history.c.id > sa.literal_column("?"))
    moving = insert(history_head).from_select(["unit", "last", "newest"], added)
    moved = {name: moving.excluded[name] for name in ("last", "newest")}
    return _Statements(
        sa.insert(history).from_select(["unit", "previous", "newest", "events"], rows),
        moving.on_conflict_do_update(index_elements=["unit"], set_=moved),
    )
