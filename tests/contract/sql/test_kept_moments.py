"""Kept moments are those of a fresh count, digit by digit, whatever came in whatever order."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from lamella.adapters.sql import corrections, kept, vectors
from lamella.adapters.sql.analysis import SqlAnalysisStore
from lamella.adapters.sql.changes import forget, reflag
from lamella.adapters.sql.engine import snapshot, writing
from lamella.adapters.sql.keeping import SqlKeptStore
from lamella.adapters.sql.kept_schema import kept_arm, total_change
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.recount import recounted
from lamella.adapters.sql.schema import FACTS, exposure, flagged_unit, inbox, unit_total
from lamella.events.codec import Record, encode
from lamella.events.contract import Exposed, Exposure
from lamella.services.keeping import Drift, Followed
from lamella.services.ports import ArmTotals
from lamella.testing.traffic import NOW, click, slate, traffic

PHASE = 7
SINCE = NOW - timedelta(days=10)
FOLLOWED = [Followed(phase=PHASE, covariate_since=SINCE), Followed(phase=PHASE + 1, covariate_since=None)]
COLUMNS = (
    "slates", "fallback_slates", "impressions", "clicks", "reads", "read_seconds", "completion", "completion_reads",
    "comments", "shares", "interactions", "clicked", "pre_clicks", "pre_impressions", "pre_read_seconds",
    "pre_completion", "pre_clicked", "has_pre",
)  # fmt: skip


def take(engine: sa.Engine, record: SqlRecordStore, batches: Sequence[Sequence[Record]]) -> None:
    """Ingests the batches at once."""
    with writing(engine) as connection:
        rows = [{"received_at": NOW, "body": encode(list(batch))} for batch in batches]
        connection.execute(sa.insert(inbox), rows)
    record.ingest(limit=10_000, now=NOW)


def assert_exact(engine: sa.Engine) -> None:
    """What is kept, and what is answered between refreshes, are the sums of a fresh count."""
    with snapshot(engine) as connection:
        for each in FOLLOWED:
            held = kept.load(connection, each.phase)
            assert held is not None
            fresh = kept.counted_afresh(connection, each.phase, held.since)
            assert kept.corrected(connection, held) == fresh


def assert_same(found: Sequence[ArmTotals], expected: Sequence[ArmTotals]) -> None:
    assert [each.variant for each in found] == [each.variant for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert (one.moments.n, one.crossed, one.slates) == (other.moments.n, other.crossed, other.slates)
        assert one.fallback_slates == other.fallback_slates
        np.testing.assert_allclose(one.moments.mean, other.moments.mean, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(one.moments.cross, other.moments.cross, rtol=1e-9, atol=1e-6)


def scanned(engine: sa.Engine, phase: int, **window: datetime | None) -> Sequence[ArmTotals]:
    """The scan's answer: that of a store in which nothing is kept."""
    with writing(engine) as connection:
        rows = connection.execute(sa.select(kept.kept_phase)).mappings().all()
        connection.execute(sa.delete(kept.kept_phase))
    found = SqlAnalysisStore(engine).arm_totals(phase, COLUMNS, **window)
    with writing(engine) as connection:
        connection.execute(sa.insert(kept.kept_phase), [dict(row) for row in rows])
    assert {each.source for each in found} <= {"scan"}
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_after_every_refresh_the_kept_moments_are_a_recount_whatever_came_before(engine, seed):
    rng = random.Random(seed)
    record, store = SqlRecordStore(engine), SqlKeptStore(engine)
    records = traffic(rng, slates=260, units=40)
    records += rng.sample(records, 60)
    records += [
        Exposure(
            exposure_id=f"told-{n}",
            unit=f"reader-{rng.randrange(60)}",
            time=NOW - timedelta(hours=rng.randrange(300)),
            exposed=Exposed(phase=PHASE, variant=rng.choice("ab"), counted=rng.random() < 0.9),
        )
        for n in range(12)
    ]
    rng.shuffle(records)
    store.refresh(FOLLOWED[: rng.randrange(3)], NOW)
    while records:
        for _ in range(rng.randrange(1, 4)):
            part, records = records[: rng.randrange(1, 60)], records[60:]
            take(engine, record, [part[: len(part) // 2], part[len(part) // 2 :]])
        if rng.random() < 0.3:
            erase(engine, [f"reader-{rng.randrange(40)}"])
        if rng.random() < 0.3:
            flag(engine, [f"reader-{rng.randrange(40)}" for _ in range(2)])
        if rng.random() < 0.8:
            store.refresh(FOLLOWED, NOW)
            with snapshot(engine) as connection:
                assert not connection.execute(sa.select(sa.func.count()).select_from(total_change)).scalar_one()
            assert_exact(engine)
    store.refresh(FOLLOWED, NOW)
    assert_exact(engine)
    assert store.check(NOW, seconds=60.0) == [Drift(phase=PHASE, figures=0), Drift(phase=PHASE + 1, figures=0)]


@pytest.mark.parametrize(
    "until", [None, NOW + timedelta(days=1), NOW - timedelta(days=2, hours=3), datetime(2026, 3, 19, tzinfo=UTC)]
)
def test_an_answer_from_what_is_kept_is_the_scans_as_of_any_moment(engine, until):
    rng = random.Random(5)
    record, store = SqlRecordStore(engine), SqlKeptStore(engine)
    records = traffic(rng, slates=300)
    take(engine, record, [records[:700]])
    store.refresh(FOLLOWED, NOW)
    take(engine, record, [records[700:]])
    erase(engine, ["reader-3"])
    window = {"until": until, "covariate_since": SINCE}
    found = SqlAnalysisStore(engine).arm_totals(PHASE, COLUMNS, **window)
    assert {(each.source, each.kept_at) for each in found} == {("kept", NOW)}
    assert_same(found, scanned(engine, PHASE, **window))


def test_other_covariates_and_phases_come_from_the_scan(engine):
    record = SqlRecordStore(engine)
    take(engine, record, [traffic(random.Random(6), slates=80)])
    SqlKeptStore(engine).refresh(FOLLOWED[:1], NOW)
    totals = SqlAnalysisStore(engine).arm_totals
    assert {each.source for each in totals(PHASE, ["clicks"])} == {"kept"}
    assert {each.source for each in totals(PHASE, ["clicks", "has_pre"])} == {"scan"}
    assert {each.source for each in totals(PHASE + 1, ["clicks"])} == {"scan"}


def test_many_changed_units_come_from_the_scan(engine, monkeypatch):
    record = SqlRecordStore(engine)
    SqlKeptStore(engine).refresh(FOLLOWED, NOW)
    shown = [slate(f"r{n}", unit=f"u{n}", exposures=[Exposed(phase=PHASE, variant="a")]) for n in range(6)]
    take(engine, record, [shown])
    monkeypatch.setattr(kept, "MOST_CORRECTED", 5)
    assert {each.source for each in SqlAnalysisStore(engine).arm_totals(PHASE, ["clicks"])} == {"scan"}
    monkeypatch.setattr(kept, "MOST_CORRECTED", 6)
    assert {each.source for each in SqlAnalysisStore(engine).arm_totals(PHASE, ["clicks"])} == {"kept"}


def test_a_phase_that_ran_before_it_was_followed_is_counted_in_full(engine):
    record, store = SqlRecordStore(engine), SqlKeptStore(engine)
    take(engine, record, [traffic(random.Random(8), slates=100)])
    store.refresh(FOLLOWED[1:], NOW)
    store.refresh(FOLLOWED, NOW)
    assert_exact(engine)
    store.refresh([], NOW)
    with snapshot(engine) as connection:
        assert kept.load(connection, PHASE) is None
        assert not connection.execute(sa.select(sa.func.count()).select_from(kept_arm)).scalar_one()


def test_rows_that_arrive_in_many_blocks_are_all_counted(engine, monkeypatch):
    take(engine, SqlRecordStore(engine), [traffic(random.Random(9), slates=100)])
    with snapshot(engine) as connection:
        whole = kept.counted_afresh(connection, PHASE, None)
    for size in (1, 7):
        monkeypatch.setattr(vectors, "_ROWS", size)
        with snapshot(engine) as connection:
            assert kept.counted_afresh(connection, PHASE, None) == recounted(connection, PHASE, None) == whole


def test_a_check_finds_drift_mends_it_and_records_it(engine):
    record, store = SqlRecordStore(engine), SqlKeptStore(engine)
    shown = slate(exposures=[Exposed(phase=PHASE, variant="a")])
    take(engine, record, [[shown, click(of=shown)]])
    store.refresh(FOLLOWED[:1], NOW)
    with writing(engine) as connection:
        connection.execute(sa.update(unit_total).values(clicks=3))
    assert [each.figures > 0 for each in store.check(NOW)] == [True]
    assert store.check(NOW) == [Drift(phase=PHASE, figures=0)]
    (arm,) = SqlAnalysisStore(engine).arm_totals(PHASE, ["clicks"])
    assert (arm.source, arm.moments.sum_of("clicks")) == ("kept", 3)
    with snapshot(engine) as connection:
        assert connection.execute(sa.select(kept.kept_phase.c.drift)).scalar_one() > 0


def test_each_check_counts_the_phase_that_was_checked_longest_ago_and_refreshes_all(engine):
    record, store = SqlRecordStore(engine), SqlKeptStore(engine)
    records = traffic(random.Random(10), slates=60)
    take(engine, record, [records[:100]])
    store.refresh(FOLLOWED, NOW)
    take(engine, record, [records[100:]])
    order = [store.check(NOW + timedelta(hours=hour)) for hour in range(4)]
    assert order == [[Drift(phase=phase, figures=0)] for phase in (PHASE, PHASE + 1, PHASE, PHASE + 1)]
    assert_exact(engine)
    store.refresh([*FOLLOWED, Followed(phase=PHASE + 2, covariate_since=None)], NOW)
    assert store.check(NOW + timedelta(hours=5)) == [Drift(phase=PHASE + 2, figures=0)]


def test_changed_units_that_are_read_in_many_stretches_are_all_corrected(engine, monkeypatch):
    monkeypatch.setattr(corrections, "_AT_ONCE", 7)
    record, store = SqlRecordStore(engine), SqlKeptStore(engine)
    records = traffic(random.Random(11), slates=150)
    take(engine, record, [records[:300]])
    store.refresh(FOLLOWED, NOW)
    take(engine, record, [records[300:]])
    flag(engine, ["reader-3", "reader-8"])
    assert_exact(engine)
    store.refresh(FOLLOWED, NOW)
    assert_exact(engine)


def erase(engine: sa.Engine, units: list[str]) -> None:
    with writing(engine) as connection:
        forget(connection, units)
        for table in (*FACTS, exposure, unit_total):
            connection.execute(sa.delete(table).where(table.c.unit.in_(units)))


def flag(engine: sa.Engine, units: list[str]) -> None:
    """Flags those that are not, and takes the flag from the others."""
    with writing(engine) as connection:
        reflag(connection, units)
        for unit in sorted(set(units)):
            if not connection.execute(sa.delete(flagged_unit).where(flagged_unit.c.unit == unit)).rowcount:
                values = {"unit": unit, "reason": "bot", "detail": "by hand", "at": NOW}
                connection.execute(sa.insert(flagged_unit).values(**values))
