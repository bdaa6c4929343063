import math
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from lamella.adapters.sql.analysis import SqlAnalysisStore
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.schema import quarantine, unit_total
from lamella.events.codec import Record, decode, encode
from lamella.events.contract import Slate
from lamella.testing.analysis import MemoryAnalysisStore
from lamella.testing.fakes import FakeClock
from lamella.testing.record import MemoryRecord
from lamella.testing.traffic import NOW, click, slate, traffic

COLUMNS = ("slates", "impressions", "clicks", "read_seconds", "completion", "comments", "pre_clicks")


@contextmanager
def ingesting(url: str, *, limit: int, most: float = math.inf) -> Iterator[subprocess.Popen[str]]:
    """A process that ingests, so many times at most, killed with -9 at the end of the block."""
    script = Path(__file__).with_name("ingester.py")
    command = [sys.executable, str(script), url, str(limit), str(most)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def full_url(engine: sa.Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def append(engine: sa.Engine, batches: list[list[Record]]) -> None:
    journal = SqlJournal(engine, FakeClock(NOW), limit=100_000)
    for batch in batches:
        journal.append(encode(batch))
    journal.close()


def drain(engine: sa.Engine, *, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while SqlRecordStore(engine).counts()["inbox"]:
        assert time.monotonic() < end, "the inbox is never empty"
        time.sleep(0.02)


def assert_the_record_is_exactly(engine: sa.Engine, records: list[Record]) -> None:
    recount = MemoryRecord()
    recount.append(encode(records))
    recount.ingest(limit=1, now=NOW)
    assert SqlRecordStore(engine).counts() == recount.counts()
    expected = MemoryAnalysisStore(recount).arm_totals(7, COLUMNS)
    found = SqlAnalysisStore(engine).arm_totals(7, COLUMNS)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.variant, ours.moments.n, ours.crossed, ours.slates) == (
            theirs.variant,
            theirs.moments.n,
            theirs.crossed,
            theirs.slates,
        )
        np.testing.assert_allclose(ours.moments.mean, theirs.moments.mean, rtol=1e-12)


@pytest.mark.slow
def test_kill_9_in_the_middle_of_an_ingest_loses_nothing_and_doubles_nothing(engine):
    records = traffic(random.Random(3), slates=6_000, units=300)
    batches = [records[i : i + 40] for i in range(0, len(records), 40)]
    append(engine, batches)
    rng = random.Random(4)
    store = SqlRecordStore(engine)
    left = len(batches)
    for _ in range(8):
        with ingesting(full_url(engine), limit=len(batches) // 25, most=2):
            while store.counts()["inbox"] == left:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.03))
        left = store.counts()["inbox"]
    assert left, "every kill came after the work was done"
    while store.ingest(limit=100, now=NOW).batches:
        pass
    assert_the_record_is_exactly(engine, records)


@pytest.mark.slow
def test_two_processes_that_ingest_three_copies_in_disorder_while_more_arrive_double_nothing(engine):
    records = traffic(random.Random(5), slates=1_000, units=100)
    batches = [records[i : i + 25] for i in range(0, len(records), 25)] * 3
    random.Random(6).shuffle(batches)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(ingesting(full_url(engine), limit=7))
        append(engine, batches)
        drain(engine)
    assert_the_record_is_exactly(engine, records)


def test_totals_equal_the_sums_of_the_facts_themselves(engine):
    records = traffic(random.Random(7), slates=300)
    append(engine, [records[i : i + 30] for i in range(0, len(records), 30)])
    store = SqlRecordStore(engine)
    while store.ingest(limit=3, now=NOW).batches:
        pass
    sums = sa.select(*(sa.func.sum(unit_total.c[name]) for name in ("slates", "impressions", "clicks", "reads")))
    with engine.connect() as connection:
        found = tuple(int(each) for each in connection.execute(sums).one())
        micros = connection.execute(sa.select(sa.func.sum(unit_total.c.read_micros))).scalar_one()
        arms = connection.execute(sa.select(sa.func.count()).select_from(sa.table("arm"))).scalar_one()
    kinds = Counter(type(each).__name__ for each in records)
    shown = sum(len(each.impressions) for each in records if isinstance(each, Slate))
    assert found == (kinds["Slate"], shown, kinds["Click"], kinds["Read"])
    assert micros == sum(round(each.read_seconds * 1e6) for each in records if type(each).__name__ == "Read")
    assert arms == len({each.exposures for each in records if isinstance(each, Slate)})


def test_an_ingest_that_fails_leaves_the_inbox_and_the_facts_as_they_were(engine, monkeypatch):
    records = traffic(random.Random(8), slates=50)
    append(engine, [records])
    store = SqlRecordStore(engine)
    with monkeypatch.context() as patch:
        patch.setattr("lamella.adapters.sql.totals.Totals.store", None)
        with pytest.raises(TypeError):
            store.ingest(limit=10, now=NOW)
    assert {kind: n for kind, n in store.counts().items() if n} == {"inbox": 1}
    store.ingest(limit=10, now=NOW)
    assert_the_record_is_exactly(engine, records)


def test_feedback_of_another_reader_than_the_slates_is_quarantined(engine):
    shown = slate()
    append(engine, [[shown, replace(click(of=shown), unit="somebody else")]])
    store = SqlRecordStore(engine)
    assert store.ingest(limit=10, now=NOW).quarantined == {"unit_mismatch": 1}
    append(engine, [[replace(click(of=shown), unit="somebody else")]])
    receipt = store.ingest(limit=10, now=NOW)
    assert (receipt.quarantined, receipt.duplicate) == ({}, {"click": 1})
    assert store.counts()["quarantine"] == 1


def test_what_is_in_quarantine_says_what_it_was_and_why(engine):
    shown = slate()
    bad = encode([shown]).replace(b'"snapshot":1', b'"snapshot":null')
    journal = SqlJournal(engine, FakeClock(NOW), limit=10)
    journal.append(bad)
    journal.append(encode([click(of=slate("nobody knows"))]))
    journal.close()
    SqlRecordStore(engine).ingest(limit=10, now=NOW)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(quarantine).order_by(quarantine.c.reason)).mappings().all()
    assert [(row["kind"], row["key"], row["reason"], row["at"]) for row in rows] == [
        ("click", "click-1", "unknown_request", NOW),
        ("slate", "request-1", "wrong_type", NOW),
    ]
    assert "nobody knows" in rows[0]["detail"]
    assert "snapshot" in rows[1]["detail"]
    assert decode(rows[0]["body"])[0] == [click(of=slate("nobody knows"))]
