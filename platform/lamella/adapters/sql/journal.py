"""A journal that is the inbox itself, with group commit: requests that come while a commit runs share the next."""

import os
import threading
import weakref
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql.inbox import SqlInbox
from lamella.errors import LamellaError, Overloaded, StoreUnavailable
from lamella.services.ports import Clock
from lamella.services.record_ports import Accepted

_GROUP_LIMIT: Final = 512
_WAIT_SECONDS: Final = 60.0


@dataclass(slots=True, eq=False)
class _Waiting:
    batch: bytes
    done: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None


_journals: Final["weakref.WeakSet[SqlJournal]"] = weakref.WeakSet()


class SqlJournal:
    """Appends batches to the inbox, at most `limit`; one committer thread per process, started by the first append.

    Memory is bounded by the callers: each waits for its own batch. After a fork the child starts afresh.
    """

    def __init__(self, engine: sa.Engine, clock: Clock, *, limit: int) -> None:
        self._inbox, self._clock = SqlInbox(engine, limit=limit), clock
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
        taken = len(group)
        try:
            now = self._clock.now()
            taken = self._inbox.put([Accepted(now, each.batch) for each in group]).taken
        except LamellaError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001 - whatever it was, those who wait must hear of it
            error = StoreUnavailable(f"the batch was not stored: {failure}; send it again")
        for each in group[:taken]:
            each.error = error
        for each in group[taken:]:
            each.error = Overloaded(f"the inbox ({self._inbox.limit} batches)")
        for each in group:
            each.done.set()


def _begin_again() -> None:
    for journal in list(_journals):
        journal.begin()


os.register_at_fork(after_in_child=_begin_again)
