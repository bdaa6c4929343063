"""Totals and first exposures made again from the facts are those that were kept record by record."""

import random
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from lamella.adapters.sql import kept, migrations
from lamella.adapters.sql.engine import snapshot, writing
from lamella.adapters.sql.keeping import SqlKeptStore
from lamella.adapters.sql.recompute import SqlRecomputing
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.recount import recounted
from lamella.adapters.sql.schema import FACTS, archived, exposure, flagged_unit, inbox, unit_total
from lamella.events.codec import encode
from lamella.events.contract import Exposed, Exposure
from lamella.services.keeping import Differences, Followed
from lamella.testing.traffic import NOW, click, read, slate, traffic

PHASE = 7
NOTHING = Differences(totals=0, exposures=0)


def derived(engine: sa.Engine) -> tuple[list[sa.Row], list[sa.Row]]:
    """Every row of both tables, without the round that wrote it."""
    found = []
    with snapshot(engine) as connection:
        for table in (unit_total, exposure):
            columns = [column for column in table.columns if column.name != "changed"]
            key = [column for column in columns if column.primary_key]
            found.append(list(connection.execute(sa.select(*columns).order_by(*key))))
    return found[0], found[1]


@pytest.fixture
def full(engine):
    """A store with slates, feedback, told exposures, repeats, crossings and forced units."""
    rng = random.Random(3)
    records = traffic(rng, slates=300, units=40)
    records += rng.sample(records, 40)
    records += [
        Exposure(
            exposure_id=f"told-{n}",
            unit=f"reader-{rng.randrange(60)}",
            time=NOW - timedelta(hours=rng.randrange(300)),
            exposed=Exposed(phase=PHASE, variant=rng.choice("ab"), counted=rng.random() < 0.8),
        )
        for n in range(20)
    ]
    rng.shuffle(records)
    record = SqlRecordStore(engine)
    for start in range(0, len(records), 150):
        with writing(engine) as connection:
            body = encode(records[start : start + 150])
            connection.execute(sa.insert(inbox).values(received_at=NOW, body=body))
        record.ingest(limit=100, now=NOW)
    return engine


def test_a_sound_record_differs_nowhere_and_recomputes_to_itself(full):
    before = derived(full)
    assert SqlRecomputing(full).differences() == NOTHING
    assert SqlRecomputing(full).recompute(NOW) == Differences(totals=len(before[0]), exposures=len(before[1]))
    assert derived(full) == before


def test_lost_and_wrong_rows_are_found_and_mended(full):
    before = derived(full)
    with writing(full) as connection:
        connection.execute(sa.delete(exposure).where(exposure.c.unit == "reader-1"))
        connection.execute(sa.delete(unit_total).where(unit_total.c.unit == "reader-2"))
        connection.execute(sa.update(unit_total).where(unit_total.c.unit == "reader-3").values(clicks=99))
    found = SqlRecomputing(full).differences()
    assert found.totals > 2
    assert found.exposures == 2
    SqlRecomputing(full).recompute(NOW)
    assert derived(full) == before


def test_what_is_kept_follows_a_recompute(full):
    store = SqlKeptStore(full)
    store.refresh([Followed(phase=PHASE, covariate_since=None)], NOW)
    assert SqlRecomputing(full).differences() == NOTHING
    with writing(full) as connection:
        connection.execute(sa.delete(unit_total).where(unit_total.c.unit == "reader-2"))
    assert [each.figures > 0 for each in store.check(NOW)] == [True]
    assert SqlRecomputing(full).differences().figures > 0
    SqlRecomputing(full).recompute(NOW)
    assert SqlRecomputing(full).differences() == NOTHING
    assert [each.figures for each in store.check(NOW)] == [0]


def test_the_sums_from_the_facts_alone_are_those_of_the_totals(full):
    with writing(full) as connection:
        values = {"unit": "reader-4", "reason": "bot", "detail": "by hand", "at": NOW}
        connection.execute(sa.insert(flagged_unit).values(**values))
    since = NOW.date() - timedelta(days=9)
    with snapshot(full) as connection:
        assert recounted(connection, PHASE, since) == kept.counted_afresh(connection, PHASE, since)


def test_days_whose_facts_were_archived_stay_as_they_are(full):
    before = derived(full)
    until = datetime(2026, 3, 16, tzinfo=UTC)
    with writing(full) as connection:
        for fact in FACTS:
            connection.execute(sa.delete(fact).where(fact.c.time < until))
        values = {"fact": "slate", "path": "slate/2026-03.parquet", "rows": 1, "digest": "", "at": NOW}
        connection.execute(sa.insert(archived).values(since=until - timedelta(days=30), until=until, **values))
    SqlRecomputing(full).recompute(NOW)
    assert derived(full) == before


def test_exposures_that_were_told_before_they_were_a_fact_are_found_by_the_migration(engine, database_url):
    exposed = Exposed(phase=PHASE, variant="a")
    told = Exposure(exposure_id="told-1", unit="reader-1", time=NOW, exposed=exposed)
    shown = slate(unit="reader-2", exposures=[exposed, Exposed(phase=8, variant="b")])
    with writing(engine) as connection:
        connection.execute(sa.insert(inbox).values(received_at=NOW, body=encode([told, shown])))
    SqlRecordStore(engine).ingest(limit=10, now=NOW)
    migrations.downgrade(database_url, "0005")
    migrations.upgrade(database_url)
    assert SqlRecomputing(engine).differences() == NOTHING


def test_half_a_millionth_is_rounded_alike_by_the_record_and_by_the_store(engine):
    shown = slate(exposures=[Exposed(phase=PHASE, variant="a")])
    seconds = [0.0000005, 0.0000015, 0.0000025, 1.0000005, 2.5, 86_399.9999995, 0.1, 1 / 3]
    reads = [read(f"d{n}", of=shown, read_seconds=each, completion=each / 1e5) for n, each in enumerate(seconds)]
    with writing(engine) as connection:
        batch = encode([shown, click(of=shown), *reads])
        connection.execute(sa.insert(inbox).values(received_at=NOW, body=batch))
    SqlRecordStore(engine).ingest(limit=10, now=NOW)
    assert SqlRecomputing(engine).differences() == NOTHING
