"""`lamella up`: everything as one, and what it does when a part of it dies."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lamella.supervisor.log import LOG_BYTES, older

pytestmark = pytest.mark.slow

READY_SECONDS = 240
NAMES = {"broker", "web", "worker", "trainer", "beat"}

Wait = Callable[[Callable[[], object], float], float]
Status = Callable[[str], int]
Running = Callable[[int], bool]


class Up:
    """A running `lamella up` and what it has printed."""

    def __init__(self, process: "subprocess.Popen[bytes]", output: Path) -> None:
        self.process, self._output = process, output

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def pids(self) -> dict[str, int]:
        """The newest pid of each child."""
        found = re.findall(r"^(\w+): started(?: again)?, pid (\d+)$", self.output, flags=re.MULTILINE)
        return {name: int(pid) for name, pid in found}

    @property
    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.output
        return "ready at http://127.0.0.1:" in self.output


@contextmanager
def lamella_up(folder: Path, port: int, **environment: str) -> Iterator[Up]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    output = folder.parent / f"{folder.name}.out"
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lamella", "up", "--port", str(port), "--data-dir", str(folder)],
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Up(process, output)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "lamella", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


def test_up_is_ready_heals_what_is_killed_and_stops_in_seconds(
    tmp_path: Path, free_ports: tuple[int, int], wait_until: Wait, status_of: Status, is_running: Running
) -> None:
    folder, (free_port, other_port) = tmp_path / "data", free_ports
    with lamella_up(folder, free_port) as up:
        wait_until(lambda: up.is_ready, READY_SECONDS)
        assert status_of(f"http://127.0.0.1:{free_port}/readyz") == 200
        assert folder.stat().st_mode & 0o777 == 0o700
        assert set(up.pids) == NAMES
        own = os.getpriority(os.PRIO_PROCESS, 0)
        nicer = {name: os.getpriority(os.PRIO_PROCESS, pid) - own for name, pid in up.pids.items()}
        assert nicer == {"broker": 0, "web": 0, "worker": min(5, 19 - own), "trainer": min(5, 19 - own), "beat": 0}

        second = run("up", "--port", str(other_port), "--data-dir", str(folder))
        assert second.returncode == 1
        assert second.stderr == (
            f"error: {folder} is in use by `lamella up` with pid {up.process.pid}; "
            "stop it or choose another --data-dir\n"
        )

        key = run("keys", "create", "--role", "admin", "--data-dir", str(folder))
        assert re.fullmatch(r"lam_[\w-]{43}", key.stdout.splitlines()[-1]), key.stderr

        log = folder / "logs" / "web.log"
        with log.open("ab") as other:
            other.write(bytes(LOG_BYTES + 1))
        wait_until(lambda: older(log).exists() and log.stat().st_size < LOG_BYTES, READY_SECONDS)
        wait_until(lambda: status_of(f"http://127.0.0.1:{free_port}/healthz") and b"/healthz" in log.read_bytes(), 60)
        assert b"\0" not in log.read_bytes()

        for name in sorted(NAMES):
            before = up.pids[name]
            os.kill(before, signal.SIGKILL)
            wait_until(lambda name=name, before=before: up.pids[name] != before, READY_SECONDS)
            assert f"{name}: ended (signal 9); starts again in 0.2 s" in up.output
        wait_until(lambda: status_of(f"http://127.0.0.1:{free_port}/readyz") == 200, READY_SECONDS)
        wait_until(lambda: run("health", "worker", "--data-dir", str(folder)).returncode == 0, READY_SECONDS)

        pids = up.pids
        began = time.monotonic()
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(120) == 0
        assert time.monotonic() - began < 60
        assert not [name for name, pid in pids.items() if is_running(pid)]
        assert up.output.endswith("stopping\nstopped\n")


def test_children_end_when_up_is_killed_and_its_folder_is_free_again(
    tmp_path: Path, free_port: int, wait_until: Wait, status_of: Status, is_running: Running
) -> None:
    folder = tmp_path / "data"
    with lamella_up(folder, free_port) as up:
        wait_until(lambda: up.is_ready, READY_SECONDS)
        pids = up.pids
        up.process.kill()
        up.process.wait()
        wait_until(lambda: not [name for name, pid in pids.items() if is_running(pid)], 60)
        wait_until(lambda: status_of(f"http://127.0.0.1:{free_port}/healthz") == 0, 60)
    with lamella_up(folder, free_port) as again:
        wait_until(lambda: again.is_ready, READY_SECONDS)


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        refused = run("up", "--port", str(port), "--data-dir", str(tmp_path / "data"))
    assert refused.returncode == 1
    assert refused.stderr == (
        f"error: 127.0.0.1:{port} is in use by another process; stop it or choose another --port\n"
    )
    assert not (tmp_path / "data" / "lamella.db").exists()


def test_a_corrupt_database_is_one_sentence(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "lamella.db").write_bytes(b"this is no database" * 1000)
    refused = run("up", "--port", str(free_port), "--data-dir", str(tmp_path))
    assert refused.returncode == 1
    assert re.fullmatch(r"error: the store .*lamella\.db.*\n", refused.stderr)


def test_a_data_folder_that_is_a_file_is_one_sentence(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "data").write_text("")
    refused = run("up", "--port", str(free_port), "--data-dir", str(tmp_path / "data"))
    assert refused.returncode == 2
    assert re.fullmatch(r"error: LAMELLA_DATA_DIR='.*': is not a folder; .*\n", refused.stderr)


def test_a_broker_that_is_down_is_one_sentence_without_its_password(
    tmp_path: Path, free_ports: tuple[int, int]
) -> None:
    free_port, other_port = free_ports
    url = f"redis://:secret@127.0.0.1:{other_port}/0"
    refused = run("up", "--port", str(free_port), "--data-dir", str(tmp_path / "data"), LAMELLA_REDIS_URL=url)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error: the broker at redis://:***@127.0.0.1:{other_port}/0 does not answer")
    assert refused.stderr.count("\n") == 1


def test_a_database_that_is_down_is_one_sentence_without_its_password(
    tmp_path: Path, free_ports: tuple[int, int]
) -> None:
    free_port, other_port = free_ports
    url = f"postgresql://lamella:secret@127.0.0.1:{other_port}/lamella"
    refused = run("up", "--port", str(free_port), "--data-dir", str(tmp_path / "data"), LAMELLA_DATABASE_URL=url)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: the store ")
    assert "secret" not in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["web", "worker"])
def test_a_process_over_a_store_that_is_not_migrated_names_the_command(
    tmp_path: Path, free_port: int, redis_url: str, command: str
) -> None:
    arguments = [command, "--data-dir", str(tmp_path), *(["--port", str(free_port)] if command == "web" else [])]
    refused = run(*arguments, LAMELLA_REDIS_URL=redis_url)
    assert refused.returncode == 1
    assert "run `lamella db upgrade`" in refused.stderr
    assert refused.stderr.count("\n") == 1
