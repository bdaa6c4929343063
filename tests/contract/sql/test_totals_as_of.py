"""The totals as of a moment are a count of the records before it, from whichever side of the day they are made."""

import random
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from lamella.adapters.sql.as_of import totals_as_of
from lamella.adapters.sql.engine import snapshot, writing
from lamella.adapters.sql.kept_schema import told
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.schema import TOTALS, click, impression, inbox, interaction, read, slate, unit_total
from lamella.events.codec import encode
from lamella.events.contract import Exposed, Exposure
from lamella.testing.traffic import NOW, traffic

MIDNIGHT = datetime.combine(NOW.date(), time(), UTC)
DAY = timedelta(days=1)
HOURS = (0, 1, 6, 11, 12, 15, 18, 23)


@pytest.fixture
def busy(engine):
    """Some days with units that come back, and exposures that were told at any hour."""
    rng = random.Random(11)
    records = traffic(rng, slates=400, units=30, days=3, end=MIDNIGHT + DAY)
    records += [
        Exposure(
            exposure_id=f"told-{n}",
            unit=f"reader-{n % 30}" if n % 2 else f"told-{n}",
            time=MIDNIGHT + timedelta(hours=rng.uniform(-24, 24)),
            exposed=Exposed(phase=7, variant="a"),
        )
        for n in range(60)
    ]
    with writing(engine) as connection:
        connection.execute(sa.insert(inbox).values(received_at=NOW, body=encode(records)))
    SqlRecordStore(engine).ingest(limit=10_000, now=MIDNIGHT + 2 * DAY)


def recounted(connection: sa.Connection, until: datetime) -> dict[tuple[str, int, date], tuple[int, ...]]:
    """One count a fact, in Python."""
    found = defaultdict(lambda: np.zeros(len(TOTALS), dtype=np.int64))
    for fact in (slate, impression, click, read, interaction, told):
        for row in connection.execute(sa.select(fact).where(fact.c.time < until)):
            own = found[row.unit, row.arm, row.time.date()]
            for name, value in added(fact.name, row).items():
                own[TOTALS.index(name)] += value
    return {key: tuple(map(int, values)) for key, values in found.items()}


def added(fact: str, row: sa.Row) -> dict[str, int]:
    match fact:
        case "slate":
            return {"slates": 1, "fallback_slates": bool(row.fallbacks)}
        case "impression":
            return {"impressions": 1}
        case "click":
            return {"clicks": 1}
        case "read":
            done = {"completion_reads": 1, "completion_micros": round((row.completion or 0.0) * 1e6)}
            whole = {"reads": 1, "read_micros": round(row.read_seconds * 1e6)}
            return whole if row.completion is None else {**whole, **done}
        case "interaction":
            return {
                "interactions": 1,
                "comments": row.action == "comment",
                "shares": row.action == "share",
            }
        case _:
            return {}


@pytest.mark.parametrize("until", [MIDNIGHT + timedelta(hours=each) for each in HOURS] + [MIDNIGHT + 2 * DAY])
def test_totals_as_of_any_hour_are_a_count_of_the_records_before_it(engine, busy, until):
    with snapshot(engine) as connection:
        totals = totals_as_of(connection, until)
        key = (totals.c.unit, totals.c.arm, totals.c.day)
        asked = sa.select(*key, *(sa.func.sum(totals.c[name]) for name in TOTALS)).group_by(*key)
        found = {tuple(row[:3]): tuple(map(int, row[3:])) for row in connection.execute(asked)}
        expected = recounted(connection, until)
    assert found == expected
    assert len({day for _, _, day in found}) >= 2


@pytest.mark.parametrize(("hour", "facts_read"), [(1, "before"), (11, "before"), (13, "after"), (23, "after")])
def test_the_shorter_side_of_the_day_is_read(engine, busy, hour, facts_read):
    with snapshot(engine) as connection:
        totals = totals_as_of(connection, MIDNIGHT + timedelta(hours=hour))
    assert ("LEFT OUTER JOIN" in str(sa.select(totals))) is (facts_read == "after")


def test_soon_after_midnight_what_has_come_in_the_seconds_since_is_taken_off(engine):
    records = [each for each in traffic(random.Random(2), slates=40, units=9, days=1) if hasattr(each, "exposures")]
    with writing(engine) as connection:
        connection.execute(sa.insert(inbox).values(received_at=NOW, body=encode(records)))
    SqlRecordStore(engine).ingest(limit=10_000, now=NOW)
    newest = max(each.time for each in records)
    with snapshot(engine) as connection:
        totals = totals_as_of(connection, newest)
        whole, asked = (
            connection.execute(sa.select(sa.func.sum(each.c.slates))).scalar() for each in (unit_total, totals)
        )
    assert "LEFT OUTER JOIN" in str(sa.select(totals))
    assert (int(whole), int(asked)) == (40, 39)
