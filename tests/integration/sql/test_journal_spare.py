"""The journal's next file is made ahead of time: no request waits for it, and nobody takes it for something else."""

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from journals import bodies, journals
from lamella.adapters.disk import journal as journal_module
from lamella.adapters.disk.leftovers import Leftovers
from lamella.adapters.disk.segment import NEW, SUFFIX, Segment
from lamella.adapters.sql.inbox import SqlInbox
from lamella.errors import StoreUnavailable

SEGMENT = 1_000
HALF = b"x" * 600
WRITER, FORWARDER = "MainThread", "lamella-journal"


class Making:
    """`Segment.make` as it is called: by which threads, of which it holds up the one that forwards if it is told to."""

    def __init__(self):
        self.make, self.by = Segment.make, []
        self.fault = None
        self.begun, self.may_end, self.is_spare_made = threading.Event(), threading.Event(), threading.Event()
        self.may_end.set()

    def __call__(self, folder, **how):
        name = threading.current_thread().name
        self.by.append(name)
        if name != FORWARDER:
            return self.make(folder, **how)
        try:
            if self.fault is not None:
                raise self.fault
            made = self.make(folder, **how)
            self.begun.set()
            assert self.may_end.wait(60)
            return made
        finally:
            self.is_spare_made.set()

    def wait_for_spare(self):
        assert self.is_spare_made.wait(60)
        self.is_spare_made.clear()


class Away:
    """An inbox whose store does not answer."""

    limit = 1_000

    def put(self, _batches):
        raise StoreUnavailable("away")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def making(monkeypatch):
    making = Making()
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", SEGMENT)
    monkeypatch.setattr(journal_module, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(Segment, "make", making)
    return making


@pytest.fixture
def make(engine, folder):
    with journals(engine, folder) as make:
        yield make


def files(folder):
    return sorted(folder.glob(f"*{SUFFIX}"))


@pytest.mark.parametrize("is_away", [False, True])
def test_the_writer_takes_over_what_the_thread_made_and_makes_no_file_itself(engine, make, folder, making, is_away):
    journal = make(Away() if is_away else None)
    batches = [b"%d" % number * 600 for number in range(8)]
    for number, batch in enumerate(batches):
        journal.append(batch)
        if number % 2 == 0:
            making.wait_for_spare()
    assert making.by == [WRITER, *[FORWARDER] * 4]
    assert is_away or journal.flush(60)
    journal.close()
    Leftovers(folder, SqlInbox(engine, limit=1_000)).refresh()
    assert bodies(engine) == batches
    assert files(folder) == []


def test_files_are_written_in_the_order_of_their_names_also_where_the_spare_is_late(engine, make, folder, making):
    making.may_end.clear()
    journal = make(Away())
    batches = [b"%d" % number * 600 for number in range(4)]
    journal.append(batches[0])
    assert making.begun.wait(60)
    journal.append(batches[1])
    late = threading.Thread(target=journal.append_all, args=(batches[2:],))
    late.start()
    making.may_end.set()
    late.join(60)
    assert making.by[:2] == [WRITER, FORWARDER]
    journal.close()
    Leftovers(folder, SqlInbox(engine, limit=1_000)).refresh()
    assert bodies(engine) == batches


def test_a_spare_is_no_batch_that_waits_and_close_removes_it(make, folder, making):
    journal = make()
    journal.append(HALF)
    making.wait_for_spare()
    assert journal.flush(60)
    leftovers = Leftovers(folder, SqlInbox(None, limit=1))
    assert len(files(folder)) == 2
    assert leftovers.waiting() == 0
    leftovers.settle()
    assert len(files(folder)) == 2, "its process lives"
    journal.close()
    assert files(folder) == []


def test_a_disk_that_is_full_while_the_spare_is_made_costs_no_request(engine, make, folder, making):
    making.fault = OSError(errno.ENOSPC, "No space left on device")
    journal = make()
    for number in range(6):
        journal.append(b"%d" % number * 600)
        if number == 0:
            making.wait_for_spare()
    assert journal.flush(60)
    assert bodies(engine) == [b"%d" % number * 600 for number in range(6)]
    assert making.by.count(WRITER) == 3
    assert not list(folder.glob(f"*{NEW}"))


def test_a_disk_with_room_for_few_files_gets_no_spare(engine, make, making, monkeypatch):
    asked = threading.Event()

    def few(_folder):
        asked.set()
        return 4 * SEGMENT - 1

    monkeypatch.setattr(journal_module, "_free_bytes", few)
    journal = make()
    for number in range(4):
        journal.append(b"%d" % number * 600)
    assert asked.wait(60)
    assert journal.flush(60)
    assert set(making.by) == {WRITER}
    assert len(bodies(engine)) == 4


def test_a_spare_gives_its_room_up_to_a_batch(engine, make, folder, making, monkeypatch):
    journal = make()
    journal.append(HALF)
    making.wait_for_spare()
    write = os.pwritev

    def on_a_full_disk(*args):
        if len(files(folder)) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*args)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwritev", on_a_full_disk)
        journal.append(b"more than there is room for" * 100)
    assert journal.flush(60)
    assert bodies(engine) == [HALF, b"more than there is room for" * 100]


KILLED = """
import sys, threading
from pathlib import Path
from lamella.adapters.disk import journal as journal_module
from lamella.services.record_ports import Put
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW

class Taking:
    limit = 10**6
    def put(self, batches):
        return Put(len(batches), 0)

journal_module.SEGMENT_BYTES = 1000
journal = journal_module.DiskJournal(Path(sys.argv[1]), Taking(), FakeClock(NOW), limit_bytes=10**9)
journal.append(b"x" * 600)
while journal._spare is None:
    threading.Event().wait(0.01)
print("ready", flush=True)
threading.Event().wait()
"""


def test_the_spare_of_a_killed_process_is_removed_by_the_heirs(engine, folder):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    leftovers = Leftovers(folder, SqlInbox(engine, limit=1_000))
    leftovers.refresh()
    spare = files(folder)[-1]
    assert spare.stat().st_size == SEGMENT, "its process lives"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    leftovers.refresh()
    assert list(folder.iterdir()) == []


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_leaves_the_spare_to_its_parent(engine, make, folder, making):
    journal = make()
    journal.append(HALF)
    making.wait_for_spare()
    assert journal.flush(60)
    (_, spare) = files(folder)
    child = os.fork()
    if child == 0:
        try:
            journal.append(b"child")
            os._exit(0 if spare.read_bytes()[24:] == bytes(SEGMENT - 24) else 2)
        except BaseException:  # noqa: BLE001 - the child must never run the rest of the tests
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    journal.append(HALF)
    journal.append(b"parent")
    assert journal.flush(60)
    assert making.by.count(WRITER) == 1
    journal.close()
    Leftovers(folder, SqlInbox(engine, limit=1_000)).refresh()
    assert sorted(bodies(engine)) == sorted([HALF, HALF, b"parent", b"child"])
    assert files(folder) == []
