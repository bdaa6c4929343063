"""The supervisor: one object that starts every process of an installation, watches them and stops them."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from lamella.adapters.redis import broker as address_book
from lamella.adapters.redis.embedded import EmbeddedBroker
from lamella.adapters.redis.liveness import forget
from lamella.bootstrap.connections import check_broker, migrate
from lamella.config import Settings
from lamella.errors import LamellaError, Unavailable
from lamella.supervisor import programs
from lamella.supervisor.child import Child
from lamella.supervisor.folder import DataFolder

_WATCH_SECONDS: Final = 0.1
_BROKER_SECONDS: Final = 15.0


class Supervisor:
    """Everything that a running installation needs, as children of this process.

    `start` returns when all of them work. Children that die are started again, with a growing delay; each such
    event goes to `report` as one line. If this process is killed, so are its children. A context manager: leaving
    it stops everything.
    """

    def __init__(self, settings: Settings, *, report: Callable[[str], None] = lambda _: None) -> None:
        folder = DataFolder(settings.data_dir)
        self._embedded = None if settings.redis_url else EmbeddedBroker(folder.path / "broker")
        self._broker_url = settings.redis_url or (self._embedded.url if self._embedded else "")
        self.settings = settings.model_copy(update={"data_dir": folder.path, "redis_url": self._broker_url})
        self._folder, self._report = folder, report
        self._children: list[Child] = []
        self._stopping, self._ready, self._ended = threading.Event(), threading.Event(), threading.Event()
        self._failure: LamellaError | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address of the web process."""
        return programs.address(self.settings)

    def start(self) -> None:
        """Take the data folder, migrate the store and start the children; returns without waiting for them.

        Raises Conflict where another supervisor holds the folder, PortInUse, StoreUnavailable, BrokerUnavailable
        and InvalidSettings.
        """
        programs.check_port(self.settings)
        self._folder.acquire()
        try:
            migrate(self.settings)
            if self._embedded is None:
                check_broker(self.settings)
        except BaseException:
            self._folder.release()
            raise
        # The kernel ties a child to the thread that started it, so one thread starts and outlives them all.
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def wait_ready(self, timeout_seconds: float = 180.0, *, give_up: Callable[[], bool] = lambda: False) -> None:
        """Returns when every child does its work, or early where `give_up` says so.

        Raises Unavailable with the child's own sentence where one cannot start (everything is stopped by then) or
        where it takes longer than `timeout_seconds`.
        """
        deadline = time.monotonic() + timeout_seconds
        while not self._ready.wait(_WATCH_SECONDS) and not give_up():
            if self._ended.is_set() or time.monotonic() > deadline:
                late = ", ".join(child.program.name for child in self._children if not child.was_ready)
                self.stop()
                raise self._failure or Unavailable(
                    f"{late or 'the installation'} was not ready within {timeout_seconds:.0f} s; "
                    f"see the logs in {self._folder.path / 'logs'}"
                )

    def pids(self) -> Mapping[str, int]:
        """The pid of each child that runs, by name: broker, web, worker, trainer, beat."""
        return {child.program.name: pid for child in self._children if (pid := child.pid) is not None}

    def join(self, timeout_seconds: float | None = None) -> bool:
        """Whether everything has ended; waits for it for so long."""
        return self._ended.wait(timeout_seconds)

    def stop(self) -> None:
        """Stop everything in order; returns when no child is left. Safe to call again."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self._start_children()
            while not self._stopping.wait(_WATCH_SECONDS):
                for child in self._children:
                    self._watch(child)
                    child.bound_log()
                if not self._ready.is_set() and all(child.check_ready() for child in self._children):
                    self._ready.set()
        except LamellaError as error:
            self._failure = error
        finally:
            self._stop_children()
            self._folder.release()
            self._ended.set()

    def _start_children(self) -> None:
        if self._embedded is not None:
            self._launch(Child(programs.broker(self._embedded, self._folder)))
            self._await_broker(self._children[0])
            address_book.remember(self._folder.path, self._broker_url)
        services = programs.services(self.settings, self._broker_url, self._folder)
        forget(self._broker_url, *(program.name for program in services))
        for program in services:
            self._launch(Child(program))

    def _launch(self, child: Child) -> None:
        pid = child.start()
        self._children.append(child)
        self._tell(f"{child.program.name}: started, pid {pid}")

    def _await_broker(self, child: Child) -> None:
        deadline = time.monotonic() + _BROKER_SECONDS
        while not child.check_ready():
            self._fail_if_ended(child)
            if self._stopping.wait(0.01) or time.monotonic() > deadline:
                raise Unavailable(f"the broker did not start: {child.last_words() or 'no answer'}")

    def _watch(self, child: Child) -> None:
        if child.restart_at is not None:
            if time.monotonic() >= child.restart_at:
                self._start_again(child)
            return
        how = child.ended()
        if how is None:
            return
        if not self._ready.is_set():
            self._fail_if_ended(child)
        words = child.complaint()
        delay = child.plan_restart()
        self._tell(
            f"{child.program.name}: ended ({how}); starts again in {delay:.1f} s" + (f": {words}" if words else "")
        )

    def _start_again(self, child: Child) -> None:
        try:
            self._tell(f"{child.program.name}: started again, pid {child.start()}")
        except OSError as error:
            delay = child.plan_restart()
            self._tell(f"{child.program.name}: cannot be started ({error.strerror}); tried again in {delay:.1f} s")

    def _tell(self, line: str) -> None:
        # The disk of the log may be full and its reader gone: what is watched goes on.
        with suppress(OSError):
            self._report(line)

    def _fail_if_ended(self, child: Child) -> None:
        how = child.ended()
        if how is not None:
            raise Unavailable(f"{child.program.name} could not start: {child.last_words() or how}")

    def _stop_children(self) -> None:
        """Broker last: the others give their messages back to it."""
        served = [child for child in self._children if child.program.name != "broker"]
        for group in (served, [child for child in self._children if child not in served]):
            for child in group:
                child.ask_to_stop()
            for child in group:
                child.wait()
