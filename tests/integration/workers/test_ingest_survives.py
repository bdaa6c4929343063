"""A worker killed with -9 while it ingests loses nothing and stores nothing twice."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis

from lamella.adapters import lifeline
from lamella.adapters.redis.queue import CeleryQueue
from lamella.adapters.sql.journal import SqlJournal
from lamella.bootstrap.stores import Stores, stores
from lamella.config import Settings
from lamella.events.contract import Click, Impression, Slate
from lamella.services.recording import Recording

SLATES = 10_000
NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    with Redis.from_url(redis_url) as client:
        client.flushdb()
    return Settings(data_dir=tmp_path, database_url=database_url, redis_url=redis_url, worker_processes=1)


@contextmanager
def worker(settings: Settings, log: Path) -> Iterator[None]:
    """A worker, killed with -9 at the end of the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            lifeline.command([sys.executable, "-m", "lamella", "worker", "--queue", "default"]),
            env={**os.environ, **settings.to_environment()},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def records() -> Iterator[Slate | Click]:
    for number in range(SLATES):
        shown = tuple(Impression(item=f"i{rank}", rank=rank, score=0.5, source="recall:mf@1") for rank in (1, 2))
        request = f"r{number}"
        yield Slate(request_id=request, unit=f"u{number % 500}", time=NOW, exposures=(), impressions=shown, snapshot=1)
        yield Click(event_id=f"c{number}", request_id=request, unit=f"u{number % 500}", item="i1", time=NOW)


def wait_until(claim: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def fill(found: Stores) -> None:
    journal = SqlJournal(found.engine, found.clock, limit=10_000)
    Recording(journal, found.clock).backfill(records())
    journal.close()


def test_a_worker_killed_while_it_ingests_loses_nothing(settings: Settings, tmp_path: Path) -> None:
    found, log = stores(settings), tmp_path / "worker.log"
    fill(found)
    waiting = found.record.counts()["inbox"]
    CeleryQueue(settings.redis_url or "").ingest()
    with Redis.from_url(settings.redis_url or "") as broker, worker(settings, log):
        wait_until(lambda: broker.exists("lamella:turn:ingest"), 60)
        time.sleep(0.2)
    assert found.record.counts()["inbox"] in (waiting, 0), "a transaction was half done"
    with worker(settings, log):
        # The message comes back when its hold has ended, and so does the turn.
        wait_until(lambda: found.record.counts()["inbox"] == 0, 90)
    counts = found.record.counts()
    found.engine.dispose()
    assert (counts["slate"], counts["impression"], counts["click"]) == (SLATES, 2 * SLATES, SLATES)
    assert counts["quarantine"] == 0
