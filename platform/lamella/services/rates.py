"""How often a key may ask: a token bucket for each name, in this process.

Several processes each grant the whole rate; the limit protects one process from one caller, it does not bill.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lamella.errors import RateLimited

BURST_SECONDS: Final = 10.0
"""A full bucket holds the requests of this long."""

_MOST_NAMES: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What is left: `limit` is the full bucket, `reset_seconds` the time until it is full again."""

    limit: int
    remaining: int
    reset_seconds: int


class Rates:
    """The buckets. `per_second` 0 means no limit."""

    def __init__(self, per_second: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._monotonic = per_second, monotonic
        self._size = max(1.0, per_second * BURST_SECONDS)
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, name: str) -> Allowance | None:
        """What is left to `name` after this request; None where there is no limit. Raises RateLimited."""
        if not self._rate:
            return None
        now = self._monotonic()
        with self._lock:
            tokens, since = self._buckets.get(name, (self._size, now))
            tokens = min(self._size, tokens + (now - since) * self._rate)
            is_allowed = tokens >= 1.0
            left = tokens - 1.0 if is_allowed else tokens
            if len(self._buckets) >= _MOST_NAMES and name not in self._buckets:
                self._buckets.clear()
            self._buckets[name] = (left, now)
        if not is_allowed:
            raise RateLimited(name, retry_after_seconds=max(1, math.ceil((1.0 - tokens) / self._rate)))
        return Allowance(
            limit=int(self._size), remaining=int(left), reset_seconds=math.ceil((self._size - left) / self._rate)
        )
