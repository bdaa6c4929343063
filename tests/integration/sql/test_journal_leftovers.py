"""What a killed process had accepted is forwarded by the next one that looks; what is damaged is set aside."""

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa

from lamella.adapters.disk import leftovers as leftovers_module
from lamella.adapters.disk.journal import DiskJournal
from lamella.adapters.disk.leftovers import Leftovers
from lamella.adapters.disk.segment import SUFFIX, Segment, framed
from lamella.adapters.sql.inbox import SqlInbox
from lamella.adapters.sql.schema import inbox
from lamella.errors import StoreUnavailable
from lamella.services.record_ports import Accepted
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW

APPENDER = """
import os, sys, threading
from pathlib import Path
import structlog
from lamella.adapters.disk.journal import DiskJournal
from lamella.errors import StoreUnavailable
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

class Away:
    limit = 10**6
    def put(self, batches):
        raise StoreUnavailable("away")

journal = DiskJournal(Path(sys.argv[1]), Away(), FakeClock(NOW), limit_bytes=10**9)
def append(name):
    for number in range(10**6):
        journal.append(f"{name}-{number}".encode())
        os.write(1, f"{name}-{number}{os.linesep}".encode())
for name in "abc":
    threading.Thread(target=append, args=(name,), daemon=True).start()
threading.Event().wait()
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "journal"
    folder.mkdir()
    return folder


@pytest.fixture
def store(engine):
    return SqlInbox(engine, limit=1_000_000)


def bodies(engine):
    with engine.connect() as connection:
        return [bytes(body) for body in connection.execute(sa.select(inbox.c.body).order_by(inbox.c.id)).scalars()]


def segment_of(folder, *batches, room=5_000):
    """A file with these batches, as the process that wrote it would leave it."""
    segment = Segment.make(folder, room=room)
    for batch in batches:
        segment.write([framed(Accepted(NOW, batch))])
    return segment


def names(folder):
    return sorted(each.suffix for each in folder.iterdir())


def test_everything_that_a_killed_process_acknowledged_arrives(engine, store, folder):
    process = subprocess.Popen(
        [sys.executable, "-c", APPENDER, str(folder)], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(300)]
    leftovers = Leftovers(folder, store)
    leftovers.refresh()
    assert bodies(engine) == [], "its process lives"
    assert leftovers.waiting() > 300
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.readlines()
    process.wait()
    process.stdout.close()
    leftovers.refresh()
    acknowledged = [line.strip() for line in lines]
    arrived = [body.decode() for body in bodies(engine)]
    assert len(arrived) == len(set(arrived))
    assert set(acknowledged) <= set(arrived)
    # What was written and not yet answered may have arrived too.
    assert len(arrived) <= len(acknowledged) + 3
    assert names(folder) == []
    assert leftovers.waiting() == 0


def test_an_heir_goes_on_where_the_dead_stopped_forwarding(engine, store, folder):
    segment = segment_of(folder, b"one", b"two", b"three")
    _, ends = segment.read(10_000)
    segment.forward(ends[0], 1)
    segment.abandon()
    Leftovers(folder, store).refresh()
    assert bodies(engine) == [b"two", b"three"]


def test_a_head_that_a_power_cut_made_older_costs_no_batch(engine, store, folder):
    segment = segment_of(folder, b"one", b"two")
    path = segment.path
    segment.abandon()
    data = bytearray(path.read_bytes())
    data[16:24] = data[8:16]
    path.write_bytes(data)
    Leftovers(folder, store).refresh()
    assert bodies(engine) == [b"one", b"two"]
    assert names(folder) == []


def test_two_heirs_at_once_forward_it_once(engine, store, folder):
    segment_of(folder, *(b"%d" % number for number in range(50))).abandon()
    heirs = [threading.Thread(target=Leftovers(folder, store).refresh) for _ in range(6)]
    for heir in heirs:
        heir.start()
    for heir in heirs:
        heir.join()
    assert bodies(engine) == [b"%d" % number for number in range(50)]


def test_a_full_inbox_takes_what_it_can_and_the_rest_later(engine, folder):
    segment_of(folder, *(b"%d" % number for number in range(8))).abandon()
    leftovers = Leftovers(folder, SqlInbox(engine, limit=5))
    leftovers.refresh()
    assert len(bodies(engine)) == 5
    with engine.execution_options(lamella_writing=True).begin() as connection:
        connection.execute(sa.delete(inbox))
    leftovers.refresh()
    assert bodies(engine) == [b"5", b"6", b"7"]
    assert names(folder) == []


@pytest.mark.parametrize("room", [0, 5_000])
@pytest.mark.parametrize("damage", ["torn", "flipped", "headless", "lost"])
def test_what_is_damaged_is_set_aside_and_all_that_is_sound_arrives(engine, store, folder, damage, room):
    segment = segment_of(folder, b"sound", b"also sound", b"broken", room=room)
    end = segment.end
    path = segment.path
    segment.abandon()
    data = bytearray(path.read_bytes())
    if damage == "torn":
        del data[end - 2 :]
    elif damage == "flipped":
        data[end - 1] ^= 1
    elif damage == "lost":
        data[end - len(framed(Accepted(NOW, b"broken"))) : end] = bytes(len(framed(Accepted(NOW, b"broken"))))
    else:
        data[0] ^= 1
    path.write_bytes(data)
    leftovers = Leftovers(folder, store)
    leftovers.refresh()
    assert bodies(engine) == [b"sound", b"also sound", *([b"broken"] if damage == "headless" else [])]
    assert names(folder) == [".damaged"]
    leftovers.refresh()
    assert names(folder) == [".damaged"], "it is left in peace"


@pytest.mark.parametrize("place", ["length", "check", "moment", "body"])
def test_a_batch_that_the_disk_damaged_costs_no_other(engine, store, folder, place):
    batches = [b'["%d"]' % number for number in range(5)]
    segment = segment_of(folder, *batches)
    path, frame = segment.path, len(framed(Accepted(NOW, batches[0])))
    begin = segment.end - 3 * frame
    segment.abandon()
    data = bytearray(path.read_bytes())
    data[begin + {"length": 1, "check": 5, "moment": 9, "body": 17}[place]] ^= 4
    path.write_bytes(data)
    Leftovers(folder, store).refresh()
    assert bodies(engine) == [each for each in batches if each != batches[2]]
    assert names(folder) == [".damaged"]


def test_what_was_refused_does_not_come_back_behind_a_shorter_batch(engine, store, folder, monkeypatch):
    segment = segment_of(folder, b'["kept"]')
    write = os.pwritev

    def failing(descriptor, buffers, at, flags=0):
        write(descriptor, buffers, at, flags)
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwritev", failing)
        with pytest.raises(OSError, match="Input/output"):
            segment.write([framed(Accepted(NOW, b'["refused %d"]' % number)) for number in range(3)])
    segment.write([framed(Accepted(NOW, b"[]"))])
    segment.abandon()
    Leftovers(folder, store).refresh()
    assert bodies(engine) == [b'["kept"]', b"[]"]
    assert names(folder) == []


@pytest.mark.parametrize("forwarded", [0, 7, 3_000, 10**6, 2**63, 2**64 - 1])
def test_a_head_that_says_what_cannot_be_costs_no_batch(engine, store, folder, forwarded):
    segment = segment_of(folder, b"one", b"two")
    path = segment.path
    segment.abandon()
    data = bytearray(path.read_bytes())
    data[8:16] = forwarded.to_bytes(8, "little")
    path.write_bytes(data)
    assert Leftovers(folder, store).waiting() > 0
    Leftovers(folder, store).refresh()
    assert bodies(engine) == [b"one", b"two"]
    assert names(folder) == []


def test_bytes_that_were_never_a_journal_are_set_aside(engine, store, folder):
    (folder / f"strange{SUFFIX}").write_bytes(bytes(range(256)) * 400)
    (folder / f"text{SUFFIX}").write_bytes(b"no journal")
    (folder / f"empty{SUFFIX}").write_bytes(b"")
    Leftovers(folder, store).refresh()
    assert bodies(engine) == []
    assert names(folder) == [".damaged", ".damaged"]


def test_a_file_of_another_version_is_left_to_that(engine, store, folder):
    segment = segment_of(folder, b"one")
    path = segment.path
    segment.abandon()
    data = bytearray(path.read_bytes())
    data[7:8] = b"2"
    path.write_bytes(data)
    with pytest.raises(StoreUnavailable, match=f"{path.name}.*another version"):
        Leftovers(folder, store).refresh()
    assert bodies(engine) == []
    assert path.read_bytes() == data


def test_a_file_that_is_out_of_reach_keeps_no_other_back(engine, store, folder):
    (folder / f"0-out-of-reach{SUFFIX}").mkdir()
    segment_of(folder, b"behind it").abandon()
    leftovers = Leftovers(folder, store)
    with pytest.raises(StoreUnavailable, match="0-out-of-reach"):
        leftovers.settle()
    assert bodies(engine) == [b"behind it"]
    assert leftovers.waiting() == 0


def test_a_file_whose_maker_was_killed_before_it_had_a_name_is_removed(store, folder):
    unfinished, fresh = folder / "1-1.new", folder / "2-2.new"
    for each in (unfinished, fresh):
        each.write_bytes(bytes(1_000))
    os.utime(unfinished, (0, 0))
    Leftovers(folder, store).refresh()
    assert list(folder.iterdir()) == [fresh]


def test_settle_waits_for_living_processes_and_inherits_from_dead_ones(engine, store, folder):
    segment_of(folder, b"dead").abandon()
    journal = DiskJournal(folder, store, FakeClock(NOW), limit_bytes=10**9)
    for number in range(20):
        journal.append(b"%d" % number)
    Leftovers(folder, store).settle()
    assert sorted(bodies(engine)) == sorted([b"dead", *(b"%d" % number for number in range(20))])
    journal.close()


def test_settle_says_when_something_does_not_arrive(store, folder, monkeypatch):
    monkeypatch.setattr(leftovers_module, "_PATIENCE_SECONDS", 0.1)
    held = segment_of(folder, b"its process lives and does not forward")
    with pytest.raises(StoreUnavailable, match=held.path.name):
        Leftovers(folder, store).settle()
    held.remove()


def test_a_file_that_is_out_of_reach_is_named(store, folder):
    (folder / f"loop{SUFFIX}").symlink_to(folder / f"loop{SUFFIX}")
    with pytest.raises(StoreUnavailable, match=f"loop{SUFFIX}"):
        Leftovers(folder, store).refresh()
    assert Leftovers(folder, store).waiting() == 0


def test_without_a_folder_there_is_nothing_to_do(store, tmp_path):
    leftovers = Leftovers(tmp_path / "none", store)
    leftovers.refresh()
    leftovers.settle()
    assert leftovers.waiting() == 0
