"""A journal on this machine's disk: an answer waits for one synchronous write, a thread forwards to the inbox.

Requests that arrive while a group is written become the next group (group commit). The one that comes first writes for
all of them, so no request waits for another thread to wake up. While the store is away, or its inbox full, batches stay
in the file; what a killed process left behind, another one forwards (see `lamella.adapters.disk.leftovers`).

To make a file takes longer than an answer may. So the thread that forwards makes the next one ahead of time, a spare
that the writer takes over.
"""

import os
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from lamella.adapters.disk.segment import Segment, framed
from lamella.errors import Overloaded, StoreUnavailable
from lamella.services.ports import Clock
from lamella.services.record_ports import Accepted, Inbox

SEGMENT_BYTES: Final = 16 * 1024 * 1024
"""A file has this length, and is followed by another when it is full; that one is made when it is half full."""
READ_BYTES: Final = 1024 * 1024
"""What one transaction forwards at most."""
PAUSE_SECONDS: Final = 0.5
"""Between two transactions: what comes meanwhile goes together, and most of what one costs does not depend on it.

No pause where as much as one of them takes waits already.
"""
_FIRST_RETRY_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 2.0
_FREE_FILES: Final = 4
"""A spare is made where the disk has room for so many files: what a fuller one has left is for who needs it now."""
_PATIENCE_SECONDS: Final = 5.0


@dataclass(slots=True, eq=False)
class _Group:
    """Frames that are written together. `fault` says why they were not, once the turn of those who joined comes.

    Each waits for a lock of its own: an event for all of them would cost more, and wake them to wait for its lock.
    """

    frames: list[bytes] = field(default_factory=list)
    size: int = 0
    turns: list[threading.Lock] = field(default_factory=list)
    fault: str = "it was not written"


_journals: Final["weakref.WeakSet[DiskJournal]"] = weakref.WeakSet()


