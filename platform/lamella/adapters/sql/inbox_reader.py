"""The oldest batches of the inbox, read and checked; while the caller stores some, the next are read."""

import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql.bulk import bulk
from lamella.adapters.sql.engine import is_postgresql
from lamella.adapters.sql.intake import Intake
from lamella.adapters.sql.schema import inbox
from lamella.adapters.sql.steps import Steps, made_by
from lamella.errors import LamellaError

_SIZES: Final = (
    sa.select(inbox.c.id, sa.func.length(inbox.c.body).label("size"))
    .where(inbox.c.id > sa.bindparam("after"))
    .order_by(inbox.c.id)
    .limit(sa.bindparam("limit"))
)
_BODIES: Final = "SELECT id, body FROM inbox WHERE id BETWEEN ? AND ? ORDER BY id"
GROUP_BYTES: Final = {"postgresql": 16 * 1024 * 1024, "sqlite": 4 * 1024 * 1024}
"""A group takes no further batch beyond this: what a worker holds in memory stays bounded, however long the inbox.

Large groups touch each total and each page of an index less often.
"""
_FIRST_SHARE: Final = {"postgresql": 8, "sqlite": 1}
"""The first group has this part of the bytes. Each commit of SQLite writes the same pages of the indexes once more."""
_AHEAD: Final = 2
"""Groups that are read before they are wanted, so that there is something to do until the last commit is on disk."""
_AT_ONCE_BYTES: Final = 2 * 1024 * 1024
"""What one statement reads, and is in memory as bytes, at most and a batch."""
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
        self._ahead: deque[_Thread | _Between] = deque()
        self._largest = GROUP_BYTES[engine.dialect.name]
        self._most = self._largest

    def take(self, limit: int) -> Group:
        """The oldest batches, up to `limit` of them and to some megabytes; empty only where the inbox is.

        With PostgreSQL the first group is small and each next one twice as large: nothing is stored while the first is
        read, and a group is stored in about the time in which one of twice its size is read. Raises StoreUnavailable.
        """
        ahead = self._ahead.popleft() if self._ahead else None
        group = ahead.group() if ahead is not None and ahead.is_for(limit) else None
        if group is None or not group.batches:
            self._ahead.clear()
            self._most = self._largest // _FIRST_SHARE[self._engine.dialect.name]
            group = self.read(limit, after=0)
        if group.is_full and not self._ahead:
            self._go_on(limit, group)
        return group

    def work(self) -> bool:
        """Reads a little, where that is left to who waits; False where there is nothing to read for now."""
        if not self._ahead or isinstance(self._ahead[-1], _Thread):
            return False
        newest = self._ahead[-1]
        if newest.step():
            return True
        group = newest.made
        if group is None or not group.is_full or len(self._ahead) == _AHEAD:
            return False
        self._go_on(newest.limit, group)
        return True

    def is_ahead(self) -> bool:
        """Whether a group is read ahead."""
        return bool(self._ahead)

    def forget(self) -> None:
        """Drops what was read ahead: the next group begins with the oldest batch again."""
        self._ahead.clear()

    def _go_on(self, limit: int, group: Group) -> None:
        """Begins with the group behind this one."""
        self._most = min(2 * self._most, self._largest)
        reading = _Between if is_postgresql(self._engine) else _Thread
        self._ahead.append(reading(self, limit, group.batches[-1]))

    def read(self, limit: int, *, after: int) -> Group:
        """The oldest batches whose number is higher than `after`."""
        return made_by(self.steps(limit, after=after))

    def steps(self, limit: int, *, after: int) -> Steps[Group]:
        """Reads them."""
        with self._engine.connect() as connection:
            sizes, is_full = _group(connection, limit, after, self._most)
        found: list[int] = []
        intake = yield from Intake.steps(self._bodies(sizes, found))
        return Group(found, intake, is_full=is_full and bool(found))

    def _bodies(self, sizes: Mapping[int, int], found: list[int]) -> Iterator[bytes]:
        """The batches of these numbers, some megabytes at a time; what is still there is noted in `found`."""
        for part in _portions(sizes):
            with self._engine.connect() as connection:
                rows = bulk(connection).read(_BODIES, part[0], part[-1])
            for number, body in rows:
                found.append(number)
                yield body


class _Between:
    """A group that is read in the caller's thread, step by step while it waits for PostgreSQL."""

    def __init__(self, reader: InboxReader, limit: int, after: int) -> None:
        self.limit, self._process = limit, os.getpid()
        self._steps = reader.steps(limit, after=after)
        self._fault: Exception | None = None
        self.made: Group | None = None

    def is_for(self, limit: int) -> bool:
        return self.limit == limit and self._process == os.getpid()

    def step(self) -> bool:
        """Reads a little; False once there is no more to read. Raises nothing: a statement may be under way."""
        try:
            next(self._steps)
        except StopIteration as end:
            self.made = end.value or self.made
            return False
        except Exception as error:  # noqa: BLE001 - told by `group`
            self._fault = error
            return False
        return True

    def group(self) -> Group | None:
        """What was read, once all is; None where the store did not answer: the caller asks again and hears why.

        Raises what else reading raised, such as the time limit of a task.
        """
        while self.step():
            pass
        if self._fault is not None and not isinstance(self._fault, LamellaError):
            raise self._fault
        return self.made


class _Thread:
    """A group that a thread reads: SQLite lets go of Python's lock for as long as it works.

    A process that was forked meanwhile does not wait for its parent's thread.
    """

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


def _portions(sizes: Mapping[int, int]) -> Iterator[Sequence[int]]:
    """The numbers in their order, as many at a time as have some megabytes together."""
    part, total = list[int](), 0
    for number, size in sizes.items():
        part.append(number)
        total += size
        if total >= _AT_ONCE_BYTES:
            yield part
            part, total = [], 0
    if part:
        yield part


def _group(connection: sa.Connection, limit: int, after: int, most: int) -> tuple[dict[int, int], bool]:
    """The sizes of the next group's batches, and whether there may be more: at least one, none beyond `most` bytes."""
    sizes: dict[int, int] = {}
    total, last = 0, after
    while len(sizes) < limit:
        asked = min(_LOOK, limit - len(sizes))
        # Through SQLAlchemy: it says in our words where the store is away or not migrated.
        found = connection.execute(_SIZES, {"after": last, "limit": asked}).all()
        for last, size in found:
            sizes[last] = size
            total += size
            if total >= most:
                return sizes, True
        if len(found) < asked:
            return sizes, False
    return sizes, True
