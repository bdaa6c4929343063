"""What units have read lately: from the record, through a cache, never from the caller alone."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from lamella.services.model_ports import HistoryStore

LENGTH: Final = 50
"""How many reads a history holds."""

CAPACITY: Final = 50_000
KEEP_SECONDS: Final = 10.0


class NoHistories:
    """Nobody has read anything: the null twin of the store."""

    def last_reads(self, unit: str, *, limit: int) -> Sequence[str]:  # noqa: ARG002 - the port has it
        """Nothing, for every unit."""
        return ()


class Histories:
    """The last reads of each unit, at most `keep_seconds` older than the record. Safe from any thread.

    Up to `capacity` units stay in memory; the one that was not asked for longest leaves.
    """

    def __init__(
        self,
        store: HistoryStore,
        *,
        capacity: int = CAPACITY,
        keep_seconds: float = KEEP_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._capacity, self._keep_seconds, self._monotonic = store, capacity, keep_seconds, monotonic
        self._known: OrderedDict[str, tuple[float, tuple[str, ...]]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, unit: str) -> tuple[str, ...]:
        """The last LENGTH items that `unit` read or clicked, oldest first. Raises what the store raises."""
        now = self._monotonic()
        found = self._known.get(unit)
        if found is not None and now < found[0]:
            return found[1]
        reads = tuple(self._store.last_reads(unit, limit=LENGTH))
        with self._lock:
            self._known[unit] = now + self._keep_seconds, reads
            self._known.move_to_end(unit)
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
        return reads
