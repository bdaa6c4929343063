"""The totals as of a moment are a count of the records before it, from whichever side of the day they are made."""

import random
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from lamella.adapters.sql.analysis import SqlAnalysisStore
from lamella.adapters.sql.as_of import has_recorded, totals_as_of
from lamella.adapters.sql.engine import create_engine, snapshot, writing
from lamella.adapters.sql.keeping import SqlKeptStore
from lamella.adapters.sql.kept_schema import told
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.schema import TOTALS, archived, click, impression, inbox, interaction, read
from lamella.adapters.sql.schema import slate as slate_table
from lamella.events.codec import Record, encode
from lamella.events.contract import Exposed, Exposure
from lamella.services.keeping import Followed
from lamella.testing.traffic import NOW, slate, traffic

MIDNIGHT = datetime.combine(NOW.date(), time(), UTC)
DAY = timedelta(days=1)
HOURS = (0, 1, 6, 11, 12, 15, 18, 23)


@pytest.fixture
def on_postgresql(pg_database_url):
    engine = create_engine(pg_database_url)
    yield engine
    engine.dispose()


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
    take(engine, records)


def recounted(connection: sa.Connection, until: datetime) -> dict[tuple[str, int, date], tuple[int, ...]]:
    """One count a fact, in Python."""
    found = defaultdict(lambda: np.zeros(len(TOTALS), dtype=np.int64))
    for fact in (slate_table, impression, click, read, interaction, told):
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


def take(engine: sa.Engine, records: list[Record]) -> None:
    with writing(engine) as connection:
        connection.execute(sa.insert(inbox).values(received_at=NOW, body=encode(records)))
    SqlRecordStore(engine).ingest(limit=10_000, now=MIDNIGHT + 2 * DAY)


def slates_until(engine: sa.Engine, until: datetime) -> tuple[int, bool]:
    """How many are counted, and whether those that came later were taken off."""
    with snapshot(engine) as connection:
        totals = totals_as_of(connection, until)
        counted = connection.execute(sa.select(sa.func.sum(totals.c.slates))).scalar()
    return int(counted or 0), "LEFT OUTER JOIN" in str(sa.select(totals))


@pytest.mark.parametrize("is_next_day_there", [False, True])
def test_soon_after_midnight_what_has_come_in_the_minutes_since_is_taken_off(engine, is_next_day_there):
    minutes = [1, 2, 5, 11, 17, 20, 21, *([3 * 24 * 60] if is_next_day_there else [])]
    take(engine, [slate(f"s-{n}", time=MIDNIGHT + timedelta(minutes=n)) for n in minutes])
    assert slates_until(engine, MIDNIGHT + timedelta(minutes=17)) == (4, True)
    assert slates_until(engine, MIDNIGHT + timedelta(minutes=5)) == (2, False)


def test_an_exposure_that_is_told_later_makes_no_row(engine):
    exposed = Exposed(phase=7, variant="a")
    take(engine, [Exposure(exposure_id="x", unit="told", time=MIDNIGHT + timedelta(hours=20), exposed=exposed)])
    for hours, rows in ((19, 0), (21, 1)):
        with snapshot(engine) as connection:
            totals = totals_as_of(connection, MIDNIGHT + timedelta(hours=hours))
            assert connection.execute(sa.select(sa.func.count()).select_from(totals)).scalar_one() == rows


def test_of_a_day_whose_facts_are_archived_only_whole_days_before_it_count(engine):
    hours = (-5, -3, 9, 18, 30)
    take(engine, [slate(f"s{n}", time=MIDNIGHT + timedelta(hours=n)) for n in hours])
    end = MIDNIGHT + DAY
    with writing(engine) as connection:
        held = {"since": MIDNIGHT - DAY, "until": end, "rows": 4, "digest": "", "at": NOW}
        connection.execute(sa.insert(archived).values(fact="slate", path="slate", **held))
        for fact in (slate_table, impression):
            connection.execute(sa.delete(fact).where(fact.c.time < end))
    for hour in (0, 6, 12, 20):
        assert slates_until(engine, MIDNIGHT + timedelta(hours=hour)) == (2, False)
    assert slates_until(engine, end) == (4, False)


def archive_until(engine: sa.Engine, end: datetime, rows: int) -> None:
    """What the archive does to the slates before `end`, but for the file."""
    with writing(engine) as connection:
        held = {"since": MIDNIGHT - 30 * DAY, "until": end, "rows": rows, "digest": "", "at": NOW}
        connection.execute(sa.insert(archived).values(fact="slate", path="slate", **held))
        for fact in (slate_table, impression):
            connection.execute(sa.delete(fact).where(fact.c.time < end))


@pytest.mark.parametrize("is_something_left", [False, True])
def test_what_was_archived_and_came_later_does_not_count(engine, is_something_left):
    days = [-3, -2, -1, 0] + ([3] if is_something_left else [])
    take(engine, [slate(f"s{n}", time=MIDNIGHT + n * DAY + timedelta(hours=1)) for n in days])
    archive_until(engine, MIDNIGHT + DAY, 4)
    for day in (-2, -1, 0):
        # The day's own facts are gone; the days before it count whole.
        assert slates_until(engine, MIDNIGHT + day * DAY + timedelta(hours=12))[0] == day + 3
    assert slates_until(engine, MIDNIGHT + DAY)[0] == 4


def test_kept_moments_do_not_answer_as_of_what_was_archived(engine):
    phase = 7
    exposed = Exposed(phase=phase, variant="a")
    take(engine, [slate(f"s{n}", time=MIDNIGHT - n * DAY, exposures=(exposed,)) for n in (1, 2, 3)])
    SqlKeptStore(engine).refresh([Followed(phase=phase, covariate_since=None)], now=NOW)
    noon = MIDNIGHT - 2 * DAY + timedelta(hours=12)
    store = SqlAnalysisStore(engine)

    def answered(until: datetime | None) -> tuple[str, int]:
        (arm,) = store.arm_totals(phase, ["slates"], until=until)
        return arm.source, arm.slates

    assert answered(noon) == ("kept", 2)
    archive_until(engine, MIDNIGHT, 3)
    # One day before it counts whole.
    assert answered(noon) == ("scan", 1)
    assert answered(None) == ("kept", 3)


def test_postgresql_looks_by_blocks_whether_something_came_later_and_then_as_it_likes(on_postgresql):
    told_to = []

    @sa.event.listens_for(on_postgresql, "before_cursor_execute")
    def note(_connection, _cursor, statement, *_rest):
        told_to.append(statement)

    with snapshot(on_postgresql) as connection:
        assert not has_recorded(connection, NOW)
        assert connection.exec_driver_sql("SHOW enable_seqscan").scalar() == "on"
    assert told_to[0] == "SET LOCAL enable_seqscan = off"
    assert "EXISTS" in told_to[1]
