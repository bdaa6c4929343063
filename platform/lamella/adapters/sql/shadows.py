"""What shadows were seen to do, in SQL."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lamella.adapters.sql.engine import is_postgresql, writing
from lamella.adapters.sql.shadow_schema import shadow_item, shadow_total
from lamella.services.shadow_ports import ShadowRecord, ShadowTotal

_KEY: Final = ("shadow", "live", "stage")
_COLUMNS: Final = tuple(shadow_total.c[each.name] for each in fields(ShadowTotal))


class SqlShadowStore:
    """The totals of all processes. Rows are written in one order, so that processes wait for each other in turn."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, totals: Sequence[ShadowTotal], shown: Sequence[tuple[str, str]]) -> None:
        """Adds the totals, and the pairs of shadow and item that are not there yet, in one transaction."""
        with writing(self._engine) as connection:
            if totals:
                ordered = sorted(totals, key=lambda each: (each.shadow, each.live, each.stage))
                connection.execute(_adding(connection), [asdict(each) for each in ordered])
            if shown:
                rows = [{"shadow": shadow, "item": item} for shadow, item in sorted(set(shown))]
                connection.execute(_insert(connection, shadow_item).on_conflict_do_nothing(), rows)

    def read(self, shadow: str) -> ShadowRecord:
        """What is known of the shadow; empty where it was never asked."""
        wanted = sa.select(*_COLUMNS).where(shadow_total.c.shadow == shadow)
        counted = sa.select(sa.func.count()).select_from(shadow_item).where(shadow_item.c.shadow == shadow)
        with self._engine.connect() as connection:
            rows = connection.execute(wanted.order_by(shadow_total.c.live, shadow_total.c.stage)).mappings()
            totals = [ShadowTotal(**row) for row in rows]
            return ShadowRecord(totals=totals, shown=int(connection.execute(counted).scalar() or 0))


def _adding(connection: sa.Connection) -> Any:
    insert = _insert(connection, shadow_total)
    sums = {
        column.name: column + insert.excluded[column.name]
        for column in shadow_total.columns
        if column.name not in (*_KEY, "items")
    }
    items = sa.case(
        (insert.excluded["items"] > shadow_total.c["items"], insert.excluded["items"]), else_=shadow_total.c["items"]
    )
    return insert.on_conflict_do_update(index_elements=list(_KEY), set_={**sums, "items": items})


def _insert(connection: sa.Connection, table: sa.Table) -> Any:
    return postgresql.insert(table) if is_postgresql(connection) else sqlite.insert(table)
