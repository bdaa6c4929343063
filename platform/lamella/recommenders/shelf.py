"""What a web process knows of the items: when they were published, and which ones a business filter lets in."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray

from lamella.experiments.model import Json
from lamella.experiments.targeting import compile_rule
from lamella.recommenders.candidates import ItemRows
from lamella.services.model_ports import Catalogue, Item

ITEM: Final = "item"
"""The attribute under which a filter sees the key of an item."""

REFRESH_SECONDS: Final = 30.0
_MOST_ANSWERS: Final = 256


class NoItems:
    """A catalogue without items: the null twin of the store's."""

    def put(self, items: Sequence[Item]) -> int:
        """Keeps nothing; returns how many there were."""
        return len(items)

    def all(self) -> Sequence[Item]:
        """Nothing."""
        return ()

    def find(self, keys: Sequence[str]) -> Sequence[Item]:  # noqa: ARG002 - the port's signature
        """Nothing."""
        return ()


@dataclass(frozen=True, slots=True)
class _Known:
    """The items as they were read once, and what was worked out from these very items."""

    items: Mapping[str, Item] = field(default_factory=dict)
    masks: dict[tuple[str, bytes], NDArray[np.bool_]] = field(default_factory=dict)
    times: dict[str, NDArray[np.float64]] = field(default_factory=dict)


class Shelf:
    """The items of the catalogue in memory, at most `refresh_seconds` old once `refresh` is called as often.

    What was worked out for a whole model version is kept for its next request, until the items change.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        refresh_seconds: float = REFRESH_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalogue, self._refresh_seconds, self._monotonic = catalogue, refresh_seconds, monotonic
        self._known = _Known()
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Reads the catalogue again where it is old. Raises Unavailable; the items that are known then stay."""
        if self._monotonic() - self._read_at < self._refresh_seconds:
            return
        found = {each.key: each for each in self._catalogue.all()}
        with self._lock:
            self._read_at = self._monotonic()
            if found != self._known.items:
                self._known = _Known(found)

    def allowed(self, items: Sequence[str], rule: Json) -> NDArray[np.bool_]:
        """Which of the items `rule` lets in: (len(items),). One that the catalogue does not hold has only its key.

        `items` that are rows of a model version are answered from memory.
        """
        known = self._known
        if not isinstance(items, ItemRows):
            return _mask(known.items, items, rule)
        named = (items.reference, orjson.dumps(rule))
        mask = known.masks.get(named)
        if mask is None:
            mask = _mask(known.items, items.keys, rule)
            with self._lock:
                if len(known.masks) >= _MOST_ANSWERS:
                    known.masks.clear()
                known.masks[named] = mask
        return mask[items.rows]

    def published(self, items: Sequence[str]) -> NDArray[np.float64]:
        """When each item was published, POSIX seconds: (len(items),); -inf for what the catalogue does not hold."""
        known = self._known
        if not isinstance(items, ItemRows):
            return _published(known.items, items)
        times = known.times.get(items.reference)
        if times is None:
            times = known.times[items.reference] = _published(known.items, items.keys)
        return times[items.rows]

    def freshness(self, items: Sequence[str], *, now: datetime, half_life_hours: float) -> NDArray[np.float64]:
        """1 for an item of this moment, half of it with every `half_life_hours` of age, 0 for an unknown one."""
        age_hours = np.maximum(now.timestamp() - self.published(items), 0.0) / 3600
        fresh: NDArray[np.float64] = np.exp2(-age_hours / half_life_hours)
        return fresh


def _mask(known: Mapping[str, Item], items: Sequence[str], rule: Json) -> NDArray[np.bool_]:
    compiled = compile_rule(rule)
    found = (compiled.match({**(known[key].attributes if key in known else {}), ITEM: key}).matched for key in items)
    return np.fromiter(found, dtype=bool, count=len(items))


def _published(known: Mapping[str, Item], items: Sequence[str]) -> NDArray[np.float64]:
    found = (known[key].published_at.timestamp() if key in known else -np.inf for key in items)
    return np.fromiter(found, dtype=np.float64, count=len(items))
