"""Numbers that are no process's own, among the metrics: of the quarantine, and of the journal of this machine."""

import threading
import time
from typing import Final

from lamella.bootstrap.web import Left
from lamella.errors import Unavailable
from lamella.services.quarantine import Quarantine

FRESH_SECONDS: Final = 10.0
_NAME: Final = "lamella_quarantine_records"
_JOURNAL: Final = "lamella_journal_bytes"


class QuarantineGauge:
    """The gauge in Prometheus' text format, asked of the store every ten seconds at most."""

    def __init__(self, quarantine: Quarantine) -> None:
        self._quarantine = quarantine
        self._lock = threading.Lock()
        self._text, self._until = b"", 0.0

    def exposition(self) -> bytes:
        """The gauge; nothing while the store does not answer."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._text, self._until = self._asked(), time.monotonic() + FRESH_SECONDS
            return self._text

    def _asked(self) -> bytes:
        try:
            counts = self._quarantine.counts()
        except Unavailable:
            return b""
        lines = [
            f"# HELP {_NAME} Records in quarantine by reason.",
            f"# TYPE {_NAME} gauge",
            *(f'{_NAME}{{reason="{reason}"}} {number}' for reason, number in sorted(counts.items())),
        ]
        return ("\n".join(lines) + "\n").encode()


def journal_gauge(left: Left | None) -> bytes:
    """What all web processes of this machine accepted and the store does not have; nothing without such a journal."""
    if left is None:
        return b""
    return (
        f"# HELP {_JOURNAL} Bytes that are durable on this machine and not in the store's inbox yet.\n"
        f"# TYPE {_JOURNAL} gauge\n{_JOURNAL} {left.waiting()}\n"
    ).encode()
