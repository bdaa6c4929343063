"""A server of PostgreSQL that lives and says nothing: who asks it is answered within seconds, that it is away.

A process that was stopped, or a disk that hangs, keeps every connection open, and the system's own time limits never
pass. So what requests wait for is watched: after ANSWER_SECONDS its connection is shut down, which ends the wait. Who
looks something up for a request then leaves such a server alone for a while.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final

import psycopg

from lamella.errors import StoreUnavailable

ANSWER_SECONDS: Final = 5.0
REST_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.25
"""Between two rounds of the thread, which is for limits of seconds."""


class _Watch:
    """The connections that are waited for in this process, and a thread that looks after them."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forgets all: a forked child has neither its parent's waits nor the thread."""
        self._lock = threading.Lock()
        self._waits: dict[object, tuple[float, Any]] = {}
        self._thread: threading.Thread | None = None
        self._wanted = threading.Event()

    @contextmanager
    def of(self, driver: Any) -> Iterator[None]:
        wait = object()
        with self._lock:
            self._waits[wait] = (time.monotonic() + ANSWER_SECONDS, driver)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="lamella-silence", daemon=True)
                self._thread.start()
        if not self._wanted.is_set():
            self._wanted.set()
        try:
            yield
        finally:
            with self._lock:
                del self._waits[wait]

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            time.sleep(_PAUSE_SECONDS)
            with self._lock:
                if not self._waits:
                    self._wanted.clear()
                now = time.monotonic()
                for until, driver in self._waits.values():
                    if now > until:
                        _shut_down(driver)


_watch: Final = _Watch()
os.register_at_fork(after_in_child=_watch.begin)


def watched(driver: Any) -> AbstractContextManager[None]:
    """Ends what the block waits for on this connection of psycopg after ANSWER_SECONDS, by an OperationalError."""
    return _watch.of(driver)


class Rest:
    """Whether a server is left alone, because it said nothing to the last who asked."""

    def __init__(self) -> None:
        self._until = 0.0

    @contextmanager
    def asking(self) -> Iterator[Callable[[], bool]]:
        """Gives what says whether the server has said nothing for too long to be asked once more.

        Raises StoreUnavailable at once while the server is left alone; one look after that finds out for all.
        """
        began = time.monotonic()
        if self._until:
            if began < self._until:
                raise StoreUnavailable("the store says nothing; it is asked again within seconds")
            self._until = began + ANSWER_SECONDS + REST_SECONDS

        def is_silent() -> bool:
            return time.monotonic() - began >= ANSWER_SECONDS

        until = 0.0
        try:
            yield is_silent
        except StoreUnavailable:
            if is_silent():
                until = time.monotonic() + REST_SECONDS
            raise
        finally:
            self._until = until


def _shut_down(driver: Any) -> None:
    """Ends the connection for both sides; its file stays the driver's, which closes it."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(driver.pgconn.socket)) as link:
        link.shutdown(socket.SHUT_RDWR)
