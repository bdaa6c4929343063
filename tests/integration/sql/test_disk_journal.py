"""The journal on disk, in front of the inbox of both stores."""

import errno
import os
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa

from journals import MANY, bodies, journals
from lamella.adapters.disk import journal as journal_module
from lamella.adapters.disk.journal import PAUSE_SECONDS, READ_BYTES, DiskJournal
from lamella.adapters.disk.leftovers import Leftovers
from lamella.adapters.disk.segment import SUFFIX, Segment
from lamella.adapters.sql.inbox import SqlInbox
from lamella.adapters.sql.schema import inbox
from lamella.errors import Overloaded, StoreUnavailable
from lamella.services.record_ports import Accepted
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data" / "journal"


@pytest.fixture
def make(engine, folder):
    with journals(engine, folder) as make:
        yield make


class Away:
    """An inbox whose store does not answer until it is told to."""

    def __init__(self, inner):
        self.inner, self.is_away, self.asked, self.limit = inner, True, threading.Event(), inner.limit

    def put(self, batches):
        self.asked.set()
        if self.is_away:
            raise StoreUnavailable("away")
        return self.inner.put(batches)

    def is_asked_again(self):
        """Once for what may have been read before, and once for what was read since."""
        for _ in range(2):
            self.asked.clear()
            assert self.asked.wait(60)


class Descheduled(threading.Event):
    """An event that a thread begins to clear, and clears only when the journal is being closed."""

    def __init__(self, journal):
        super().__init__()
        self.journal, self.began, self.closing = journal, threading.Event(), threading.Event()

    def set(self):
        super().set()
        if self.journal._thread is None:
            self.closing.set()

    def clear(self):
        self.began.set()
        self.closing.wait(60)
        super().clear()


def files(folder):
    return sorted(each.name for each in folder.iterdir())


def test_batches_of_one_thread_keep_their_order_and_their_moment(engine, make):
    journal = make()
    batches = [b"%d" % number for number in range(30)]
    for batch in batches:
        journal.append(batch)
    assert journal.flush(60)
    assert bodies(engine) == batches
    with engine.connect() as connection:
        assert set(connection.execute(sa.select(inbox.c.received_at)).scalars()) == {NOW}


def test_a_batch_that_is_longer_than_one_read_is_forwarded_like_any_other(engine, make):
    journal = make()
    batches = [b"small", b"x" * (READ_BYTES + 1), b"", b"small again"]
    for batch in batches:
        journal.append(batch)
    assert journal.flush(60)
    assert bodies(engine) == batches


