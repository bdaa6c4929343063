"""Keeps what this process holds in memory fresh: a daemon thread that asks the store for something newer."""

import threading
from collections.abc import Callable

import structlog

from lamella.bootstrap.web import Refreshing
from lamella.errors import LamellaError


class Poller:
    """Refreshes every `seconds` once started; a failure is logged once, and the old state stays in force.

    `then` is called after each refresh that succeeded.
    """

    def __init__(
        self, name: str, refreshing: Refreshing, seconds: float, *, then: Callable[[], None] = lambda: None
    ) -> None:
        self._name, self._refreshing, self._seconds, self._then = name, refreshing, seconds, then
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False

    def start(self) -> None:
        """Starts the thread where it does not run. Cheap, so that every request may call it, also after a fork."""
        if self._thread is not None and self._thread.is_alive():
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._stop.clear()
                self._thread = threading.Thread(target=self._run, name=f"lamella-{self._name}", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Stops the thread and waits for it."""
        self._stop.set()
        thread = self._thread
        if thread is not None:
            thread.join()

    def poll(self) -> None:
        """Refreshes once. Failures are logged, not raised: the old state goes on serving."""
        log = structlog.get_logger("lamella.web")
        try:
            self._refreshing.refresh()
            self._then()
        except LamellaError as error:
            if not self._failing:
                log.warning("not_refreshed", what=self._name, code=error.code, detail=str(error))
            self._failing = True
        except Exception:
            # A thread that died silently would freeze the state.
            log.exception("not_refreshed", what=self._name)
        else:
            if self._failing:
                log.info("refreshed_again", what=self._name)
            self._failing = False

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self.poll()
