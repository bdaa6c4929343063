"""What PostgreSQL knows of tables before autovacuum has come by."""

import random

import pytest
import sqlalchemy as sa

from lamella.adapters.sql.engine import create_engine
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.keeping import SqlKeptStore
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.sizes import look_at_new_tables
from lamella.events.codec import encode
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW, traffic


@pytest.fixture
def engine(pg_database_url):
    engine = create_engine(pg_database_url)
    yield engine
    engine.dispose()


def fill(engine) -> None:
    journal = SqlJournal(engine, FakeClock(NOW), limit=10)
    journal.append(encode(traffic(random.Random(3))))
    journal.close()
    SqlRecordStore(engine).ingest(limit=10, now=NOW)


def taken_for(engine) -> dict[str, float]:
    """How many rows the planner believes the tables of impressions, and that of the totals, to have."""
    query = "SELECT relname, reltuples FROM pg_class WHERE relkind = 'r' AND relname ~ '^(impression_2|unit_total$)'"
    with engine.connect() as connection:
        return dict(connection.execute(sa.text(query)).all())


def test_reports_begin_with_a_look_at_tables_that_have_filled(engine):
    fill(engine)
    assert max(taken_for(engine).values()) < 0
    SqlKeptStore(engine).refresh([], NOW)
    found = taken_for(engine)
    assert found["unit_total"] > 0
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT count(*) FROM impression").scalar_one()
    assert sum(max(each, 0) for name, each in found.items() if name != "unit_total") == rows


def test_what_is_known_already_is_not_looked_at_again(engine):
    fill(engine)
    look_at_new_tables(engine)
    asked: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *event: asked.append(event[2]))
    look_at_new_tables(engine)
    assert not [each for each in asked if each.startswith("ANALYZE")]


def test_other_tables_of_the_database_are_left_alone(engine):
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE ours_not AS SELECT 1 AS one")
    look_at_new_tables(engine)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT reltuples FROM pg_class WHERE relname = 'ours_not'").scalar_one()
    assert rows <= 0