def test_it_pauses_between_transactions_unless_as_much_as_one_takes_waits(engine, make):
    store = Away(SqlInbox(engine, limit=MANY))
    journal = make(store)
    pauses, wait = [], journal._hurry.wait
    journal._hurry.wait = lambda seconds: pauses.append(seconds) or wait(min(seconds, 0.01))
    for _ in range(7):
        journal.append(b"x" * (READ_BYTES // 2))
    store.is_asked_again()
    store.is_away = False
    assert journal.flush(60)
    journal.close()
    retries = [seconds for seconds in pauses if seconds > 0.0 and seconds != PAUSE_SECONDS]
    after = pauses[len(retries) :]
    assert retries == sorted(retries)
    assert after[:2] == [0.0, 0.0]
    assert set(after[2:]) <= {0.0, PAUSE_SECONDS}
    assert after[-1] == PAUSE_SECONDS


def test_a_full_inbox_is_looked_at_again_after_a_pause(engine, make):
    journal = make(SqlInbox(engine, limit=2))
    pauses, wait, seen = [], journal._hurry.wait, threading.Event()

    def note(seconds):
        pauses.append(seconds)
        if len(pauses) == 4:
            seen.set()
        return wait(min(seconds, 0.01))

    journal._hurry.wait = note
    SqlInbox(engine, limit=2).put([Accepted(NOW, b"{}")] * 2)
    journal.append(b"x" * (2 * READ_BYTES))
    assert seen.wait(60)
    assert set(pauses) == {PAUSE_SECONDS}
    with engine.execution_options(lamella_writing=True).begin() as connection:
        connection.execute(sa.delete(inbox))
    assert journal.flush(60)


def test_over_the_limit_it_refuses_until_the_inbox_is_shorter(engine, make):
    journal = make(limit=20)
    for number in range(20):
        journal.append(b"%d" % number)
    with pytest.raises(Overloaded):
        journal.append(b"too much")
    assert journal.flush(60)
    with pytest.raises(Overloaded):
        journal.append(b"still too much")
    with engine.execution_options(lamella_writing=True).begin() as connection:
        connection.execute(sa.delete(inbox))
    deadline = threading.Event()
    for _ in range(3_000):
        try:
            journal.append(b"fits")
            break
        except Overloaded:
            deadline.wait(0.02)
    assert journal.flush(60)
    assert bodies(engine) == [b"fits"]


def test_a_store_that_is_away_costs_no_batch_and_the_disk_bounds_what_waits(engine, make, folder):
    away = Away(SqlInbox(engine, limit=1_000))
    journal = make(away, limit_bytes=300)
    for number in range(3):
        journal.append(b"%d" % number * 50)
    with pytest.raises(Overloaded, match="journal"):
        journal.append(b"x" * 150)
    assert away.asked.wait(60)
    assert bodies(engine) == []
    assert not journal.flush(0.1)
    away.is_away = False
    assert journal.flush(60)
    assert bodies(engine) == [b"0" * 50, b"1" * 50, b"2" * 50]
    journal.append(b"x" * 150)


def test_a_long_file_is_followed_by_another_and_removed(engine, make, folder, monkeypatch):
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", 200)
    away = Away(SqlInbox(engine, limit=1_000))
    journal = make(away)
    for number in range(12):
        journal.append(b"%02d" % number * 30)
    assert len(files(folder)) > 3
    away.is_away = False
    assert journal.flush(60)
    assert bodies(engine) == [b"%02d" % number * 30 for number in range(12)]
    journal.append(b"one more")
    assert journal.flush(60)
    assert len(files(folder)) == 1
    journal.close()
    assert files(folder) == []


def test_closed_while_the_store_is_away_it_leaves_the_rest_to_the_next(engine, make, folder, monkeypatch):
    monkeypatch.setattr(journal_module, "_PATIENCE_SECONDS", 0.1)
    store = SqlInbox(engine, limit=1_000)
    journal = make(Away(store), limit_bytes=100)
    with monkeypatch.context() as patched:
        patched.setattr(journal, "flush", lambda: False)
        journal.append(b"kept" * 10)
        journal.close()
    assert len(files(folder)) == 1
    assert journal.flush(0.1), "nothing waits in this process any more"
    Leftovers(folder, store).refresh()
    assert bodies(engine) == [b"kept" * 10]
    assert files(folder) == []
    journal.append(b"room" * 10)


def test_a_file_does_not_grow_while_it_has_room(make, folder):
    journal = make()
    journal.append(b"one")
    (path,) = folder.iterdir()
    length = path.stat().st_size
    for number in range(50):
        journal.append(b"%d" % number)
    assert path.stat().st_size == length == journal_module.SEGMENT_BYTES


def test_a_closed_journal_ends_its_thread_and_opens_again(engine, make):
    journal, others = make(), set(threading.enumerate())
    journal.append(b"one")
    assert set(threading.enumerate()) - others
    journal.close()
    assert not set(threading.enumerate()) - others
    journal.append(b"two")
    assert journal.flush(60)
    assert bodies(engine) == [b"one", b"two"]


def test_a_journal_is_closed_even_while_its_thread_is_between_two_looks_for_work(make):
    journal = make()
    journal.append(b"one")
    assert journal.flush(60)
    before, journal._work = journal._work, Descheduled(journal)
    for work in (before, journal._work):
        work.set()
    assert journal._work.began.wait(60)
    closing = threading.Thread(target=journal.close)
    closing.start()
    closing.join(60)
    is_stuck = closing.is_alive()
    journal._work.set()
    closing.join()
    assert not is_stuck


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_a_file_of_its_own(engine, make, folder):
    away = Away(SqlInbox(engine, limit=1_000))
    journal = make(away)
    journal.append(b"parent")
    child = os.fork()
    if child == 0:
        try:
            journal.append(b"child")
        except BaseException:  # noqa: BLE001 - the child must never run the rest of the tests
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(files(folder)) == 2
    Leftovers(folder, away.inner).refresh()
    assert bodies(engine) == [b"child"], "the parent lives, and its file is its own"
    away.is_away = False
    assert journal.flush(60)
    assert bodies(engine) == [b"child", b"parent"]


FULL = """
import resource, sys
from pathlib import Path
import structlog
from lamella.adapters.disk.journal import DiskJournal
from lamella.adapters.disk.leftovers import Leftovers
from lamella.errors import StoreUnavailable
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW
from lamella.services.record_ports import Put

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

class Held:
    limit, taken, is_open = 1000, [], False
    def put(self, batches):
        if not self.is_open:
            raise StoreUnavailable("away")
        self.taken += [each.body for each in batches]
        return Put(len(batches), len(self.taken))

store = Held()
journal = DiskJournal(Path(sys.argv[1]), store, FakeClock(NOW), limit_bytes=10**9)
journal.append(b"before")
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
try:
    journal.append(b"x" * 500)
except StoreUnavailable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append(b"after")
store.is_open = True
assert journal.flush(60)
print(store.taken)
"""


def test_a_full_disk_refuses_the_batch_and_keeps_the_others(folder):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(folder)], capture_output=True, text=True, timeout=120, check=True
    )
    refused, taken = done.stdout.splitlines()
    assert "takes nothing" in refused
    assert "LAMELLA_JOURNAL" in refused
    assert taken == "[b'before', b'after']"


