"""What processes that have ended left in the folder of the journal: forwarded by whoever gets the lock on the file."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from lamella.adapters.disk.journal import READ_BYTES
from lamella.adapters.disk.segment import NEW, SUFFIX, Segment, progress
from lamella.errors import StoreUnavailable
from lamella.services.record_ports import Inbox

_PATIENCE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.02
_MAKING_SECONDS: Final = 60.0
"""A file that has no name after so long will get none."""


class Leftovers:
    """The files in `folder`, of every process of this machine."""

    def __init__(self, folder: Path, inbox: Inbox) -> None:
        self._folder, self._inbox = folder, inbox

    def refresh(self) -> None:
        """Puts what ended processes left into the inbox, as far as there is room, and removes their files.

        A file of which something cannot be read is set aside after that, and logged: a power cut tears what nobody was
        answered for. Raises StoreUnavailable, for a file that is out of reach after all the others.
        """
        fault: StoreUnavailable | None = None
        for path in self._paths():
            try:
                segment = Segment.left(path)
                if segment is not None:
                    self._inherit(segment)
            except OSError as error:
                fault = StoreUnavailable(f"the journal {path} cannot be read ({error.strerror or error})")
        self._clear()
        if fault is not None:
            raise fault

    def waiting(self) -> int:
        """The bytes that are durable on this machine and not in the inbox."""
        found = filter(None, map(progress, self._paths()))
        return sum(max(0, each.end - each.forwarded) for each in found)

    def settle(self) -> None:
        """Returns once everything that was accepted before the call is in the inbox.

        Raises StoreUnavailable where that takes more than ten seconds.
        """
        ends = {path: found.end for path in self._paths() if (found := progress(path)) is not None}
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            self.refresh()
            ends = {path: end for path, end in ends.items() if _is_short(path, end)}
            if not ends:
                return
            if time.monotonic() > deadline:
                names = ", ".join(sorted(each.name for each in ends))
                raise StoreUnavailable(f"what was accepted is not in the inbox yet: {names}; see the web log")
            time.sleep(_LOOK_SECONDS)

    def _paths(self) -> Iterator[Path]:
        return iter(sorted(self._folder.glob(f"*{SUFFIX}")))

    def _clear(self) -> None:
        """Removes files whose makers were killed before they gave them their name."""
        for path in self._folder.glob(f"*{NEW}"):
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - _MAKING_SECONDS:
                    path.unlink()

    def _inherit(self, segment: Segment) -> None:
        is_kept, is_damaged = True, False
        try:
            while True:
                batches, ends = segment.read(READ_BYTES)
                if not batches:
                    is_damaged = is_damaged or segment.is_damaged()
                    if is_damaged and segment.skip():
                        continue
                    break
                put = self._inbox.put(batches)
                if put.taken:
                    segment.forward(ends[put.taken - 1], put.taken)
                if put.taken < len(batches):
                    return
            is_kept = False
            if is_damaged:
                aside = segment.set_aside()
                structlog.get_logger("lamella.journal").error("damaged; set aside", file=str(aside))
            else:
                segment.remove()
        finally:
            if is_kept:
                segment.abandon()


def _is_short(path: Path, end: int) -> bool:
    found = progress(path)
    return found is not None and found.forwarded < end
