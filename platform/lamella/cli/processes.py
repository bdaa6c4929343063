"""The processes of `lamella web`: a parent that forks them and starts again what ends, an event loop in each."""

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final

import uvicorn
from gunicorn import arbiter, glogging
from gunicorn.app.base import BaseApplication
from gunicorn.errors import AppImportError, HaltServer
from prometheus_client.multiprocess import mark_process_dead
from uvicorn_worker import UvicornWorker

from lamella.adapters.lifeline import die_with_parent
from lamella.adapters.niceness import be_nice
from lamella.cli.acceptor import Acceptor, Seats
from lamella.cli.connection import Connection
from lamella.cli.serving import METRICS_FOLDER
from lamella.config import Settings
from lamella.errors import LamellaError

KILL_AFTER_SECONDS: Final = 4
_STUCK_SECONDS: Final = 60
_IDLE_SECONDS: Final = 75
_BACKLOG: Final = 2048
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the file has no name once it is open


class Pauses:
    """How long nobody is started in place of workers that ended young: a crash at each start is no busy loop.

    A few in a row are replaced at once, the next ones after 1 s, 2 s and so on, 16 s at most.
    """

    YOUNG_SECONDS: Final = 10.0
    AT_ONCE: Final = 3
    LONGEST_SECONDS: Final = 16.0

    def __init__(self) -> None:
        self._failures, self._until = 0, 0.0

    def note(self, *, began: float, ended: float) -> None:
        """A worker lived from `began` to `ended`, in seconds of one clock, and was not told to end."""
        self._failures = self._failures + 1 if ended - began < self.YOUNG_SECONDS else 0
        if self._failures > self.AT_ONCE:
            self._until = ended + min(2.0 ** (self._failures - self.AT_ONCE - 1), self.LONGEST_SECONDS)

    def are_over(self, now: float) -> bool:
        """Whether one may be started."""
        return now >= self._until


class Log(glogging.Logger):  # type: ignore[misc] # gunicorn publishes no types
    """What gunicorn tells, by the handlers and in the form of this process's log."""

    def setup(self, cfg: Any) -> None:
        """Without handlers of its own."""
        super().setup(cfg)
        self.error_log.propagate = True


class Parent(arbiter.Arbiter):  # type: ignore[misc] # as above
    """What forks the workers. SIGTERM and SIGINT end it in order, SIGHUP replaces its workers one after the other."""

    SIGNALS: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)

    def __init__(self, app: BaseApplication) -> None:
        super().__init__(app)
        self.pauses = Pauses()
        # A reload starts all workers anew before the old ones end.
        self.seats = Seats(2 * app.settings.web_processes)

    def signal(self, sig: int, frame: FrameType | None) -> None:
        """Gunicorn lets no request end after SIGINT; Ctrl-C is no reason to lose one."""
        super().signal(signal.SIGTERM if sig == signal.SIGINT else sig, frame)

    def stop(self, graceful: bool = True) -> None:  # noqa: FBT001, FBT002 - gunicorn's signature
        """Returns when no worker is left. Where several could not start, the first has been heard already."""
        while True:
            try:
                super().stop(graceful)
            except HaltServer:
                continue
            return

    def spawn_workers(self) -> None:
        """Starts those that are missing, unless it is too early; the parent's loop asks again each second."""
        if self.pauses.are_over(time.monotonic()):
            super().spawn_workers()

    def kill_worker(self, pid: int, sig: int) -> None:
        """What a worker is told to do is no failure of its own."""
        if pid in self.WORKERS:
            self.WORKERS[pid].is_told = True
        super().kill_worker(pid, sig)

    def spawn_worker(self) -> int:
        """The worker's pid. The worker itself ends here, and does not clean up what is its parent's."""
        parent = os.getpid()
        try:
            return int(super().spawn_worker())
        except SystemExit as end:
            if os.getpid() == parent:
                raise
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code if isinstance(end.code, int) else 1)


