"""Hears of a new configuration at once: a daemon thread on the announcements; polling finds what it misses."""

import threading
from collections.abc import Callable
from typing import Final

import structlog

from lamella.bootstrap.web import Announcements
from lamella.errors import LamellaError

FIRST_WAIT: Final = 0.2
LONGEST_WAIT: Final = 10.0


class Listener:
    """Calls `heard` at each announcement once started, and whenever it begins to listen.

    A connection that is lost is made again after 0.2 s, 0.4 s, … up to 10 s; that is logged once, and hurts nobody.
    """

    def __init__(self, announcements: Announcements, heard: Callable[[], None]) -> None:
        self._announcements, self._heard = announcements, heard
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._wait = FIRST_WAIT
        self._failing = False

    def start(self) -> None:
        """Starts the thread where it does not run."""
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="lamella-announcements", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stops the thread and waits for it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        log = structlog.get_logger("lamella.web")
        while not self._stop.is_set():
            try:
                self._announcements.listen(self._take, self._stop)
            except LamellaError as error:
                if not self._failing:
                    log.warning("not_listening", code=error.code, detail=str(error))
            except Exception:
                # A thread that died silently would leave this process to its polling.
                log.exception("not_listening")
            self._failing = True
            self._stop.wait(self._wait)
            self._wait = min(LONGEST_WAIT, self._wait * 2)

    def _take(self) -> None:
        if self._failing and not self._stop.is_set():
            structlog.get_logger("lamella.web").info("listening_again")
        self._failing, self._wait = False, FIRST_WAIT
        self._heard()
