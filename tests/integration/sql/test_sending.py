import gc
import struct
import sys

import psycopg
import pytest
import sqlalchemy as sa

from lamella.adapters.sql.bulk import bulk
from lamella.adapters.sql.engine import create_engine, writing
from lamella.adapters.sql.inbox_reader import GROUP_BYTES
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.receiving import Trust
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.schema import event_receipt
from lamella.adapters.sql.sending import Sender
from lamella.events.codec import encode
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW, click, slate

TABLE = sa.Table(
    "claimed", sa.MetaData(), sa.Column("key", sa.BigInteger, primary_key=True), sa.Column("name", sa.Text)
)
DIGESTS = sa.Table(
    "claimed_digest",
    sa.MetaData(),
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("name", sa.Text),
)
NAMES = sa.select(TABLE.c.name).order_by(TABLE.c.key)
RENAME = sa.update(TABLE).where(TABLE.c.key > sa.literal_column("?")).values(name=sa.literal_column("'late'"))


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request):
    name = {"sqlite": "sqlite_database_url", "postgresql": "pg_database_url"}[request.param]
    made = create_engine(request.getfixturevalue(name))
    TABLE.create(made)
    DIGESTS.create(made)
    yield made
    made.dispose()


@pytest.fixture
def pg_engine(pg_database_url):
    made = create_engine(pg_database_url)
    TABLE.create(made)
    yield made
    made.dispose()


def test_what_is_written_is_seen_by_whatever_follows(engine):
    with writing(engine) as connection:
        ways = bulk(connection)
        ways.append(TABLE, {"key": [1, 2, 3], "name": ["a", "b", "c"]})
        ways.run(RENAME, 1)
        assert [name for (name,) in ways.read("SELECT name FROM claimed WHERE key > ?", 1)] == ["late", "late"]
        ways.run(RENAME, 0)
        assert ways.idle().execute(NAMES).scalars().all() == ["late", "late", "late"]
        connection.rollback()
    with engine.connect() as connection:
        assert connection.execute(NAMES).all() == []


def test_a_statement_that_comes_first_is_part_of_the_transaction(engine):
    with engine.begin() as connection:
        connection.execute(sa.insert(TABLE).values(key=1, name="early"))
    with writing(engine) as connection:
        ways = bulk(connection)
        ways.run(RENAME, 0)
        ways.idle()
        connection.rollback()
    with engine.connect() as connection:
        assert connection.execute(NAMES).scalars().all() == ["early"]


def test_a_claim_is_stored_whole_or_not_at_all(engine):
    with writing(engine) as connection:
        ways = bulk(connection)
        assert ways.claim(DIGESTS, {"digest": [b"1", b"2"], "name": ["a", "b"]})
        assert not ways.claim(DIGESTS, {"digest": [b"0", b"2", b"3"], "name": ["x", "x", "x"]})
        assert ways.claim(DIGESTS, {"digest": [b"3"], "name": ["c"]})
        ways.idle()
    with engine.connect() as connection:
        found = connection.execute(sa.select(DIGESTS.c.name).order_by(DIGESTS.c.digest))
        assert found.scalars().all() == ["a", "b", "c"]


def test_the_error_of_what_is_under_way_comes_with_the_next_use(pg_engine):
    with writing(pg_engine) as connection:
        ways = bulk(connection)
        ways.append(TABLE, {"key": [1, 1], "name": ["a", "b"]})
        with pytest.raises(psycopg.errors.UniqueViolation):
            ways.append(TABLE, {"key": [2], "name": ["c"]})
        connection.rollback()
    with pg_engine.connect() as connection:
        assert connection.execute(NAMES).all() == []


def test_a_copy_that_breaks_off_leaves_the_connection_in_order(pg_engine):
    def parts():
        yield from (b"PGCOPY\n\xff\r\n\0" + bytes(8), b"", b"")
        raise ValueError("no more")

    with pg_engine.connect() as connection:
        driver = connection.connection.driver_connection
        sender = Sender(driver)
        with pytest.raises(ValueError, match="no more"):
            sender.copy("COPY claimed FROM STDIN (FORMAT BINARY)", parts())
        sender.settle()
        driver.rollback()
        assert connection.execute(NAMES).all() == []


