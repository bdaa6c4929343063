"""Exposures that wait to be sent, in a SQLite file: what was spooled survives a kill -9 of the process.

Each unit is told once for each phase and variant, by an id that follows from the three, so that several processes, and
a process that starts again, tell the service the same thing.
"""

import hashlib
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

FILE: Final = "exposures.db"
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS exposure (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    phase INTEGER NOT NULL, unit TEXT NOT NULL, variant TEXT NOT NULL,
    counted INTEGER NOT NULL, time TEXT NOT NULL, is_sent INTEGER NOT NULL DEFAULT 0,
    UNIQUE (phase, unit, variant)
)"""
_WAITING: Final = "CREATE INDEX IF NOT EXISTS waiting ON exposure (number) WHERE is_sent = 0"
_BY_UNIT: Final = "CREATE INDEX IF NOT EXISTS by_unit ON exposure (unit)"
_BUSY_SECONDS: Final = 5.0


class Told(NamedTuple):
    """One exposure of the spool, as POST /v1/exposures takes it but for its number."""

    number: int
    phase: int
    unit: str
    variant: str
    counted: bool
    time: str

    def document(self) -> dict[str, object]:
        """The exposure as JSON."""
        return {
            "exposure_id": exposure_id(self.phase, self.unit, self.variant),
            "unit": self.unit,
            "phase": self.phase,
            "variant": self.variant,
            "counted": self.counted,
            "time": self.time,
        }


def exposure_id(phase: int, unit: str, variant: str) -> str:
    """The id of the exposure of a unit to a variant: the same in every process."""
    text = f"{phase}\x1f{variant}\x1f{unit}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Spool:
    """The spool in `folder`, which is made where it is missing. Safe to share between threads, and between processes.

    At most `limit` exposures wait; more are dropped and counted. As many that were sent are remembered.
    """

    def __init__(self, folder: Path, *, limit: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._limit = limit
        self._lock = threading.Lock()
        self._seen: set[tuple[int, str, str]] = set()
        self._connection = sqlite3.connect(
            folder / FILE, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(_TABLE)
        self._connection.execute(_WAITING)
        self._connection.execute(_BY_UNIT)
        self._waiting = self._count()
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """How many exposures wait, as far as this process knows."""
        return self._waiting

    def put(self, phase: int, unit: str, variant: str, *, counted: bool, at: datetime) -> bool:
        """Whether the exposure is new, and now in the file.

        False for a repeat, and, counted as dropped, where the spool is full or its file cannot be written: what the
        product shows must not depend on it.
        """
        key = (phase, unit, variant)
        with self._lock:
            if key in self._seen:
                return False
            if self._waiting >= self._limit:
                self.dropped += 1
                return False
            if len(self._seen) >= self._limit:
                self._seen.clear()
            try:
                made = self._connection.execute(
                    "INSERT OR IGNORE INTO exposure (phase, unit, variant, counted, time) VALUES (?, ?, ?, ?, ?)",
                    (*key, counted, at.astimezone(UTC).isoformat()),
                ).rowcount
            except sqlite3.Error:
                self.dropped += 1
                return False
            self._seen.add(key)
            self._waiting += made
            return made == 1

    def next(self, count: int) -> Sequence[Told]:
        """The oldest exposures that wait."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT number, phase, unit, variant, counted, time FROM exposure WHERE is_sent = 0 "
                "ORDER BY number LIMIT ?",
                (count,),
            ).fetchall()
            if len(rows) < count:
                # Another process may have sent some of them.
                self._waiting = len(rows)
        return [
            Told(number, phase, unit, variant, bool(counted), time)
            for number, phase, unit, variant, counted, time in rows
        ]

    def sent(self, told: Sequence[Told]) -> None:
        """From now on these wait no more; the oldest that were sent before are forgotten."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "UPDATE exposure SET is_sent = 1 WHERE number = ?", [(one.number,) for one in told]
            )
            self._connection.execute(
                "DELETE FROM exposure WHERE is_sent = 1 AND number <= (SELECT max(number) FROM exposure) - ?",
                (2 * self._limit,),
            )
            self._connection.execute("COMMIT")
            self._waiting = self._count()

    def variants(self, unit: str, phases: Sequence[int]) -> Mapping[int, str]:
        """The variant that the unit met first in each of these phases, as far as the spool goes back."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT phase, variant FROM exposure WHERE unit = ? AND counted = 1 ORDER BY number DESC", (unit,)
            ).fetchall()
        return {phase: variant for phase, variant in rows if phase in phases}

    def close(self) -> None:
        """Closes the file; what waits stays in it."""
        with self._lock:
            self._connection.close()

    def _count(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM exposure WHERE is_sent = 0").fetchone()[0])
