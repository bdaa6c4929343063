import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from lamella.adapters.sql.engine import create_engine
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.schema import inbox
from lamella.errors import Overloaded, StoreNotMigrated, StoreUnavailable
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW


@pytest.fixture
def journal(engine):
    journal = SqlJournal(engine, FakeClock(NOW), limit=1_000)
    yield journal
    journal.close()


def bodies(engine):
    with engine.connect() as connection:
        return sorted(bytes(body) for body in connection.execute(sa.select(inbox.c.body)).scalars())


def test_what_many_threads_append_at_once_is_all_there_when_they_return(engine, journal):
    batches = [f"batch {number}".encode() for number in range(400)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(journal.append, batches))
    assert bodies(engine) == sorted(batches)


def test_a_batch_is_visible_to_others_when_append_returns(engine, journal):
    other = create_engine(engine.url.render_as_string(hide_password=False))
    for number in range(5):
        journal.append(str(number).encode())
        assert len(bodies(other)) == number + 1
    other.dispose()


def test_over_the_limit_some_are_kept_and_the_others_are_told(engine):
    journal = SqlJournal(engine, FakeClock(NOW), limit=20)

    def attempt(number):
        try:
            journal.append(str(number).encode())
        except Overloaded:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        kept = sum(pool.map(attempt, range(60)))
    journal.close()
    assert kept == len(bodies(engine)) == 20


def test_gaps_in_the_numbers_do_not_make_the_inbox_look_full(engine):
    journal = SqlJournal(engine, FakeClock(NOW), limit=3)
    for number in range(3):
        journal.append(str(number).encode())
    with engine.execution_options(lamella_writing=True).begin() as connection:
        connection.execute(sa.delete(inbox).where(inbox.c.body == b"1"))
    journal.append(b"fits")
    with pytest.raises(Overloaded):
        journal.append(b"does not")
    journal.close()


def test_when_the_store_fails_every_one_who_waits_is_released_with_the_reason(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    journal = SqlJournal(engine, FakeClock(NOW), limit=10)
    with ThreadPoolExecutor(8) as pool:
        errors = [pool.submit(journal.append, b"x").exception(timeout=30) for _ in range(8)]
    assert {type(error) for error in errors} == {StoreNotMigrated}
    journal.close()
    engine.dispose()


def test_a_store_that_is_away_is_unavailable_and_back_again_later(engine, journal, monkeypatch):
    journal.append(b"before")
    with monkeypatch.context() as patch:
        patch.setattr("lamella.adapters.sql.inbox.writing", _refuse)
        with pytest.raises(StoreUnavailable):
            journal.append(b"meanwhile")
    journal.append(b"after")
    assert bodies(engine) == [b"after", b"before"]


def _refuse(_engine):
    raise StoreUnavailable("away")


def test_a_closed_journal_ends_its_thread_and_opens_again(engine, journal):
    journal.append(b"one")
    journal.close()
    assert not any(thread.name == "lamella-journal" for thread in threading.enumerate())
    journal.append(b"two")
    assert bodies(engine) == [b"one", b"two"]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_appends_over_its_own_connection(engine, journal):
    journal.append(b"parent")
    child = os.fork()
    if child == 0:
        try:
            journal.append(b"child")
        except BaseException:  # noqa: BLE001 - the child must never run the rest of the tests
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    journal.append(b"parent again")
    assert bodies(engine) == [b"child", b"parent", b"parent again"]
