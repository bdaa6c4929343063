"""The oldest batches of the inbox, read and checked; while the caller stores some, the next are read in a thread."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql.bulk import bulk
from lamella.adapters.sql.intake import Intake
from lamella.adapters.sql.schema import inbox

_SIZES: Final = (
    sa.select(inbox.c.id, sa.func.length(inbox.c.body).label("size"))
    .where(inbox.c.id > sa.bindparam("after"))
    .order_by(inbox.c.id)
    .limit(sa.bindparam("limit"))
)
_BODIES: Final = "SELECT id, body FROM inbox WHERE id BETWEEN ? AND ? ORDER BY id"
GROUP_BYTES: Final = 4 * 1024 * 1024
"""A group takes no further batch beyond this: what a worker holds in memory stays bounded, however long the inbox.

Large groups touch each total and each page of an index less often.
"""
_FIRST_SHARE: Final = {"postgresql": 8, "sqlite": 1}
"""The first group has this part of the bytes. Each commit of SQLite writes the same pages of the indexes once more."""
_LOOK: Final = 1_000
"""Batches whose sizes are asked for at once."""


@dataclass(frozen=True, slots=True)
class Group:
    """Batches by number, oldest first, and what they hold. `is_full` where the inbox probably has more."""

    batches: Sequence[int]
    intake: Intake
    is_full: bool


class InboxReader:
    """Reads the inbox in groups. Batches that are not deleted meanwhile are read again after `forget`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._ahead: _Ahead | None = None
        self._most = GROUP_BYTES

    def take(self, limit: int) -> Group:
        """The oldest batches, up to `limit` of them and to some megabytes; empty only where the inbox is.

        With PostgreSQL the first group is small and each next one twice as large: nothing is stored while the first is
        read, and a group is stored in about the time in which one of twice its size is read. Raises StoreUnavailable.
        """
        ahead, self._ahead = self._ahead, None
        group = ahead.group() if ahead is not None and ahead.is_for(limit) else None
        if group is None or not group.batches:
            self._most = GROUP_BYTES // _FIRST_SHARE[self._engine.dialect.name]
            group = self.read(limit, after=0)
        if group.is_full:
            self._most = min(2 * self._most, GROUP_BYTES)
            self._ahead = _Ahead(self, limit, group.batches[-1])
        return group

    def is_ahead(self) -> bool:
        """Whether a group is read ahead."""
        return self._ahead is not None

    def forget(self) -> None:
        """Drops what was read ahead: the next group begins with the oldest batch again."""
        self._ahead = None

    def read(self, limit: int, *, after: int) -> Group:
        """The oldest batches whose number is higher than `after`."""
        with self._engine.connect() as connection:
            ways = bulk(connection)
            numbers, is_full = _group(connection, limit, after, self._most)
            if not numbers:
                return Group((), Intake(), is_full=False)
            batches = dict(ways.read(_BODIES, numbers[0], numbers[-1]))
        return Group(list(batches), Intake.of(batches.values()), is_full=is_full)


class _Ahead:
    """A group that a thread reads. A process that was forked meanwhile does not wait for its parent's thread."""

    def __init__(self, reader: InboxReader, limit: int, after: int) -> None:
        self._limit, self._process = limit, os.getpid()
        self._group: Group | None = None
        self._thread = threading.Thread(target=self._read, args=(reader, after), name="lamella-inbox", daemon=True)
        self._thread.start()

    def is_for(self, limit: int) -> bool:
        return self._limit == limit and self._process == os.getpid()

    def group(self) -> Group | None:
        """What was read, or None where the store did not answer: the caller asks again and hears why."""
        self._thread.join()
        return self._group

    def _read(self, reader: InboxReader, after: int) -> None:
        try:
            self._group = reader.read(self._limit, after=after)
        except Exception:  # noqa: BLE001 - reading again, in the caller's thread, tells it
            self._group = None


def _group(connection: sa.Connection, limit: int, after: int, most: int) -> tuple[list[int], bool]:
    """The batches of the next group, and whether there may be more: at least one, and none beyond `most` bytes."""
    numbers: list[int] = []
    total, last = 0, after
    while len(numbers) < limit:
        asked = min(_LOOK, limit - len(numbers))
        # Through SQLAlchemy: it says in our words where the store is away or not migrated.
        found = connection.execute(_SIZES, {"after": last, "limit": asked}).all()
        for last, size in found:
            numbers.append(last)
            total += size
            if total >= most:
                return numbers, True
        if len(found) < asked:
            return numbers, False
    return numbers, True
