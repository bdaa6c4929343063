"""A PostgreSQL that a test may kill with -9 at any moment and start again over the same files."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psycopg

from lamella.errors import StoreUnavailable
from lamella.testing.servers import _folder, _free_port, _guarded, _Owner, _postgresql_binaries, _settings, _tail

_UNLIMITED: Final = "unlimited"
_START_SECONDS: Final = 30
_STOP_SECONDS: Final = 20


class Cluster:
    """The server of one data folder, on one port for all its lives; it keeps every commit on disk (fsync)."""

    def __init__(self, binaries: Path, folder: Path, owner: _Owner, options: Mapping[str, str]) -> None:
        self.port = _free_port()
        self._binaries, self._folder, self._owner, self._options = binaries, folder, owner, options
        self._process: subprocess.Popen[bytes] | None = None
        self._file_size = _UNLIMITED

    @property
    def url(self) -> str:
        """Its URL, for a user who may create databases."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def log(self) -> str:
        """The end of what the server wrote."""
        return _tail(self._folder / "server.log")

    def pids(self) -> list[int]:
        """Its processes: the postmaster first; none where it does not run."""
        return [] if self._process is None or self._process.poll() is not None else tree(self._process.pid)

    def heal(self) -> None:
        """Starts the server where it does not run; it answers some time later."""
        if self.pids():
            return
        settings = {**_settings(durable=True), **self._options}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        program = [str(self._binaries / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port)]
        with (self._folder / "server.log").open("ab") as sink:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", 'ulimit -S -f "$0" && exec "$@"', self._file_size, *program, *options],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=self._folder,
                start_new_session=True,
                **self._owner.identity,
            )

    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def wait(self) -> None:
        """Returns when it answers, started again where it has ended. Raises StoreUnavailable after half a minute."""
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_up():
            if time.monotonic() > deadline:
                raise StoreUnavailable(f"PostgreSQL does not start: {self.log}")
            self.heal()
            time.sleep(0.05)

    def kill(self, rng: random.Random) -> None:
        """Ends all its processes with -9, or (every second time) one, after which the postmaster starts over."""
        pids = self.pids()
        for pid in pids if rng.random() < 0.5 or len(pids) < 2 else [rng.choice(pids[1:])]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None and len(pids) > 1:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)

    def fill_disk(self) -> None:
        """From now on no file of the running server takes another byte, as on a full disk; it may end of it."""
        self._limit_files("0")

    def empty_disk(self) -> None:
        """From now on files grow again."""
        self._limit_files(_UNLIMITED)

    def _limit_files(self, size: str) -> None:
        self._file_size = size
        for pid in self.pids():
            # As the server's own user: root of a container may lack the right to limit others.
            command = ["prlimit", "--pid", str(pid), f"--fsize={size}:"]
            subprocess.run(command, check=False, capture_output=True, **self._owner.identity)

    def stop(self) -> None:
        """Ends the server."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()


@contextmanager
def cluster(options: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """A server with an empty database, gone with its files at the end of the block."""
    owner = _Owner.unprivileged()
    with _folder(owner) as folder:
        binaries = _postgresql_binaries(folder)
        fixed = ["--no-sync", "-A", "trust", "--locale=C.UTF-8", "-U", "postgres"]
        if owner.run(binaries / "initdb", *fixed, "-D", folder / "data", log=folder / "log"):
            raise StoreUnavailable(f"initdb failed: {_tail(folder / 'log')}")
        made = Cluster(binaries, folder, owner, options or {})
        try:
            made.wait()
            with _guarded(made.pids()[0], "QUIT", folder):
                yield made
        finally:
            made.stop()


def tree(pid: int) -> list[int]:
    """The process and all below it, parents first; Linux only."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(stat.parent.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found