class DiskJournal:
    """Keeps batches in `folder` until they are in the inbox. Its first append starts the thread that forwards.

    Refuses a batch where those here and those of the inbox together reach the inbox's limit, or those here
    `limit_bytes`. After a fork the child starts afresh: its parent's files stay its parent's.
    """

    def __init__(self, folder: Path, inbox: Inbox, clock: Clock, *, limit_bytes: int) -> None:
        self._folder, self._inbox, self._clock, self._limit_bytes = folder, inbox, clock, limit_bytes
        self.begin()
        _journals.add(self)

    def begin(self) -> None:
        """Forgets files and thread: they belong to the parent of a forked process."""
        self._lock, self._writing, self._making = threading.Lock(), threading.Lock(), threading.Lock()
        self._moved = threading.Condition(self._lock)
        self._group = _Group()
        self._batches, self._bytes = 0, 0  # that were appended, or are about to be, and are not in the inbox
        self._segments: deque[Segment] = deque()
        self._spare: Segment | None = None
        self._prepared_at: Segment | None = None  # the file that was written when a spare was last made, or tried
        self._in_inbox = 0
        self._work, self._hurry = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def append(self, batch: bytes) -> None:
        """Returns once `batch` is durable.

        Raises Overloaded when too much waits, StoreUnavailable when the disk does not take it: nothing was kept then.
        """
        self.append_all((batch,))

    def append_all(self, batches: Sequence[bytes]) -> None:
        """Returns once all of `batches`, at least one, are durable. Raises as `append`; none of them was kept then."""
        now = self._clock.now()
        frames = [framed(Accepted(now, batch)) for batch in batches]
        size = sum(map(len, frames))
        with self._lock:
            self._check_room(len(frames), size)
            group = self._group
            turn = _taken() if group.frames else None
            if turn is not None:
                group.turns.append(turn)
            group.frames.extend(frames)
            group.size += size
            self._batches += len(frames)
            self._bytes += size
        if turn is None:
            self._write(group)
        else:
            turn.acquire()
        if group.fault:
            raise StoreUnavailable(group.fault)

    def flush(self, timeout_seconds: float = _PATIENCE_SECONDS) -> bool:
        """Whether everything that was appended is in the inbox; waits for it for so long."""
        self._work.set()
        self._hurry.set()
        with self._moved:
            return self._moved.wait_for(lambda: not self._batches, timeout_seconds)

    def close(self) -> None:
        """Forwards what waits and removes the files; what the store does not take stays, for another process."""
        self.flush()
        with self._writing:
            thread, self._thread = self._thread, None
            self._work.set()
            self._hurry.set()
            if thread is not None:
                thread.join()
            self._remove_spare()
            with self._lock:
                while self._segments:
                    self._let_go(self._segments.popleft())

    def _check_room(self, count: int, size: int) -> None:
        is_long = self._in_inbox + self._batches + count > self._inbox.limit
        if is_long or self._bytes + size > self._limit_bytes:
            self._work.set()  # the inbox may be shorter by now
            raise Overloaded(
                f"the inbox ({self._inbox.limit} batches)" if is_long else f"the journal ({self._limit_bytes} bytes)"
            )

    def _write(self, group: _Group) -> None:
        """Writes the group that this thread began, with all who joined it until its turn came."""
        try:
            with self._writing:
                with self._lock:
                    self._group = _Group()
                self._store(group.frames)
                group.fault = ""
        except OSError as error:
            group.fault = (
                f"the journal in {self._folder} takes nothing ({error.strerror or error}); "
                "free its disk, or set LAMELLA_JOURNAL=store"
            )
        finally:
            if group.fault:
                self._refuse(group)
            if not self._work.is_set():
                self._work.set()
            # Last of all: those who wake would wait for the locks that are taken above.
            for turn in group.turns:
                turn.release()

    def _refuse(self, group: _Group) -> None:
        """Forgets a group that was not written."""
        with self._moved:
            if self._group is group:  # interrupted before its turn: nobody may join it any more
                self._group = _Group()
            self._batches -= len(group.frames)
            self._bytes -= group.size
            self._moved.notify_all()

    def _store(self, frames: Sequence[bytes]) -> None:
        """Returns once the frames are on disk; a spare gives its room up for them. Raises OSError."""
        try:
            self._segment().write(frames)
        except OSError:
            if not self._remove_spare():
                raise
            self._segment().write(frames)

    def _segment(self) -> Segment:
        """The file to write, another one where there is none or the last is long; and the thread runs."""
        if not self._segments or self._segments[-1].end >= SEGMENT_BYTES:
            segment = self._next()
            with self._lock:
                self._segments.append(segment)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lamella-journal", daemon=True)
            self._thread.start()
        return self._segments[-1]

    def _next(self) -> Segment:
        """The spare, or where there is none a file made now.

        A spare that the thread is about to finish is waited for: files are written in the order of their names.
        """
        with self._making:
            spare, self._spare = self._spare, None
            if spare is not None:
                return spare
            self._remove_forwarded(keep=0)  # a disk that is nearly full has room for one of them alone
            return Segment.make(self._folder, room=SEGMENT_BYTES)

    def _prepare(self) -> None:
        """Makes a spare where the file that is written is half full, and tries that once for each file.

        Where it fails there is none: who needs the next file makes it, and says why that fails.
        """
        with self._making, suppress(OSError):
            with self._lock:
                written = self._segments[-1] if self._segments else None
            if written is None or written.end < SEGMENT_BYTES // 2 or written is self._prepared_at:
                return
            self._prepared_at = written
            if self._spare is None and _free_bytes(self._folder) >= _FREE_FILES * SEGMENT_BYTES:
                self._spare = Segment.make(self._folder, room=SEGMENT_BYTES, gently=True)

    def _remove_spare(self) -> bool:
        """Whether there was a spare; its room on the disk is free now."""
        with self._making:
            spare, self._spare = self._spare, None
            if spare is not None:
                spare.remove()
            return spare is not None

    def _run(self) -> None:
        log, retry, me = structlog.get_logger("lamella.journal"), _FIRST_RETRY_SECONDS, threading.current_thread()
        while True:
            self._work.wait()
            self._work.clear()  # before the look at `_thread`: close() takes the thread away first, then sets this
            if self._thread is not me:
                return
            self._prepare()
            try:
                is_done, is_behind = self._forward()
                pause, retry = 0.0 if is_behind else PAUSE_SECONDS, _FIRST_RETRY_SECONDS
            except Exception as error:  # noqa: BLE001 - whatever it was, the batches are durable and tried again
                if retry == _FIRST_RETRY_SECONDS:
                    log.warning("the store takes nothing; batches wait on disk", error=str(error))
                is_done, pause, retry = False, retry, min(2 * retry, _LONGEST_PAUSE_SECONDS)
            if not is_done:
                self._work.set()
            if self._hurry.wait(pause):
                self._hurry.clear()

    def _forward(self) -> tuple[bool, bool]:
        """Puts the oldest batches into the inbox. Raises StoreUnavailable.

        Says whether none are left, and whether some were taken and as many as one transaction takes wait behind them.
        """
        oldest = self._oldest()
        batches, ends = oldest.read(READ_BYTES) if oldest is not None else ((), ())
        if oldest is not None and not batches:
            return self._give_up(oldest), False
        put = self._inbox.put(batches)  # none, where a full inbox has to be looked at again
        with self._moved:
            if oldest is not None and put.taken:
                self._bytes -= ends[put.taken - 1] - oldest.forwarded
                self._batches -= put.taken
                oldest.forward(ends[put.taken - 1], put.taken)
            self._in_inbox = put.held
            self._moved.notify_all()
            is_behind = bool(put.taken) and self._bytes >= READ_BYTES
            return not any(each.waiting for each in self._segments), is_behind

    def _give_up(self, damaged: Segment) -> bool:
        """Leaves a file that cannot be read on to the heirs, who forward what is sound; whether no other waits."""
        # Whoever closes the journal holds this lock and waits for the thread.
        if not self._writing.acquire(timeout=_LONGEST_PAUSE_SECONDS):
            return False
        try:
            with self._moved:
                self._segments.remove(damaged)
                self._let_go(damaged)
                self._moved.notify_all()
                is_done = not any(each.waiting for each in self._segments)
        finally:
            self._writing.release()
        structlog.get_logger("lamella.journal").error("damaged; left to be set aside", file=str(damaged.path))
        return is_done

    def _oldest(self) -> Segment | None:
        """The first file with batches that wait; those before it are removed but for the one that is written."""
        self._remove_forwarded(keep=1)
        with self._lock:
            return self._segments[0] if self._segments and self._segments[0].waiting else None

    def _remove_forwarded(self, *, keep: int) -> None:
        """Removes the first files, as long as nothing in them waits, and leaves the last `keep` alone."""
        done = []
        with self._lock:
            while len(self._segments) > keep and not self._segments[0].waiting:
                done.append(self._segments.popleft())
        for each in done:  # not under the lock, which every request takes: the disk may be busy
            each.remove()

    def _let_go(self, segment: Segment) -> None:
        """Removes a file, or leaves it to others where batches wait in it."""
        self._batches -= segment.waiting
        self._bytes -= segment.bytes_waiting
        segment.abandon() if segment.waiting else segment.remove()


def _free_bytes(folder: Path) -> int:
    """What the disk of the folder has left. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _taken() -> threading.Lock:
    """A lock that its next taker has to wait for."""
    lock = threading.Lock()
    lock.acquire()
    return lock


def _begin_again() -> None:
    for journal in list(_journals):
        journal.begin()


os.register_at_fork(after_in_child=_begin_again)
