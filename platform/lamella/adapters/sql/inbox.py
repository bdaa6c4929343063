"""The table between web processes and workers: what is put there becomes facts with the next ingest."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql.engine import is_postgresql, writing
from lamella.adapters.sql.schema import inbox
from lamella.services.record_ports import Accepted, Put

_SPAN: Final = sa.select(
    sa.select(sa.func.min(inbox.c.id)).scalar_subquery(), sa.select(sa.func.max(inbox.c.id)).scalar_subquery()
)
_ROWS: Final = sa.select(sa.func.count()).select_from(inbox)
_INSERT: Final = sa.insert(inbox)
# PostgreSQL takes all rows as two parameters: one message instead of one a row.
_ALL_AT_ONCE: Final = "INSERT INTO inbox (received_at, body) SELECT * FROM unnest(%b::timestamptz[], %b::bytea[])"


class SqlInbox:
    """The inbox, which holds at most `limit` batches; processes that put at one moment may pass it by a group each."""

    def __init__(self, engine: sa.Engine, *, limit: int) -> None:
        self._engine, self.limit = engine, limit

    def put(self, batches: Sequence[Accepted]) -> Put:
        """Stores what there is room for, in one transaction that is durable at the return. Raises StoreUnavailable."""
        with writing(self._engine) as connection:
            held = self._held(connection, len(batches))
            room = max(0, min(len(batches), self.limit - held))
            if room:
                _insert(connection, batches[:room])
        return Put(room, held + room)

    def _held(self, connection: sa.Connection, wanted: int) -> int:
        """How many batches wait; the rows are counted only where the inbox may be full."""
        first, last = connection.execute(_SPAN).one()
        # Numbers rise and may have gaps: their span is never less than the number of rows.
        span = 0 if last is None else int(last) - int(first) + 1
        return span if span + wanted <= self.limit else int(connection.execute(_ROWS).scalar_one())


def _insert(connection: sa.Connection, batches: Sequence[Accepted]) -> None:
    if is_postgresql(connection):
        columns = [each.received_at for each in batches], [each.body for each in batches]
        connection.exec_driver_sql(_ALL_AT_ONCE, columns)
    else:
        connection.execute(_INSERT, [{"received_at": each.received_at, "body": each.body} for each in batches])
