"""Journals in front of a real inbox, and what has reached it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from lamella.adapters.disk.journal import DiskJournal
from lamella.adapters.sql.inbox import SqlInbox
from lamella.adapters.sql.schema import inbox
from lamella.services.record_ports import Inbox
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW

MANY = 1_000_000_000


@contextmanager
def journals(engine: sa.Engine, folder: Path) -> Iterator[Callable[..., DiskJournal]]:
    """Makes journals in `folder`, and closes them all at the end."""
    made: list[DiskJournal] = []

    def make(store: Inbox | None = None, *, limit: int = 1_000, limit_bytes: int = MANY) -> DiskJournal:
        inner = store or SqlInbox(engine, limit=limit)
        made.append(DiskJournal(folder, inner, FakeClock(NOW), limit_bytes=limit_bytes))
        return made[-1]

    yield make
    for journal in made:
        journal.close()


def bodies(engine: sa.Engine) -> list[bytes]:
    """What the inbox holds, oldest first."""
    with engine.connect() as connection:
        return [bytes(body) for body in connection.execute(sa.select(inbox.c.body).order_by(inbox.c.id)).scalars()]