class _Loop(uvicorn.Server):
    """uvicorn's server, whose connections are accepted by an `Acceptor`."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, seats: Seats, seat: int | None) -> None:
        super().__init__(config)
        self._listener, self._seats, self._seat = listener, seats, seat
        self._acceptor: Acceptor | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve what comes from now on."""
        await super().startup(sockets)

        def make() -> Connection:
            made = Connection(self.config, self.server_state, self.lifespan.state)
            made.when_lost = acceptor.lost
            return made

        acceptor = Acceptor(self._listener, self._seats, self._seat, make)
        self._acceptor = acceptor
        self.servers = [acceptor]  # type: ignore[list-item] # it has what is asked of one: close and wait_closed
        acceptor.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, once nobody is on the way who would not hear of it."""
        if self._acceptor is not None:
            self._acceptor.close()
            await self._acceptor.settle()
        await super().shutdown(sockets)


class Worker(UvicornWorker):  # type: ignore[misc] # as above
    """An event loop on the listening socket that all workers share, with a seat among them."""

    seats: Seats
    seat: int | None

    CONFIG_KWARGS: Final = {
        "loop": "uvloop",
        "http": Connection,
        "ws": "none",
        "interface": "asgi3",
        "lifespan": "on",
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        # The rest of the time that the parent gives is for what has to end in order.
        "timeout_graceful_shutdown": KILL_AFTER_SECONDS - 1,
    }

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.began, self.is_told = time.monotonic(), False
        # The parent tells of starts and ends; what clients do wrong is no news.
        log = logging.getLogger("uvicorn.error")
        log.propagate = True
        log.setLevel(logging.ERROR)

    async def _serve(self) -> None:
        """As uvicorn's worker does it, by our loop."""
        self.config.app = self.wsgi
        # uvloop watches a plain socket; gunicorn's own kind it would close a second time, by its number.
        server = _Loop(self.config, self.sockets[0].sock, self.seats, self.seat)
        self._install_sigquit_handler()
        await server.serve(sockets=[])
        if not server.started:
            sys.exit(arbiter.Arbiter.WORKER_BOOT_ERROR)


class Server(BaseApplication):  # type: ignore[misc] # as above
    """A parent with its workers, which all serve what `create` makes in them."""

    def __init__(self, settings: Settings, create: Callable[[], Any]) -> None:
        self.settings, self._create = settings, create
        super().__init__()

    def load_config(self) -> None:
        """From the settings alone: no file, variable or argument of gunicorn's has a say."""
        for name, value in _configuration(self.settings).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The application, made in a worker. What keeps it from being made is a sentence, and ends the parent too."""
        try:
            return self._create()
        except LamellaError as error:
            raise AppImportError(f"error: {error}") from error

    def run(self) -> None:
        """Serve until a signal; raises SystemExit(1) where a worker could not start."""
        try:
            Parent(self).run()
        except SystemExit as end:
            if end.code:
                raise SystemExit(1) from None


def _give_seat(parent: Parent, worker: Worker) -> None:
    """Gives a worker, before the fork, a seat that nobody has; in haste there may be none."""
    free = set(range(len(parent.seats))) - {other.seat for other in parent.WORKERS.values()}
    worker.seats, worker.seat = parent.seats, min(free, default=None)


def _go_own_way(_: Parent, worker: Worker) -> None:
    """What a worker does after the fork: it leads a session.

    Linux gives sessions equal shares of a core (`sched_autogroup_enabled`): workers in one would divide what the
    database and each client have for themselves.
    """
    die_with_parent(worker.ppid)  # before it leaves the group of its parent, with which it could be killed
    os.setsid()
    be_nice(worker.app.settings.web_nice)


def _settle(parent: Parent, worker: Worker) -> None:
    """What a worker said of itself, such as the version of its configuration, ends with it; what it counted stays."""
    if worker.seat is not None:
        parent.seats.leave(worker.seat)
    if not worker.is_told:
        parent.pauses.note(began=worker.began, ended=time.monotonic())
    if METRICS_FOLDER in os.environ:
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call] # it publishes no types


def _configuration(settings: Settings) -> Mapping[str, object]:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return {
        "bind": f"{host}:{settings.port}",
        "backlog": _BACKLOG,
        "workers": settings.web_processes,
        "worker_class": Worker,
        "pre_fork": _give_seat,
        "post_fork": _go_own_way,
        "worker_tmp_dir": str(_SHARED_MEMORY) if os.access(_SHARED_MEMORY, os.W_OK) else None,
        "timeout": _STUCK_SECONDS,
        "graceful_timeout": KILL_AFTER_SECONDS,
        "keepalive": _IDLE_SECONDS,
        "logger_class": Log,
        "loglevel": settings.log_level,
        "errorlog": None,
        "control_socket_disable": True,
        "child_exit": _settle,
    }
