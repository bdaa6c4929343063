"""An in-memory fake of the store of shadows."""

from collections.abc import Sequence

from lamella.services.shadow_ports import ShadowRecord, ShadowTotal
from lamella.services.shadowing import summed


class MemoryShadowStore:
    """Totals and items by shadow; raises `down` where that is set."""

    def __init__(self) -> None:
        self.down: Exception | None = None
        self._totals: dict[tuple[str, str, str], ShadowTotal] = {}
        self._shown: set[tuple[str, str]] = set()

    def add(self, totals: Sequence[ShadowTotal], shown: Sequence[tuple[str, str]]) -> None:
        """Adds the totals, and the pairs that are not there yet."""
        if self.down is not None:
            raise self.down
        for each in totals:
            key = (each.shadow, each.live, each.stage)
            self._totals[key] = summed(self._totals[key], each) if key in self._totals else each
        self._shown.update(shown)

    def read(self, shadow: str) -> ShadowRecord:
        """What is known of the shadow; empty where it was never asked."""
        totals = [total for key, total in sorted(self._totals.items()) if key[0] == shadow]
        return ShadowRecord(totals=totals, shown=sum(each == shadow for each, _ in self._shown))
