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
import sqlalchemy as sa
from redis import Redis

from lamella.adapters import lifeline
from lamella.adapters.redis.queue import CeleryQueue
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.schema import click, inbox, slate
from lamella.bootstrap.stores import Stores, stores
from lamella.config import Settings
from lamella.events.codec import decode
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


def batches_of(found: Stores) -> dict[str, set[str]]:
    """The keys of what is in each batch of the inbox, by the id of the batch."""
    with found.engine.connect() as connection:
        rows = connection.execute(sa.select(inbox.c.id, inbox.c.body)).all()
    return {
        str(row.id): {each.request_id if isinstance(each, Slate) else each.event_id for each in decode(row.body)[0]}
        for row in rows
    }


def waiting_and_stored(found: Stores) -> tuple[set[str], list[str]]:
    """The ids of the batches in the inbox and the keys of the facts, of one moment: the server may still commit."""
    kinds = ((inbox.c.id, "batch"), (slate.c.request_id, "fact"), (click.c.event_id, "fact"))
    keys = [sa.select(sa.cast(key, sa.Text).label("key"), sa.literal(kind).label("kind")) for key, kind in kinds]
    with found.engine.connect() as connection:
        rows = connection.execute(sa.union_all(*keys)).all()
    return {row.key for row in rows if row.kind == "batch"}, [row.key for row in rows if row.kind == "fact"]


def test_a_worker_killed_while_it_ingests_loses_nothing(settings: Settings, tmp_path: Path) -> None:
    found, log = stores(settings), tmp_path / "worker.log"
    fill(found)
    batches = batches_of(found)
    CeleryQueue(settings.redis_url or "").ingest()
    with Redis.from_url(settings.redis_url or "") as broker, worker(settings, log):
        wait_until(lambda: broker.exists("lamella:turn:ingest") or found.record.counts()["inbox"] < len(batches), 120)
        time.sleep(0.2)
    waiting, facts = waiting_and_stored(found)
    taken = [key for batch, keys in batches.items() if batch not in waiting for key in keys]
    assert sorted(facts) == sorted(taken), "a transaction was half done"
    with Redis.from_url(settings.redis_url or "") as broker:
        wait_until(lambda: not broker.exists("lamella:turn:ingest"), 60)
    with worker(settings, log):
        # The message comes back when its hold has ended.
        wait_until(lambda: found.record.counts()["inbox"] == 0, 180)
    counts = found.record.counts()
    found.engine.dispose()
    assert (counts["slate"], counts["impression"], counts["click"]) == (SLATES, 2 * SLATES, SLATES)
    assert counts["quarantine"] == 0
