"""A real web process keeps what it accepts on its own disk: ended in order or killed, everything gets to the store."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis import Redis

from lamella.bootstrap.journals import leftovers_of
from lamella.bootstrap.stores import stores
from lamella.bootstrap.tools import open_tools
from lamella.bootstrap.worker import worker_services
from lamella.config import Settings
from lamella_workers.tasks import ingest
from web_processes import free_port

EVENTS = 25


class Web:
    """One `lamella web`, and what a client asks of it."""

    def __init__(self, settings: Settings, keys: dict[str, str]) -> None:
        self.settings, self.keys = settings, keys
        self.url = f"http://127.0.0.1:{settings.port}"
        environment = {**os.environ, **settings.to_environment()}
        self.process = subprocess.Popen([sys.executable, "-m", "lamella", "web"], env=environment)

    def call(self, method: str, path: str, body: object = None, *, role: str = "client") -> bytes:
        headers = {"Authorization": f"Bearer {self.keys[role]}", "Content-Type": "application/json"}
        data = None if body is None else orjson.dumps(body)
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bytes(answer.read())

    def wait(self) -> None:
        deadline = time.monotonic() + 120
        while not self._is_ready():
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            self.call("GET", "/readyz")
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """kill -9 of the process and of its children, all gone at the return."""
        pid = self.process.pid
        children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        for each in (pid, *children):
            os.kill(each, signal.SIGKILL)
        self.process.wait()
        while any(Path(f"/proc/{each}").exists() for each in children):
            time.sleep(0.01)

    def send(self, name: str) -> None:
        """One call an event: each is durable before the next."""
        for number in range(EVENTS):
            event = {"kind": "click", "event_id": f"{name}-{number}", "request_id": "never", "unit": "u", "item": "i"}
            answer = orjson.loads(self.call("POST", "/v1/events", {"events": [{**event, "time": _now()}]}))
            assert answer["accepted"] == 1

    def counts(self) -> dict[str, int]:
        found: dict[str, int] = orjson.loads(self.call("GET", "/v1/admin/record/counts", role="viewer"))
        return found


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@contextmanager
def web(settings: Settings, keys: dict[str, str]) -> Iterator[Web]:
    made = Web(settings, keys)
    try:
        made.wait()
        yield made
    finally:
        made.process.kill()
        made.process.wait()


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    with Redis.from_url(redis_url) as client:
        client.flushdb()
    return Settings(
        data_dir=tmp_path, database_url=database_url, redis_url=redis_url, port=free_port(), log_level="warning"
    )


@pytest.fixture
def keys(settings: Settings) -> dict[str, str]:
    with open_tools(settings) as tools:
        return {role: tools.keys.create(role, role) for role in ("client", "viewer")}


def waiting(settings: Settings) -> dict[str, Any]:
    """The rows of the store, as they are now."""
    found = stores(settings)
    try:
        return dict(found.record.counts())
    finally:
        found.engine.dispose()


def test_what_was_acknowledged_is_counted_at_once(settings: Settings, keys: dict[str, str]) -> None:
    with web(settings, keys) as server:
        server.send("one")
        assert server.counts()["inbox"] == EVENTS
        assert b"lamella_journal_bytes 0\n" in server.call("GET", "/metrics")


def test_a_process_that_is_told_to_end_forwards_what_waits(settings: Settings, keys: dict[str, str]) -> None:
    with web(settings, keys) as server:
        server.send("one")
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(120)
    assert list((settings.data_dir / "journal").iterdir()) == []
    assert waiting(settings)["inbox"] == EVENTS


def test_a_worker_inherits_from_a_killed_process(settings: Settings, keys: dict[str, str]) -> None:
    with web(settings, keys) as server:
        server.send("one")
        server.kill()
    services = worker_services(settings)
    ingest.drain(services)
    services.close()
    counts = waiting(settings)
    assert (counts["inbox"], counts["quarantine"]) == (0, EVENTS)
    assert list((settings.data_dir / "journal").iterdir()) == []


def test_the_next_web_process_inherits_too(settings: Settings, keys: dict[str, str]) -> None:
    with web(settings, keys) as server:
        server.send("one")
        server.kill()
    with web(settings, keys) as server:
        server.send("two")
        # Killed between the inbox and its note of it, a batch is forwarded once more: ingest stores it once.
        assert server.counts()["inbox"] >= 2 * EVENTS


def test_the_store_itself_may_be_the_journal(settings: Settings, keys: dict[str, str]) -> None:
    with web(settings.model_copy(update={"journal": "store"}), keys) as server:
        server.send("one")
        assert waiting(settings)["inbox"] == EVENTS
        assert not (settings.data_dir / "journal").exists()


def test_erasure_finds_what_was_accepted_a_moment_before(settings: Settings, keys: dict[str, str]) -> None:
    with web(settings, keys) as server, open_tools(settings) as tools:
        server.send("one")
        assert len(tools.units.export("u")["tables"]["inbox"]) == EVENTS
        server.send("two")
        assert tools.units.erase("u")["tables"]["inbox"] == 2 * EVENTS
        found = stores(settings)
        assert leftovers_of(settings, found).waiting() == 0
        found.engine.dispose()
