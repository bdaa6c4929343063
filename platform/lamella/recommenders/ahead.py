"""Work ahead of the requests that is given a little time and never waited for longer: it may hang."""

import threading
import time
from collections.abc import Callable, Mapping

import structlog

from lamella.errors import LamellaError


class Ahead:
    """Runs work in threads of its own, at most one for each key at a time."""

    def __init__(self, *, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._threads: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()

    def run(self, works: Mapping[str, Callable[[], object]]) -> None:
        """Returns once all of it has ended, or the patience is over; what hangs goes on without anybody.

        A key whose work of earlier still hangs is left out. An error ends the work and is not raised; one outside the
        LamellaError tree is logged.
        """
        started = [thread for key, work in works.items() if (thread := self._start(key, work)) is not None]
        until = time.monotonic() + self._patience_seconds
        for thread in started:
            thread.join(max(until - time.monotonic(), 0))

    def _start(self, key: str, work: Callable[[], object]) -> threading.Thread | None:
        def carry_out() -> None:
            try:
                work()
            except LamellaError:
                return
            except Exception:  # noqa: BLE001 - logged; this thread has nobody to raise to
                structlog.get_logger("lamella.models").exception("not_prepared", what=key)

        with self._lock:
            self._threads = {key: thread for key, thread in self._threads.items() if thread.is_alive()}
            if key in self._threads:
                return None
            thread = self._threads[key] = threading.Thread(target=carry_out, name=f"lamella-ahead-{key}", daemon=True)
            thread.start()
        return thread
