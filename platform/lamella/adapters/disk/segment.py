"""One file of batches that are durable and not yet in the store, held by one process.

A head (a mark, how far the file was forwarded, where its last batch ends), then frames: the length of the batch, the
CRC-32 of moment and batch, the moment in microseconds since 1970, the batch. The rest is zeros, written when the file
is made: a file that grew with each write would have to flush its length each time. A frame that was torn by a power
cut fails its check, and nobody was answered for it; one that the disk damaged fails it too, and costs only itself. The
process that writes the file holds a lock on it, which the kernel takes away however the process ends: who gets the lock
may forward what is left.
"""

import fcntl
import os
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple, Self

from lamella.services.record_ports import Accepted

SUFFIX: Final = ".journal"
NEW: Final = ".new"
_OURS: Final = b"lamella"
_MARK: Final = _OURS + b"1"
_HEAD: Final = struct.Struct("<8sQQ")
_PLACE: Final = struct.Struct("<Q")
_FORWARDED: Final = 8
_END: Final = 16
_ZEROS: Final = bytes(256 * 1024)
_FRAME: Final = struct.Struct("<IIq")
_LENGTH: Final = 4
_MOMENTS: Final = range(10**15, 4 * 10**15)
"""When a batch can have come, in microseconds: from 2001 to 2096."""
# Linux writes and flushes in one call; each call gives the GIL away and has to get it back.
_FLUSHED: Final[int | None] = getattr(os, "RWF_DSYNC", None)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO: Final = timedelta(microseconds=1)


class Progress(NamedTuple):
    """How far a file was forwarded, and where its last batch ends, in bytes."""

    forwarded: int
    end: int


def framed(batch: Accepted) -> bytes:
    """The batch as it stands in a file."""
    micros = (batch.received_at - _EPOCH) // _MICRO
    return _FRAME.pack(len(batch.body), _check(micros, batch.body), micros) + batch.body


class Segment:
    """A file whose lock this process holds: what is before `forwarded` is in the store, nothing stands beyond `end`.

    One thread may write while another reads and forwards.
    """

    def __init__(self, path: Path, descriptor: int, *, forwarded: int, end: int) -> None:
        self.path, self.forwarded, self.end = path, forwarded, end
        self._descriptor = descriptor
        self._written, self._taken = 0, 0

    @classmethod
    def make(cls, folder: Path, *, room: int = 0, gently: bool = False) -> Self:
        """A new file with room for so many bytes in `folder`, which is made where it is missing. Raises OSError.

        `gently` takes longer, and lets others write meanwhile: they wait for a piece of it and not for the whole.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{time.time_ns():x}-{os.getpid()}{SUFFIX}"
        # Nobody sees the file before it is locked: it would look like one whose process died.
        hidden = path.with_suffix(NEW)
        descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.pwrite(descriptor, _HEAD.pack(_MARK, _HEAD.size, _HEAD.size), 0)
            for at in range(_HEAD.size, room, len(_ZEROS)):
                if gently:
                    _write_durably(descriptor, _ZEROS[: room - at], at)
                else:
                    os.pwrite(descriptor, _ZEROS[: room - at], at)
            os.fsync(descriptor)
            hidden.rename(path)
            _sync(folder)
        except BaseException:
            os.close(descriptor)
            hidden.unlink(missing_ok=True)
            raise
        return cls(path, descriptor, forwarded=_HEAD.size, end=_HEAD.size)

    @classmethod
    def left(cls, path: Path) -> Self | None:
        """The file of a process that has ended; None where its process lives, or it is gone.

        Raises OSError, also for a file of another version, which alone can read it.
        """
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        try:
            status = os.fstat(descriptor)
            _require_own_version(descriptor)
            forwarded = _progress(descriptor).forwarded
        except OSError:
            os.close(descriptor)
            raise
        if status.st_nlink == 0:  # another heir was faster
            os.close(descriptor)
            return None
        # The head may be older than the last batches: as far as there are sound ones they count.
        return cls(path, descriptor, forwarded=forwarded, end=status.st_size)

    @property
    def waiting(self) -> int:
        """How many batches were written here and not forwarded; those that were found in the file do not count."""
        return self._written - self._taken

    @property
    def bytes_waiting(self) -> int:
        """What is durable here and not in the store; with zeros at the end, where the file was found."""
        return self.end - self.forwarded

    def write(self, frames: Sequence[bytes]) -> None:
        """Returns once the frames are on disk. Raises OSError, and then they do not count."""
        data = b"".join(frames)
        try:
            _write_durably(self._descriptor, data, self.end)
        except OSError:
            with suppress(OSError):  # nothing of them may look like a batch behind a shorter one
                os.pwrite(self._descriptor, bytes(len(data)), self.end)
            raise
        self.end += len(data)
        self._written += len(frames)
        with suppress(OSError):  # a hint, and the frames are on disk
            os.pwrite(self._descriptor, _PLACE.pack(self.end), _END)

    def read(self, limit: int) -> tuple[Sequence[Accepted], Sequence[int]]:
        """The oldest batches that wait, of up to `limit` bytes but at least one, and where each of them ends."""
        least = _FRAME.size
        head = os.pread(self._descriptor, least, self.forwarded)
        if len(head) == least:
            least += int(_FRAME.unpack(head)[0])
        data = os.pread(self._descriptor, min(self.bytes_waiting, max(limit, least)), self.forwarded)
        found = list(_frames(data))
        return [batch for batch, _ in found], [self.forwarded + end for _, end in found]

    def is_damaged(self) -> bool:
        """Whether something that is no sound batch stands where the next one would."""
        rest = os.pread(self._descriptor, _FRAME.size, self.forwarded)
        return any(rest) or _progress(self._descriptor).end > self.forwarded

    def skip(self) -> bool:
        """Goes on to the next sound batch behind one that cannot be read; whether there is one."""
        data = os.pread(self._descriptor, self.bytes_waiting, self.forwarded).rstrip(b"\0")
        # Batches are JSON and hold no zero; the fourth byte of a frame is one, the highest of its length.
        at = data.find(b"\0", _LENGTH)
        while at >= 0:
            begin = at - _LENGTH + 1
            if _may_begin(data, begin) and next(_frames(data, begin), None) is not None:
                self.forwarded += begin
                return True
            at = data.find(b"\0", at + 1)
        return False

    def forward(self, end: int, count: int) -> None:
        """Notes that `count` batches more, up to `end`, are in the store.

        In the file it is a hint, neither flushed nor insisted on: what an heir forwards again changes nothing.
        """
        self.forwarded = end
        self._taken += count
        with suppress(OSError):
            os.pwrite(self._descriptor, _PLACE.pack(end), _FORWARDED)

    def remove(self) -> None:
        """Deletes the file and lets go of it."""
        self.path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def set_aside(self) -> Path:
        """Where the file is now, for a person to look at: some of it cannot be read."""
        aside = self.path.with_suffix(".damaged")
        self.path.rename(aside)
        os.close(self._descriptor)
        return aside

    def abandon(self) -> None:
        """Lets go of the file and leaves it to others."""
        os.close(self._descriptor)


def progress(path: Path) -> Progress | None:
    """The progress of a file, whoever holds it; None where it is gone or out of reach."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return _progress(descriptor)
        finally:
            os.close(descriptor)
    return None


