import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from lamella.adapters.sql.engine import create_engine, writing
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.partitions import make_partitions, months_of
from lamella.adapters.sql.record import SqlRecordStore
from lamella.events.codec import encode
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW, slate, traffic


def test_months_are_those_of_the_data_this_one_and_the_next_but_not_strays():
    now = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    days = [date(2026, 10, 5), date(2026, 10, 30), date(1999, 1, 1), date(2031, 1, 1)]
    assert months_of(days, now) == {date(2026, 10, 1), date(2026, 12, 1), date(2027, 1, 1)}


@pytest.fixture
def pg_engine(pg_database_url):
    engine = create_engine(pg_database_url)
    yield engine
    engine.dispose()


def ingest(engine, records, now=NOW):
    journal = SqlJournal(engine, FakeClock(NOW), limit=10)
    journal.append(encode(records))
    journal.close()
    return SqlRecordStore(engine).ingest(limit=10, now=now)


def rows_by_partition(engine, fact):
    query = f"SELECT tableoid::regclass::text, count(*) FROM {fact} GROUP BY 1"
    with engine.connect() as connection:
        return dict(connection.exec_driver_sql(query).all())


def test_rows_lie_in_the_partition_of_their_month(pg_engine):
    ingest(pg_engine, traffic(random.Random(1), slates=100, days=60))
    found = rows_by_partition(pg_engine, "impression")
    assert set(found) == {"impression_2026_01", "impression_2026_02", "impression_2026_03"}
    assert sum(found.values()) == 500


def test_strays_go_to_the_default_partition(pg_engine):
    ingest(pg_engine, [slate("old", time=datetime(1999, 1, 1, tzinfo=UTC)), slate("new", time=NOW)])
    assert rows_by_partition(pg_engine, "slate") == {"slate_default": 1, "slate_2026_03": 1}


def test_a_month_whose_first_rows_were_strays_is_stored_all_the_same(pg_engine):
    later = NOW + timedelta(days=100)
    ingest(pg_engine, [slate("early", time=later)])
    ingest(pg_engine, [slate("later", time=later), slate("other", time=later + timedelta(days=20))], now=later)
    assert rows_by_partition(pg_engine, "slate") == {"slate_default": 2, "slate_2026_07": 1}


def test_a_query_over_a_stretch_of_time_reads_its_months_only(pg_engine):
    ingest(pg_engine, traffic(random.Random(1), slates=100, days=60))
    window = "time >= '2026-03-01T00:00:00Z' AND time < '2026-03-10T00:00:00Z'"
    with pg_engine.connect() as connection:
        plan = connection.execute(sa.text(f"EXPLAIN SELECT * FROM impression WHERE {window}")).scalars().all()
    assert "impression_2026_03" in " ".join(plan)
    assert "impression_2026_01" not in " ".join(plan)


def test_makers_that_race_make_each_month_once(pg_engine):
    months = months_of([], NOW)

    def make(_number):
        with writing(pg_engine) as connection:
            make_partitions(connection, months)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(8)))
    with pg_engine.connect() as connection:
        query = "SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'"
        assert connection.exec_driver_sql(query).scalar() == 6 * (1 + len(months))
