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
        wait_until(lambda: is_alive(url, name), seconds=30)
        yield child


def wait_until(claim: Callable[[], object], seconds: float = 20.0) -> float:
    """The seconds that it took."""
    began = time.monotonic()
    while not claim():
        assert time.monotonic() - began < seconds, "waited in vain"
        time.sleep(0.02)
    return time.monotonic() - began


def send_note(url: str, path: Path, seconds: float) -> None:
    CeleryQueue(url)._app.send_task("test.note", args=[str(path), seconds], queue="default")


def words(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def _answers(url: str) -> bool:
    try:
        ping(url)
    except BrokerUnavailable:
        return False
    return True


def test_a_task_of_a_killed_worker_is_another_ones_within_seconds_and_its_child_dies(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    with slow_worker(broker.url, "first", tmp_path) as first:
        send_note(broker.url, notes, 2.0)
        wait_until(lambda: words(notes))
        first.send_signal(signal.SIGKILL)
        first.wait()
        with slow_worker(broker.url, "second", tmp_path):
            waited = wait_until(lambda: len(words(notes)) > 1, seconds=VISIBILITY_SECONDS + 10)
            assert waited < VISIBILITY_SECONDS + 5
            wait_until(lambda: "done" in words(notes))
    first_pid, second_pid, *rest = words(notes)
    assert first_pid != second_pid
    assert rest == ["done"], "the killed worker's child went on"


def test_a_task_longer_than_the_visibility_time_out_runs_once(broker: EmbeddedBroker, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with slow_worker(broker.url, "one", tmp_path), slow_worker(broker.url, "two", tmp_path):
        send_note(broker.url, notes, VISIBILITY_SECONDS + 6.0)
        wait_until(lambda: "done" in words(notes), seconds=VISIBILITY_SECONDS + 20)
    assert len(words(notes)) == 2


def test_a_task_of_a_killed_child_is_carried_out_again(broker: EmbeddedBroker, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with slow_worker(broker.url, "only", tmp_path):
        send_note(broker.url, notes, 1.0)
        wait_until(lambda: words(notes))
        os.kill(int(words(notes)[0]), signal.SIGKILL)
        wait_until(lambda: "done" in words(notes))
    assert len(words(notes)) == 3


def test_tasks_outlive_a_killed_broker_and_workers_find_the_new_one(tmp_path: Path) -> None:
    embedded, notes = EmbeddedBroker(tmp_path / "broker"), tmp_path / "notes"
    with running_broker(embedded) as server:
        for _ in range(5):
            send_note(embedded.url, notes, 0.0)
        server.kill()
        server.wait()
    with running_broker(embedded) as server, slow_worker(embedded.url, "only", tmp_path):
        wait_until(lambda: words(notes).count("done") == 5)
        server.kill()
        server.wait()
        with running_broker(embedded):
            send_note(embedded.url, notes, 0.0)
            wait_until(lambda: words(notes).count("done") == 6, seconds=30)


def test_a_worker_whose_broker_died_before_it_could_acknowledge_goes_on(tmp_path: Path) -> None:
    embedded, notes, others = EmbeddedBroker(tmp_path / "broker"), tmp_path / "notes", tmp_path / "others"
    with running_broker(embedded) as server, slow_worker(embedded.url, "only", tmp_path):
        send_note(embedded.url, notes, 1.0)
        wait_until(lambda: words(notes))
        server.kill()
        server.wait()
        wait_until(lambda: "done" in words(notes))
        time.sleep(0.5)
        with running_broker(embedded):
            send_note(embedded.url, others, 0.0)
            wait_until(lambda: "done" in words(others), seconds=VISIBILITY_SECONDS + 20)


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
