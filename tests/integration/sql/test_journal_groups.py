"""Threads that append to the journal at one moment are written as one group."""

import errno
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from journals import bodies, journals
from lamella.adapters.disk.segment import Segment
from lamella.errors import Overloaded, StoreUnavailable


@pytest.fixture
def make(engine, tmp_path):
    with journals(engine, tmp_path / "journal") as make:
        yield make


class Interrupted:
    """A lock that cannot be taken: the thread that waits for it is interrupted."""

    def __enter__(self):
        raise KeyboardInterrupt

    def __exit__(self, *_):
        pass


def together(journal, batches):
    """The results of threads that append at one moment, as one group."""
    with ThreadPoolExecutor(len(batches)) as pool:
        with journal._writing:
            waiting = [pool.submit(journal.append, batch) for batch in batches]
            pause = threading.Event()
            while len(journal._group.frames) < len(batches) and not any(each.done() for each in waiting):
                pause.wait(0.001)
        return [each.exception(60) for each in waiting]


def test_a_group_that_the_disk_does_not_take_is_refused_to_each_of_its_threads_and_leaves_no_trace(
    engine, make, monkeypatch
):
    batches = [b"%d" % number * 30 for number in range(5)]
    journal = make(limit=5, limit_bytes=5 * (30 + 16))
    with monkeypatch.context() as patched:
        patched.setattr(Segment, "write", fail_with_an_error)
        faults = together(journal, batches)
    assert {type(each) for each in faults} == {StoreUnavailable}
    assert all("Input/output error" in str(each) for each in faults)
    assert journal.flush(0.1), "what was refused does not wait"
    assert together(journal, batches) == [None] * 5
    assert journal.flush(60)
    assert sorted(bodies(engine)) == batches


def fail_with_an_error(_segment, _frames):
    raise OSError(errno.EIO, "Input/output error")


def test_a_thread_that_is_interrupted_before_its_turn_keeps_nobody_waiting(engine, make):
    journal = make(limit=1)
    writing, journal._writing = journal._writing, Interrupted()
    with pytest.raises(KeyboardInterrupt):
        journal.append(b"interrupted")
    journal._writing = writing
    following = threading.Thread(target=journal.append, args=(b"next",), daemon=True)
    following.start()
    following.join(60)
    assert not following.is_alive()
    assert journal.flush(60)
    assert bodies(engine) == [b"next"]


def test_what_many_threads_append_at_once_reaches_the_inbox_once(engine, make):
    journal = make()
    batches = [f"batch {number}".encode() for number in range(400)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(journal.append, batches))
    assert journal.flush(60)
    assert sorted(bodies(engine)) == sorted(batches)


def test_batches_that_come_together_are_kept_all_or_none(engine, make, monkeypatch):
    writes, write = [], Segment.write
    monkeypatch.setattr(Segment, "write", lambda segment, frames: (writes.append(len(frames)), write(segment, frames)))
    journal = make(limit=5, limit_bytes=5 * (1 + 16))
    journal.append_all([b"1", b"2", b"3"])
    with pytest.raises(Overloaded, match="the inbox"):
        journal.append_all([b"4", b"5", b"6"])
    with pytest.raises(Overloaded, match="the journal"):
        journal.append_all([b"4", b"55"])
    journal.append_all([b"4", b"5"])
    assert journal.flush(60)
    assert bodies(engine) == [b"1", b"2", b"3", b"4", b"5"]
    assert writes == [3, 2]
