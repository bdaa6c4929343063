"""The inbox in SQL, with group commit: requests that arrive while a commit runs share the next one."""

import os
import threading
import weakref
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql.engine import writing
from lamella.adapters.sql.schema import inbox
from lamella.errors import LamellaError, Overloaded, StoreUnavailable
from lamella.services.ports import Clock

_GROUP_LIMIT: Final = 512
_WAIT_SECONDS: Final = 60.0


@dataclass(slots=True, eq=False)
class _Waiting:
    batch: bytes
    done: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None


_journals: Final["weakref.WeakSet[SqlJournal]"] = weakref.WeakSet()


class SqlJournal:
    """Appends batches to the inbox; one committer thread per process, started by the first append.

    `limit` bounds the batches that wait in the inbox. Processes that append at the same moment may pass it by one
    group each. Memory is bounded by the callers: each waits for its own batch. After a fork the child starts afresh.
    """

    def __init__(self, engine: sa.Engine, clock: Clock, *, limit: int) -> None:
        self._engine, self._clock, self._limit = engine, clock, limit
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._thread: threading.Thread | None = None
        self._is_closing = False
        _journals.add(self)

    def append(self, batch: bytes) -> None:
        """Returns once `batch` is durable.

        Raises Overloaded when the inbox holds its limit, StoreUnavailable when it cannot be reached: the batch may
        then be sent again, whatever became of it.
        """
        mine = _Waiting(batch)
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
                self._is_closing = False
                self._thread = threading.Thread(target=self._run, name="lamella-journal", daemon=True)
                self._thread.start()
            self._waiting.append(mine)
            self._changed.notify()
        if not mine.done.wait(_WAIT_SECONDS):
            raise StoreUnavailable(f"the store did not commit within {_WAIT_SECONDS:g} s; send the batch again")
        if mine.error is not None:
            raise mine.error

    def close(self) -> None:
        """Ends the committer once everything that waits is durable; a later append starts it again."""
        with self._changed:
            self._is_closing = True
            thread = self._thread
            self._changed.notify()
        if thread is not None:
            thread.join()

    def begin(self) -> None:
        """Forgets the committer and what waits for it: they belong to the parent of a forked process."""
        self._changed = threading.Condition()
        self._waiting = []
        self._thread = None
        self._is_closing = False

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or self._is_closing)
                if not self._waiting:
                    return
                group = self._waiting[:_GROUP_LIMIT]
                del self._waiting[:_GROUP_LIMIT]
            self._commit(group)

    def _commit(self, group: list[_Waiting]) -> None:
        """Stores the group; every waiter is released, with the error where there was one."""
        error: Exception | None = None
        accepted = group
        try:
            with writing(self._engine) as connection:
                accepted = group[: self._room(connection, len(group))]
                if accepted:
                    now = self._clock.now()
                    connection.execute(
                        sa.insert(inbox), [{"received_at": now, "body": each.batch} for each in accepted]
                    )
        except LamellaError as failure:
            error, accepted = failure, group
        except Exception as failure:  # noqa: BLE001 - whatever it was, those who wait must hear of it
            error, accepted = StoreUnavailable(f"the batch was not stored: {failure}; send it again"), group
        for each in group[len(accepted) :]:
            each.error = Overloaded(f"the inbox ({self._limit} batches)")
        for each in accepted:
            each.error = error
        for each in group:
            each.done.set()

    def _room(self, connection: sa.Connection, wanted: int) -> int:
        """How many of `wanted` batches the inbox still takes; counts its rows only where it may be full."""
        oldest, newest = sa.select(sa.func.min(inbox.c.id)), sa.select(sa.func.max(inbox.c.id))
        first, last = connection.execute(sa.select(oldest.scalar_subquery(), newest.scalar_subquery())).one()
        # Numbers rise and may have gaps: their span is never less than the number of rows.
        span = 0 if last is None else int(last) - int(first) + 1
        if span + wanted <= self._limit:
            return wanted
        rows = connection.execute(sa.select(sa.func.count()).select_from(inbox)).scalar_one()
        return max(0, min(wanted, self._limit - rows))


def _begin_again() -> None:
    for journal in list(_journals):
        journal.begin()


os.register_at_fork(after_in_child=_begin_again)
