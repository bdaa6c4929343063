"""Writers of one SQLite file wait for each other in a queue of the operating system.

By itself SQLite asks again and again with growing pauses whether the file is free: under load a writer is passed over
for up to a second. A lock on a file beside the store wakes the next one at once. It only orders the writers of lamella;
what keeps the store sound is SQLite's own lock, which they take as before.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa

_SUFFIX: Final = "-queue"
_MODE: Final = 0o600


@contextmanager
def turn(engine: sa.Engine) -> Iterator[None]:
    """Nothing, once it is this thread's turn to write; a process that dies gives its turn back.

    PostgreSQL orders writers itself. Where the folder takes no further file, SQLite's own waiting has to do.
    """
    descriptor = _open(engine.url)
    if descriptor is None:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # Said, not left to the close: a child that was forked meanwhile would keep the lock.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _open(url: sa.URL) -> int | None:
    """The file beside the store; None where the store is no file of ours."""
    path = url.database
    if url.get_backend_name() != "sqlite" or not path or path.startswith((":", "file:")):
        return None
    try:
        return os.open(path + _SUFFIX, os.O_RDWR | os.O_CREAT, _MODE)
    except OSError:
        return None