def test_repeats_are_found_by_who_expects_none_and_by_who_looks_first(engine):
    journal, store = SqlJournal(engine, FakeClock(NOW), limit=100), SqlRecordStore(engine)
    shown = slate("request-1")
    found = []
    for number in range(4):
        other = slate(f"other-{number}")
        journal.append(encode([shown, click("click-1", of=shown), other, click(f"new-{number}", of=other)]))
        receipt = store.ingest(limit=10, now=NOW)
        found.append((receipt.stored["slate"], receipt.stored["click"], dict(receipt.duplicate)))
    journal.close()
    assert found == [(2, 2, {}), *[(1, 1, {"slate": 1, "click": 1})] * 3]


def test_whoever_met_a_repeat_looks_first_for_some_time():
    trust = Trust()
    assert trust.may_expect(event_receipt)
    trust.disappoint(event_receipt)
    assert [trust.may_expect(event_receipt) for _ in range(21)] == [False] * 20 + [True]


def test_an_ingest_leaves_the_interpreter_as_it_was(engine, monkeypatch):
    monkeypatch.setitem(GROUP_BYTES, engine.dialect.name, 1_000)
    journal, store = SqlJournal(engine, FakeClock(NOW), limit=100), SqlRecordStore(engine)
    for number in range(3):
        journal.append(encode([slate(f"request-{number}")]))
    journal.close()
    interval = sys.getswitchinterval()
    while store.ingest(limit=10, now=NOW).batches:
        assert (gc.isenabled(), sys.getswitchinterval()) == (True, interval)
    assert gc.get_freeze_count() == 0


def test_work_is_done_while_the_server_lets_the_caller_wait(pg_engine):
    done = []

    def work():
        done.append(len(done))
        if len(done) == 5:
            holder.exec_driver_sql("SELECT pg_advisory_unlock(7)")
        return len(done) < 5

    with pg_engine.connect() as holder, pg_engine.connect() as connection:
        holder.exec_driver_sql("SELECT pg_advisory_lock(7)")
        connection.exec_driver_sql("SET LOCAL lock_timeout = '60s'")
        driver = connection.connection.driver_connection
        sender = Sender(driver, work)
        sender.send("SELECT pg_advisory_lock(7)")
        assert done == []
        sender.settle()
        # Each wait asks once more whether there is anything to do by now.
        assert done[:5] == [0, 1, 2, 3, 4]
        assert len(done) < 10
        oid = 20
        assert sender.ask("SELECT $1 + 1", struct.pack("!q", 41), oid).get_value(0, 0) == struct.pack("!q", 42)
        with pytest.raises(psycopg.errors.DivisionByZero):
            sender.ask("SELECT 1 / $1", struct.pack("!q", 0), oid)
        driver.rollback()


def test_what_was_committed_at_once_is_there_before_the_block_ends(pg_engine):
    with writing(pg_engine) as connection:
        ways = bulk(connection)
        ways.append(TABLE, {"key": [1], "name": ["a"]})
        ways.commit()
        with pg_engine.connect() as other:
            assert other.execute(NAMES).scalars().all() == ["a"]
    with pg_engine.connect() as connection:
        assert connection.execute(NAMES).scalars().all() == ["a"]


def test_a_commit_that_fails_is_told_and_leaves_nothing(pg_engine):
    with pg_engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE claimed ADD UNIQUE (name) DEFERRABLE INITIALLY DEFERRED")
    with writing(pg_engine) as connection:
        ways = bulk(connection)
        ways.append(TABLE, {"key": [1, 2], "name": ["a", "a"]})
        with pytest.raises(psycopg.errors.UniqueViolation):
            ways.commit()
    with pg_engine.connect() as connection:
        assert connection.execute(NAMES).all() == []