def test_a_full_file_makes_room_for_the_next_once_it_is_forwarded(engine, make, folder, monkeypatch):
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", 100)
    make_segment = Segment.make

    def on_a_small_disk(place, **how):
        if place.is_dir() and any(place.glob(f"*{SUFFIX}")):
            raise OSError(errno.ENOSPC, "No space left on device")
        return make_segment(place, **how)

    monkeypatch.setattr(Segment, "make", on_a_small_disk)
    away = Away(SqlInbox(engine, limit=1_000))
    journal = make(away)
    journal.append(b"x" * 100)
    with pytest.raises(StoreUnavailable, match="No space left"):
        journal.append(b"no room while the first waits")
    away.is_away = False
    assert journal.flush(60)
    journal.append(b"room again")
    assert journal.flush(60)
    assert bodies(engine) == [b"x" * 100, b"room again"]


def test_what_the_disk_damages_while_the_store_is_away_costs_no_other_batch(engine, make, folder):
    away = Away(SqlInbox(engine, limit=1_000))
    journal = make(away)
    for number in range(4):
        journal.append(b'["%d"]' % number)
    (path,) = folder.glob(f"*{SUFFIX}")
    with path.open("r+b") as file:
        file.seek(path.read_bytes().index(b'["1"]') + 2)
        file.write(b"!")
    away.is_asked_again()
    away.is_away = False
    assert journal.flush(60), "the file is left to the heirs"
    journal.append(b'["later"]')
    assert journal.flush(60)
    Leftovers(folder, away).refresh()
    assert sorted(bodies(engine)) == [b'["0"]', b'["2"]', b'["3"]', b'["later"]']
    assert path.with_suffix(".damaged").exists()


def test_a_head_that_cannot_be_written_holds_no_batch_back(engine, make, monkeypatch):
    write = os.pwrite

    def without_the_head(descriptor, data, at):
        if at == 16:
            raise OSError(errno.EIO, "Input/output error")
        return write(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", without_the_head)
    journal = make()
    for number in range(3):
        journal.append(b"%d" % number)
        assert journal.flush(60)
    assert bodies(engine) == [b"0", b"1", b"2"]


def test_a_folder_that_cannot_be_made_is_said(engine, tmp_path):
    (tmp_path / "file").write_text("in the way")
    journal = DiskJournal(tmp_path / "file" / "journal", SqlInbox(engine, limit=9), FakeClock(NOW), limit_bytes=MANY)
    with pytest.raises(StoreUnavailable, match="file/journal"):
        journal.append(b"batch")
    journal.close()


def test_files_and_folder_are_for_their_owner_alone(make, folder):
    make().append(b"reader-1 was here")
    (path,) = folder.glob(f"*{SUFFIX}")
    assert (folder.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
