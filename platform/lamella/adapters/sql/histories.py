"""What units have read and clicked, newest first, from the facts."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql.schema import click, read

_REPEATS: Final = 10
"""How many rows are read for each item that is wanted: people come back to the same one."""


class SqlHistoryStore:
    """Histories read by unit, each from the index that the facts of reads and clicks have by unit and time."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def last_reads(self, unit: str, *, limit: int) -> Sequence[str]:
        """The last `limit` different items that the unit read or clicked, oldest first.

        Looks at the unit's newest 10 · `limit` reads and clicks each.
        """
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
        with self._engine.connect() as connection:
            found = connection.execute(wanted).scalars().all()
        return list(reversed(found))
