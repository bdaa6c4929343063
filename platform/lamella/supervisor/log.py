"""The logs of children, which write to them by themselves: moved aside by size, and few older ones kept."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

LOG_BYTES: Final = 20_000_000
KEPT: Final = 4
"""So many older files of each log."""
_CHUNK_BYTES: Final = 1_048_576


def older(path: Path, number: int = 1) -> Path:
    """Where the lines before those of `path` are: 1 is the newest of the older files."""
    return path.with_name(f"{path.name}.{number}")


def set_aside(path: Path, *, limit_bytes: int = LOG_BYTES) -> None:
    """Begin a new file where the log has more than `limit_bytes`; nobody may be writing to it."""
    if _size(path) > limit_bytes:
        _make_room(path)
        path.replace(older(path))


def rotate(path: Path, *, limit_bytes: int = LOG_BYTES) -> int:
    """The bytes that left the log for the newest older file: all, where it had more than `limit_bytes`; else 0.

    Its writer goes on in the same file, which it must have opened to append. The file is copied, then emptied: what is
    written in the instant between is lost. A process killed on the way loses nothing, it may leave lines in two files.
    Where the disk has no room for the copy the lines are dropped: the journal needs that room.
    """
    if _size(path) <= limit_bytes:
        return 0
    _make_room(path)
    with path.open("rb+", buffering=0) as log:
        try:
            _copy(log.fileno(), older(path))
        except OSError:
            older(path).unlink(missing_ok=True)
        gone = log.seek(0, os.SEEK_END)
        log.truncate(0)
    return gone


def newest(path: Path, since: int, most: int) -> bytes:
    """At most `most` of the last bytes that were logged from the position `since` on.

    One below 0 is in the newest older file, so far before its end. Empty where there is no file.
    """
    size = _size(path)
    begin = since if since <= size else 0
    found = _last(path, min(most, size - max(begin, 0)))
    return _last(older(path), min(most - len(found), max(-begin, 0))) + found


def _copy(source: int, target: Path) -> None:
    with target.open("wb", buffering=0) as copy:
        while chunk := os.read(source, _CHUNK_BYTES):
            while chunk:
                chunk = chunk[copy.write(chunk) :]


def _make_room(path: Path) -> None:
    for number in range(KEPT, 1, -1):
        with suppress(FileNotFoundError):
            older(path, number - 1).replace(older(path, number))


def _last(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - count))
            return log.read(count)
    except OSError:
        return b""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
