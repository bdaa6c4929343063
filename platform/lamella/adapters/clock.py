"""The time: the machine's own, or one that a simulation moves for all processes at once."""

import mmap
import os
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from lamella.errors import InvalidSettings

_SIZE: Final = 8
_SECONDS: Final = struct.Struct("<d")


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        return datetime.now(UTC)


class FileClock:
    """The time that a file holds: 8 bytes, a little-endian float64 of POSIX seconds, read anew at every call.

    The file is mapped into memory, so that a call costs no system call. Raises InvalidSettings if there is no such
    file, or one of another size.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), _SIZE, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise InvalidSettings([f"LAMELLA_CLOCK_FILE={str(path)!r}: {error}; write it with set_clock"]) from None

    def now(self) -> datetime:
        """The moment that the file holds, aware, in UTC."""
        (seconds,) = _SECONDS.unpack(self._map[:_SIZE])
        return datetime.fromtimestamp(seconds, UTC)


def set_clock(path: Path, moment: datetime) -> None:
    """Sets the time of every FileClock over `path`; makes the file if it is not there.

    The eight bytes are written in one call and in place, so that no reader sees half of them or an old file.
    """
    content = _SECONDS.pack(moment.timestamp())
    try:
        descriptor = os.open(path, os.O_WRONLY)
    except FileNotFoundError:
        new = path.with_name(f"{path.name}.{os.getpid()}")
        new.write_bytes(content)
        new.replace(path)
        return
    try:
        os.pwrite(descriptor, content, 0)
    finally:
        os.close(descriptor)
