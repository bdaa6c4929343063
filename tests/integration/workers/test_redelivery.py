"""What a worker, its child or the broker may lose at kill -9: nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from lamella.adapters import lifeline
from lamella.adapters.redis.broker import celery_url, ping
from lamella.adapters.redis.embedded import EmbeddedBroker
from lamella.adapters.redis.liveness import is_alive
from lamella.adapters.redis.queue import CeleryQueue
from lamella.errors import BrokerUnavailable
from lamella_workers.app import VISIBILITY_SECONDS

SLOW_WORKER = Path(__file__).with_name("slow_worker.py")

pytestmark = pytest.mark.slow


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    embedded = EmbeddedBroker(tmp_path / "broker")
    with running_broker(embedded):
        yield embedded


@contextmanager
def running_broker(embedded: EmbeddedBroker) -> Iterator["subprocess.Popen[bytes]"]:
    with process(embedded.command()) as server:
        wait_until(lambda: _answers(embedded.url))
        yield server


@contextmanager
def process(command: list[str], **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    child = subprocess.Popen(
        lifeline.command(command),
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@contextmanager
def slow_worker(url: str, name: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {"LAMELLA_REDIS_URL": url, "LAMELLA_DATA_DIR": str(folder)}
    with process([sys.executable, str(SLOW_WORKER), name], **environment) as child:
        wait_until(lambda: is_alive(url, name))
        yield child


def wait_until(claim: Callable[[], object], seconds: float = 120.0) -> None:
    began = time.monotonic()
    while not claim():
        assert time.monotonic() - began < seconds, "waited in vain"
        time.sleep(0.02)


def send_note(url: str, path: Path, gate: Path) -> None:
    CeleryQueue(url)._app.send_task("test.note", args=[str(path), str(gate)], queue="default")


def words(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def is_running(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits for its new parent to notice does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _answers(url: str) -> bool:
    try:
        ping(url)
    except BrokerUnavailable:
        return False
    return True


def test_a_task_of_a_killed_worker_is_another_ones_within_seconds_and_its_child_dies(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    notes, gate = tmp_path / "notes", tmp_path / "gate"
    with slow_worker(broker.url, "first", tmp_path) as first:
        send_note(broker.url, notes, gate)
        wait_until(lambda: words(notes))
        first.send_signal(signal.SIGKILL)
        first.wait()
        with slow_worker(broker.url, "second", tmp_path):
            wait_until(lambda: len(words(notes)) > 1, seconds=VISIBILITY_SECONDS + 60)
            wait_until(lambda: not is_running(int(words(notes)[0])))
            gate.touch()
            wait_until(lambda: "done" in words(notes))
    first_pid, second_pid, *rest = words(notes)
    assert first_pid != second_pid
    assert rest == ["done"], "the killed worker's child went on"


def test_a_task_longer_than_the_visibility_time_out_runs_once(broker: EmbeddedBroker, tmp_path: Path) -> None:
    notes, gate = tmp_path / "notes", tmp_path / "gate"
    with slow_worker(broker.url, "one", tmp_path), slow_worker(broker.url, "two", tmp_path):
        send_note(broker.url, notes, gate)
        wait_until(lambda: words(notes))
        time.sleep(VISIBILITY_SECONDS + 6.0)
        gate.touch()
        wait_until(lambda: "done" in words(notes))
    assert len(words(notes)) == 2


def test_a_task_of_a_killed_child_is_carried_out_again(broker: EmbeddedBroker, tmp_path: Path) -> None:
    notes, gate = tmp_path / "notes", tmp_path / "gate"
    with slow_worker(broker.url, "only", tmp_path):
        send_note(broker.url, notes, gate)
        wait_until(lambda: words(notes))
        os.kill(int(words(notes)[0]), signal.SIGKILL)
        gate.touch()
        wait_until(lambda: "done" in words(notes))
    assert len(words(notes)) == 3


def test_tasks_outlive_a_killed_broker_and_workers_find_the_new_one(tmp_path: Path) -> None:
    embedded, notes, others = EmbeddedBroker(tmp_path / "broker"), tmp_path / "notes", tmp_path / "others"
    gate = tmp_path / "gate"
    gate.touch()
    with running_broker(embedded) as server:
        for _ in range(5):
            send_note(embedded.url, notes, gate)
        server.kill()
        server.wait()
    with running_broker(embedded) as server, slow_worker(embedded.url, "only", tmp_path):
        wait_until(lambda: words(notes).count("done") == 5)
        server.kill()
        server.wait()
        with running_broker(embedded):
            # What the broker did not hear of being done comes once more; this one is new.
            send_note(embedded.url, others, gate)
            wait_until(lambda: "done" in words(others), seconds=VISIBILITY_SECONDS + 120)


def test_a_worker_whose_broker_died_before_it_could_acknowledge_goes_on(tmp_path: Path) -> None:
    embedded, notes, others = EmbeddedBroker(tmp_path / "broker"), tmp_path / "notes", tmp_path / "others"
    gate = tmp_path / "gate"
    with running_broker(embedded) as server, slow_worker(embedded.url, "only", tmp_path):
        send_note(embedded.url, notes, gate)
        wait_until(lambda: words(notes))
        server.kill()
        server.wait()
        gate.touch()
        wait_until(lambda: "done" in words(notes))
        time.sleep(0.5)
        with running_broker(embedded):
            send_note(embedded.url, others, gate)
            wait_until(lambda: "done" in words(others), seconds=VISIBILITY_SECONDS + 120)


def test_a_folder_with_a_long_name_still_gets_a_socket(tmp_path: Path) -> None:
    embedded = EmbeddedBroker(tmp_path / ("long" * 30))
    with running_broker(embedded):
        assert not embedded.socket.is_relative_to(tmp_path)
        assert embedded.socket.parent.stat().st_mode & 0o777 == 0o700


def test_the_socket_is_for_its_owner_alone(broker: EmbeddedBroker) -> None:
    assert broker.folder.stat().st_mode & 0o777 == 0o700
    assert broker.socket.stat().st_mode & 0o077 == 0


def test_celery_reaches_a_unix_socket_under_its_own_scheme() -> None:
    assert celery_url(f"unix://{quote('/tmp/a b/valkey.sock')}") == "redis+socket:///tmp/a%20b/valkey.sock"
    assert celery_url("redis://host:6379/0") == "redis://host:6379/0"
