import random

import pytest

from lamella.adapters.sql import migrations
from lamella.adapters.sql.engine import create_engine, writing
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.record import SqlRecordStore
from lamella.events.codec import encode
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW, traffic

INDEXES = """
SELECT tablename, indexdef FROM pg_indexes
WHERE tablename ~ '^(slate|impression|click|read|interaction|custom)(_default|_[0-9]{4}_[0-9]{2})?$'
  AND indexdef !~ 'unit'
"""


@pytest.fixture
def older(pg_database_url):
    """An installation from before the facts lost their keys, with a row of each year in one of them."""
    migrations.downgrade(pg_database_url, "0003")
    engine = create_engine(pg_database_url)
    with writing(engine) as connection:
        connection.exec_driver_sql(
            "CREATE TABLE click_2026_01 PARTITION OF click FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')"
        )
        for month in ("2025-12", "2026-01"):
            connection.exec_driver_sql(
                f"INSERT INTO click VALUES ('{month}-05T00:00:00Z', 'request', 'reader', 1, 'click-{month}', 'item')"
            )
    yield engine
    engine.dispose()


def test_what_an_older_installation_holds_stays_and_its_partitions_are_indexed_by_time(older):
    url = older.url.render_as_string(hide_password=False)
    migrations.upgrade(url)
    journal = SqlJournal(older, FakeClock(NOW), limit=10)
    journal.append(encode(traffic(random.Random(2), slates=50, days=60)))
    journal.close()
    SqlRecordStore(older).ingest(limit=10, now=NOW)
    with older.connect() as connection:
        kept = connection.exec_driver_sql("SELECT count(*) FROM click WHERE request_id = 'request'").scalar()
        indexes = connection.exec_driver_sql(INDEXES).all()
    assert kept == 2
    assert {"click_2026_01", "impression_2026_02", "impression_2026_03", "custom_default"} <= {
        table for table, _ in indexes
    }
    # Clicks and reads are also found by unit: what the unit read last.
    by_time = {table: text for table, text in indexes if "(unit, " not in text}
    assert {table for table, _ in indexes} == set(by_time)
    assert all("USING brin" in text or "ON ONLY" in text for text in by_time.values())
    migrations.check(url)