def _write_durably(descriptor: int, data: bytes, at: int) -> None:
    written = 0
    while written < len(data):
        rest = data[written:] if written else data
        if _FLUSHED is None:
            written += os.pwrite(descriptor, rest, at + written)
        else:
            written += os.pwritev(descriptor, [rest], at + written, _FLUSHED)
    if _FLUSHED is None:
        os.fsync(descriptor)


def _progress(descriptor: int) -> Progress:
    """What the head says; nothing where it is none of ours, and nothing forwarded where it says what cannot be."""
    head = os.pread(descriptor, _HEAD.size, 0)
    if len(head) < _HEAD.size or not head.startswith(_MARK):
        return Progress(0, 0)
    _, forwarded, end = _HEAD.unpack(head)
    is_possible = _HEAD.size <= forwarded <= min(end, os.fstat(descriptor).st_size)
    return Progress(forwarded if is_possible else _HEAD.size, end)


def _require_own_version(descriptor: int) -> None:
    """Returns if the head has our mark, or none. Raises OSError where it has that of another version."""
    mark = os.pread(descriptor, len(_MARK), 0)
    if mark.startswith(_OURS) and mark != _MARK and mark[-1:].isdigit():
        raise OSError("another version of lamella wrote it; start that one once more")


def _frames(data: bytes, at: int = 0) -> Iterator[tuple[Accepted, int]]:
    """The whole, sound batches from `at` on, and where each ends."""
    while at + _FRAME.size <= len(data):
        length, check, micros = _FRAME.unpack_from(data, at)
        end = at + _FRAME.size + length
        body = data[at + _FRAME.size : end]
        if end > len(data) or check != _check(micros, body):
            return
        yield Accepted(_EPOCH + micros * _MICRO, body), end
        at = end


def _may_begin(data: bytes, at: int) -> bool:
    """Whether a frame may stand at `at`: looked at before its check is made, which takes long where none does."""
    return at + _FRAME.size <= len(data) and _FRAME.unpack_from(data, at)[2] in _MOMENTS


def _check(micros: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(micros.to_bytes(8, "little", signed=True)))


def _sync(folder: Path) -> None:
    """Makes the names in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
