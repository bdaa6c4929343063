"""The names of the newest records that this process made durable, so that a retry is known without asking the store."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

LIMIT: Final = 50_000


class Recent:
    """The newest `limit` names; the oldest are forgotten."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return _digest(name) in self._seen

    def add(self, names: Iterable[str]) -> None:
        """Remembers the names."""
        digests = [_digest(name) for name in names]
        with self._lock:
            self._seen.update(dict.fromkeys(digests))
            while len(self._seen) > self._limit:
                self._seen.popitem(last=False)


def _digest(name: str) -> bytes:
    # Sixteen bytes, as in the receipts: two names that met here would lose an event.
    return hashlib.blake2b(name.encode(), digest_size=16).digest()
