"""What requests count and time, summed in memory before it reaches the metrics."""

import math
import threading
from bisect import bisect_left
from collections import Counter as Multiset
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter, Histogram

_MOST: Final = 10_000
"""So many wait at most; the next one brings them to the metrics itself."""


class Timings(Histogram):
    """A histogram that takes many observations together."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """The same as `observe` for each of them, up to the rounding of their sum."""
        self._sum.inc(math.fsum(amounts))
        for place, times in Multiset(bisect_left(self._upper_bounds, each) for each in amounts).items():
            self._buckets[place].inc(times)


class Tallies:
    """Counts and times that wait for `flush`. Safe from any thread, and no thread waits for another.

    A metric that processes share is a number in a file, written under a lock of the whole process: a request has
    about eight of them.
    """

    def __init__(self) -> None:
        self._counted: deque[Counter] = deque()
        self._added: deque[tuple[Counter, int]] = deque()
        self._timed: deque[tuple[Timings, float]] = deque()
        self._lock = threading.Lock()

    def count(self, *counters: Counter) -> None:
        """Adds one to each."""
        self._counted.extend(counters)
        if len(self._counted) > _MOST:
            self.flush()

    def add(self, counter: Counter, amount: int) -> None:
        """Adds `amount`."""
        if amount:
            self._added.append((counter, amount))
            if len(self._added) > _MOST:
                self.flush()

    def time(self, timings: Timings, seconds: float) -> None:
        """Adds an observation."""
        self._timed.append((timings, seconds))
        if len(self._timed) > _MOST:
            self.flush()

    def flush(self) -> None:
        """Brings everything that was counted before to the metrics."""
        with self._lock:
            counted = [self._counted.popleft() for _ in range(len(self._counted))]
            timed = [self._timed.popleft() for _ in range(len(self._timed))]
            sums = Multiset(counted)
            for counter, amount in (self._added.popleft() for _ in range(len(self._added))):
                sums[counter] += amount
            for counter, times in sums.items():
                counter.inc(times)
            amounts: dict[Timings, list[float]] = defaultdict(list)
            for timings, seconds in timed:
                amounts[timings].append(seconds)
            for timings, found in amounts.items():
                timings.observe_all(found)
