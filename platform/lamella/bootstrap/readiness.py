"""What /readyz asks: the store and its schema, the broker, the configuration in memory; and what each failure means."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Literal

from lamella.errors import BrokerUnavailable, LamellaError, StoreNotMigrated, StoreUnavailable, Unavailable
from lamella.services.assigning import SnapshotHolder

ANSWER_SECONDS: Final = 0.75
"""So long the store, and then the broker, is waited for: `lamella health web` gives up after two seconds."""


def _never(_failure: LamellaError) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessCheck:
    """One line of /readyz: `probe` returns where all is well and raises a LamellaError where it is not.

    A check that is not `required` is reported and makes the process degraded, but not unready; so does a failure of
    which `is_bridged` says that requests are answered all the same.
    """

    name: str
    probe: Callable[[], None]
    required: bool = True
    is_bridged: Callable[[LamellaError], bool] = _never

    def forbids(self, failure: LamellaError) -> bool:
        """Whether a process in which the probe raised this cannot work."""
        return self.required and not self.is_bridged(failure)


class Prompt:
    """Asks `ask` in a thread of its own; where no answer comes within `seconds`, raises what `late` gives.

    While one question is under way no other is asked: a server that says nothing holds one thread, and is waited for
    once.
    """

    def __init__(self, ask: Callable[[], None], late: Callable[[], LamellaError], *, seconds: float) -> None:
        self._ask, self._late, self._seconds = ask, late, seconds
        self._lock = threading.Lock()
        self._answer: Future[None] | None = None
        self._until = 0.0

    def __call__(self) -> None:
        """Returns where `ask` does in time. Raises what it raises, or what `late` gives."""
        with self._lock:
            if self._answer is None or self._answer.done():
                self._answer, self._until = Future(), time.monotonic() + self._seconds
                threading.Thread(target=self._run, args=(self._answer,), name="lamella-ready", daemon=True).start()
            answer, until = self._answer, self._until
        try:
            answer.result(max(0.0, until - time.monotonic()))
        except TimeoutError:
            raise self._late() from None

    def _run(self, answer: "Future[None]") -> None:
        try:
            self._ask()
        except Exception as error:  # noqa: BLE001 - raised where the answer is waited for
            answer.set_exception(error)
        else:
            answer.set_result(None)


def readiness(
    journal: Literal["disk", "store"],
    snapshots: SnapshotHolder,
    *,
    check_store: Callable[[], None],
    check_broker: Callable[[], None],
    seconds: float = ANSWER_SECONDS,
) -> Sequence[ReadinessCheck]:
    """The checks of a web process.

    The broker is not required: lists are served and recorded without it, only later analysed. Neither is a store that
    is away once a configuration was loaded, and the list of models with it, where the journal is on disk: lists and
    events go on, and a load balancer that took every process away would end them. A store that answers and has another
    schema is.
    """
    late = f"did not answer within {seconds:g} s"
    ask_store = Prompt(check_store, lambda: StoreUnavailable(f"the store {late}"), seconds=seconds)
    ask_broker = Prompt(check_broker, lambda: BrokerUnavailable(f"the broker {late}"), seconds=seconds)

    def store() -> None:
        try:
            ask_store()
        except StoreNotMigrated:
            return

    def snapshot() -> None:
        if not snapshots.is_loaded:
            raise Unavailable("no configuration was loaded yet; the log of the web process says why")

    def is_bridged(failure: LamellaError) -> bool:
        return journal == "disk" and snapshots.is_loaded and isinstance(failure, StoreUnavailable)

    return (
        ReadinessCheck(name="store", probe=store, is_bridged=is_bridged),
        ReadinessCheck(name="migrations", probe=ask_store, is_bridged=is_bridged),
        ReadinessCheck(name="broker", probe=ask_broker, required=False),
        ReadinessCheck(name="snapshot", probe=snapshot),
    )
