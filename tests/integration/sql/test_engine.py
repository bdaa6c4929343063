import os
import socket
import sqlite3
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from lamella.adapters.sql.engine import create_engine, is_postgresql, look, snapshot, writing
from lamella.adapters.sql.schema import item
from lamella.errors import InvalidInput, InvalidSettings, StoreNotMigrated, StoreUnavailable
from lamella.testing.proxies import Mode, proxy

AT = datetime(2026, 3, 2, 8, 0, 0, 123456, tzinfo=UTC)
VALUES = {"key": "i", "title": "t", "published_at": AT, "attributes": {}}


def test_a_moment_comes_back_in_utc_and_a_naive_one_is_refused(engine):
    abroad = AT.astimezone(timezone(timedelta(hours=8)))
    with writing(engine) as connection:
        connection.execute(sa.insert(item).values({**VALUES, "published_at": abroad}))
    with engine.connect() as connection:
        found = connection.execute(sa.select(item.c.published_at)).scalar_one()
    assert found == AT
    assert found.tzinfo is UTC
    with pytest.raises(sa.exc.StatementError, match="no offset"), writing(engine) as connection:
        connection.execute(sa.insert(item).values({**VALUES, "key": "j", "published_at": AT.replace(tzinfo=None)}))


def test_an_error_in_the_block_undoes_all_of_it(engine):
    with pytest.raises(sa.exc.IntegrityError), writing(engine) as connection:
        connection.execute(sa.insert(item), [VALUES, VALUES])
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(item)).scalar() == 0


def test_a_snapshot_does_not_see_what_is_committed_meanwhile(engine):
    count = sa.select(sa.func.count()).select_from(item)
    with snapshot(engine) as reader:
        assert reader.execute(count).scalar() == 0
        with writing(engine) as connection:
            connection.execute(sa.insert(item).values(VALUES))
        assert reader.execute(count).scalar() == 0
    with snapshot(engine) as reader:
        assert reader.execute(count).scalar() == 1


def test_a_text_that_the_store_does_not_take_is_bad_input(engine):
    # SQLite takes a NUL, which is why what comes in is checked before.
    for text in ("\ud800", "a\0b") if is_postgresql(engine) else ("\ud800",):
        for statement in (sa.insert(item).values({**VALUES, "title": text}), sa.select(item).where(item.c.key == text)):
            with pytest.raises(InvalidInput, match="a text holds"), writing(engine) as connection:
                connection.execute(statement)


def test_a_text_that_the_server_cannot_make_is_bad_input(pg_database_url):
    engine = create_engine(pg_database_url)
    with pytest.raises(InvalidInput, match="a text holds"), engine.connect() as connection:
        connection.execute(sa.text("""SELECT CAST('{"a": "\\u0000"}' AS jsonb)"""))
    with pytest.raises(sa.exc.DataError), engine.connect() as connection:
        connection.execute(sa.text("SELECT 1 / 0"))
    engine.dispose()


def how_many(connection) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(item))


def test_a_look_leaves_the_connection_as_it_was(engine):
    assert look(engine, how_many) == 0
    # The pool gives the same connection again: what is written must still be undone as a whole.
    with pytest.raises(sa.exc.IntegrityError), writing(engine) as connection:
        connection.execute(sa.insert(item), [VALUES, VALUES])
    assert look(engine, how_many) == 0


@pytest.mark.parametrize("number", [1, 3])
def test_a_look_by_connections_that_the_server_ended_finds_what_is_there(pg_database_url, number):
    engine, other = create_engine(pg_database_url), create_engine(pg_database_url)
    with ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(engine.connect()).scalar(sa.text("SELECT 1"))
    with other.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    other.dispose()
    assert [look(engine, how_many) for _ in range(number)] == [0] * number
    engine.dispose()


def test_a_look_at_a_store_that_is_away_says_so_after_one_try():
    engine, tries = create_engine("postgresql://nobody@127.0.0.1:1/none"), []
    sa.event.listen(engine, "do_connect", lambda *_: tries.append(1))
    with pytest.raises(StoreUnavailable, match="LAMELLA_DATABASE_URL"):
        look(engine, how_many)
    assert len(tries) == 1
    engine.dispose()


def test_sqlite_writes_through_to_the_disk_and_enforces_keys(sqlite_database_url):
    engine = create_engine(sqlite_database_url)
    with engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        }
        assert found == {"journal_mode": "wal", "synchronous": 2}
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    engine.dispose()


def test_a_missing_table_says_what_to_run(tmp_path, empty_pg_url):
    for url in (f"sqlite:///{tmp_path / 'x.db'}", empty_pg_url):
        engine = create_engine(url)
        with pytest.raises(StoreNotMigrated, match="lamella db upgrade"), engine.connect() as connection:
            connection.execute(sa.select(item))
        engine.dispose()


