"""Whose thread a model runs in, and how long anybody waits for it."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeAlias

from lamella.errors import LamellaError, ModelFailed, Unavailable
from lamella.services.model_ports import Scored

Call: TypeAlias = Callable[[str], Scored]

PROOFS: Final = 3
"""In-time answers out of the pool after which a version in memory may answer in the caller's thread."""
OVERDUE: Final = 5
"""Deadlines after which a call in a caller's thread takes that right away again."""
MOST_STUCK: Final = 2
"""Calls of one version that are late in the pool at once; more are refused without waiting."""
_THREADS: Final = 8


class MustWait(Exception):
    """A model would have to be waited for, where nobody may: the caller asks again where one may."""


class LateModel(Unavailable):
    """A model did not answer within the deadline of its stage."""


class Guard:
    """Calls models.

    A version that is in memory and has proved prompt runs in the caller's thread: no handing over, and its time is
    bounded by its size. All others run in a small pool under a deadline; late, they go on for the next request. A
    thread cannot be stopped, so a watchdog looks at the calls in the callers' threads, and a version that is overdue
    in one, or fails, goes back to the pool until it has proved itself anew.
    """

    def __init__(
        self,
        is_prompt: Callable[[str], bool],
        *,
        deadline_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_prompt, self._deadline_seconds, self._monotonic = is_prompt, deadline_seconds, monotonic
        self._pool = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="lamella-stage")
        self._trusted: set[str] = set()
        self._proofs: Counter[str] = Counter()
        self._stuck: Counter[str] = Counter()
        self._running: dict[int, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._watchdog: threading.Thread | None = None

    def close(self) -> None:
        """Lets go of the threads; a call that is still running is not waited for."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def trusts(self, model: str) -> bool:
        """Whether the version runs in the caller's thread."""
        return model in self._trusted and self._is_prompt(model)

    def call(self, model: str, work: Call, *, patience: float = 1.0, may_wait: bool = True) -> Scored:
        """What `work` makes of the model, within `patience` times the deadline.

        Raises what the model raises, LateModel, and ModelFailed for anything outside the LamellaError tree; MustWait
        where it may not wait and would have to.
        """
        is_trusted = self.trusts(model)
        if not is_trusted and not may_wait:
            raise MustWait
        try:
            if is_trusted:
                me = threading.get_ident()
                self._running[me] = (model, self._monotonic())
                try:
                    return work(model)
                finally:
                    del self._running[me]
            return self._pooled(model, work, patience)
        except Exception as error:
            if is_trusted:
                self._distrust(model)
            if isinstance(error, LamellaError):
                raise
            raise ModelFailed(f"model {model!r} raised {type(error).__name__}: {error}") from error

    def _pooled(self, model: str, work: Call, patience: float) -> Scored:
        seconds = self._deadline_seconds * patience
        late = LateModel(f"model {model!r} did not answer within {seconds:g} s; try again")
        if patience <= 1 and self._stuck[model] >= MOST_STUCK:
            raise late
        waiting = self._pool.submit(work, model)
        try:
            scored = waiting.result(timeout=seconds)
        except TimeoutError:
            if waiting.done():
                return waiting.result()
            if not waiting.cancel():
                self._hold(model, waiting)
            raise late from None
        if self._is_prompt(model):
            self._prove(model)
        return scored

    def _hold(self, model: str, waiting: "Future[Scored]") -> None:
        """Counts a call among the stuck ones until it ends."""

        def release(_: "Future[Scored]") -> None:
            with self._lock:
                self._stuck[model] -= 1

        with self._lock:
            self._stuck[model] += 1
            self._proofs.pop(model, None)
        waiting.add_done_callback(release)

    def _prove(self, model: str) -> None:
        with self._lock:
            self._proofs[model] += 1
            if self._proofs[model] < PROOFS:
                return
            self._trusted.add(model)
            if self._watchdog is None or not self._watchdog.is_alive():
                self._watchdog = threading.Thread(target=self._watch, name="lamella-watchdog", daemon=True)
                self._watchdog.start()

    def _watch(self) -> None:
        while not self._closed.wait(self._deadline_seconds):
            latest = self._monotonic() - OVERDUE * self._deadline_seconds
            for model, started in list(self._running.values()):
                if started < latest and model in self._trusted:
                    self._distrust(model)

    def _distrust(self, model: str) -> None:
        with self._lock:
            self._trusted.discard(model)
            self._proofs.pop(model, None)
