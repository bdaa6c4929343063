"""The data folder of one installation: private, held by one supervisor at a time."""

import errno
import fcntl
import os
from pathlib import Path
from typing import IO, Final

from lamella.errors import Conflict, InvalidSettings
from lamella.supervisor.log import set_aside

_LOCK: Final = "up.pid"


class DataFolder:
    """The folder and the lock on it; the kernel lets go of the lock when its holder ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    def acquire(self) -> None:
        """Make the folder (0700) and take its lock.

        Raises InvalidSettings where it cannot be used, Conflict with the pid of the supervisor that holds it.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.path / "logs").mkdir(mode=0o700, exist_ok=True)
            lock = (self.path / _LOCK).open("a+", encoding="utf-8")
        except OSError as error:
            raise InvalidSettings(
                [f"LAMELLA_DATA_DIR={str(self.path)!r}: {_reason(error)}; choose a folder that you may write"]
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = self.holder()
            lock.close()
            raise Conflict(
                f"{self.path} is in use by `lamella up` with pid {holder}; stop it or choose another --data-dir"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def release(self) -> None:
        """Let go of the lock; nothing where it is not held."""
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    def holder(self) -> str:
        """The pid that the lock's holder wrote down, or "unknown"."""
        try:
            return (self.path / _LOCK).read_text(encoding="utf-8").strip() or "unknown"
        except OSError:
            return "unknown"

    def log(self, name: str) -> Path:
        """The log of a child that does not run; one that has grown large is moved aside first."""
        path = self.path / "logs" / f"{name}.log"
        set_aside(path)
        return path


def _reason(error: OSError) -> str:
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return "is not a folder"
    return (error.strerror or str(error)).lower()