@pytest.mark.parametrize("url", ["mysql://u:secret@h/x", "postgresql+asyncpg://u:secret@h/x", "no url", ""])
def test_another_kind_of_store_is_refused_without_its_password(url):
    with pytest.raises(InvalidSettings) as refused:
        create_engine(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("path", ["/proc/nowhere/lamella.db", "/dev/null/lamella.db"])
def test_a_file_that_cannot_be_opened_is_a_store_that_is_away(path):
    engine = create_engine(f"sqlite:///{path}")
    with pytest.raises(StoreUnavailable, match="LAMELLA_DATABASE_URL"), engine.connect():
        pass
    engine.dispose()


def test_a_file_of_another_kind_is_a_store_that_is_away(tmp_path):
    (tmp_path / "x.db").write_bytes(b"this is no database " * 100)
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(StoreUnavailable, match="not a database"), engine.connect():
        pass
    engine.dispose()


def test_a_server_that_is_away_is_named_without_its_password():
    engine = create_engine("postgresql://ann:secret@127.0.0.1:1/x")
    with pytest.raises(StoreUnavailable) as refused, engine.connect():
        pass
    assert "ann:***@127.0.0.1:1/x" in str(refused.value)
    assert "secret" not in str(refused.value)
    engine.dispose()


def test_a_connection_that_the_server_ended_is_replaced(pg_database_url):
    engine = create_engine(pg_database_url)
    with engine.connect() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    other = create_engine(pg_database_url)
    with other.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
    other.dispose()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    engine.dispose()


def test_a_writer_that_finds_the_file_locked_for_too_long_is_told_so(sqlite_database_url, monkeypatch):
    monkeypatch.setattr("lamella.adapters.sql.engine.SQLITE_WAIT_SECONDS", 0.1)
    engine = create_engine(sqlite_database_url)
    holder = sqlite3.connect(sqlite_database_url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"), writing(engine):
        pass
    holder.close()
    engine.dispose()


@pytest.fixture
def between(pg_database_url):
    url = sa.make_url(pg_database_url)
    with proxy(url.host, url.port or 5432) as made:
        made.url = url.set(host="127.0.0.1", port=made.port).render_as_string(hide_password=False)
        yield made


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("lamella.adapters.sql.silence.ANSWER_SECONDS", 2.0)


def one(connection):
    return connection.exec_driver_sql("SELECT 1").scalar()


@pytest.mark.usefixtures("impatient")
def test_who_looks_something_up_does_not_wait_for_a_server_that_says_nothing(between, monkeypatch):
    engine, asked = create_engine(between.url), []
    assert look(engine, one) == 1
    monkeypatch.setattr("lamella.adapters.sql.silence.REST_SECONDS", 3600)
    between.mode = Mode.HANG
    with pytest.raises(StoreUnavailable):
        look(engine, lambda connection: asked.append(1) or one(connection))
    with pytest.raises(StoreUnavailable, match="says nothing"):
        look(engine, asked.append)
    assert asked == [1], "it was asked although it says nothing"
    engine.dispose()


@pytest.mark.usefixtures("impatient")
def test_a_server_that_speaks_again_is_asked_again(between, monkeypatch):
    engine = create_engine(between.url)
    assert look(engine, one) == 1
    monkeypatch.setattr("lamella.adapters.sql.silence.REST_SECONDS", 0.0)
    between.mode = Mode.HANG
    with pytest.raises(StoreUnavailable):
        look(engine, one)
    # One that refuses has said something: it is no longer left alone.
    between.mode = Mode.REFUSE
    with pytest.raises(StoreUnavailable):
        look(engine, one)
    between.mode = Mode.OPEN
    assert [look(engine, one) for _ in range(3)] == [1, 1, 1]
    engine.dispose()


@pytest.mark.usefixtures("impatient")
def test_a_connection_that_says_nothing_is_replaced_before_it_is_used(between):
    engine = create_engine(between.url)
    assert look(engine, one) == 1
    between.mode = Mode.HANG

    def open_again():
        while not between.lost:
            time.sleep(0.01)
        between.mode = Mode.OPEN  # what was asked before gets no answer

    opener = threading.Thread(target=open_again, daemon=True)
    opener.start()
    with engine.connect() as connection:
        assert one(connection) == 1
    opener.join()
    engine.dispose()


def test_a_server_that_fell_silent_is_found_away_within_seconds(pg_database_url):
    engine = create_engine(pg_database_url)
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        with socket.socket(fileno=os.dup(driver.fileno())) as link:
            assert link.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
            assert link.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
    engine.dispose()
