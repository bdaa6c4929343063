"""Shadows: versions that are asked in the background what they would have answered, and compared with what was."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from queue import Empty, Full, Queue
from typing import Final, Protocol

import structlog

from lamella.errors import Unavailable
from lamella.experiments.hashing import HASHES, hash32
from lamella.services.guarding import Call
from lamella.services.model_ports import ModelVersion, Scored
from lamella.services.shadow_ports import ShadowStore, ShadowTotal
from lamella.services.staging import Stage

QUEUE_SIZE: Final = 64
FLUSH_SECONDS: Final = 5.0


class ShadowObserver(Protocol):
    """Told of each request of a shadow, as a total of one; `NoShadowObserver` is its null twin."""

    def shadowed(self, total: ShadowTotal) -> None:
        """Takes note. Must be cheap and must not raise."""
        ...


class NoShadowObserver:
    """Takes note of nothing."""

    def shadowed(self, total: ShadowTotal) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a version answered in one stage, as a shadow meets it.

    `call` asks another version the same; `count` says how many items one knows; `seed` is the request's, `k` the size
    of its slate.
    """

    stage: str
    scored: Scored
    seconds: float
    call: Call
    count: Callable[[str], int]
    seed: str
    k: int


class Shadowing:
    """Asks the shadows of this process.

    A version that is live is accompanied by the newest shadow of its name, on the share of its requests that the hash
    of `shadow:<name>` with the request id says. One thread asks; what finds its queue full is dropped and counted, so
    no request waits. Sums go to `store` every few seconds, and stay here while it does not answer.
    """

    def __init__(
        self,
        store: ShadowStore | None = None,
        *,
        queue_size: int = QUEUE_SIZE,
        flush_seconds: float = FLUSH_SECONDS,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._store, self._flush_seconds, self._monotonic = store, flush_seconds, monotonic
        self._queue: Queue[tuple[str, Answered]] = Queue(queue_size)
        self._observer: ShadowObserver = NoShadowObserver()
        self._shadows: dict[str, tuple[str, str, int]] = {}
        self._totals: dict[tuple[str, str, str], ShadowTotal] = {}
        self._shown: dict[str, set[str]] = defaultdict(set)
        self._new: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._thread: threading.Thread | None = None

    def tell(self, observer: ShadowObserver) -> None:
        """From now on `observer` is told of each request of a shadow."""
        self._observer = observer

    def follow(self, versions: Sequence[ModelVersion]) -> None:
        """Takes the stages over as they are now; `versions` come newest first."""
        live = {each.name: each.reference for each in versions if each.stage == Stage.LIVE}
        shadows: dict[str, tuple[str, str, int]] = {}
        for each in versions:
            if each.stage == Stage.SHADOW and each.name in live:
                found = (each.reference, f"shadow:{each.name}", round(each.share * HASHES))
                shadows.setdefault(live[each.name], found)
        self._shadows = shadows

    def accompanies(self, reference: str) -> bool:
        """Whether the version has a shadow."""
        return reference in self._shadows

    def offer(self, answered: Answered) -> None:
        """Queues a request for the shadow of the version that answered it, if it is among its share."""
        found = self._shadows.get(answered.scored.model)
        if found is None:
            return
        shadow, salt, below = found
        if hash32(salt, answered.seed) >= below:
            return
        try:
            self._queue.put_nowait((shadow, answered))
        except Full:
            self._take(replace(_one(shadow, answered), dropped=1))
        if self._thread is None or not self._thread.is_alive():
            self._start()

    def flush(self) -> None:
        """Brings the sums to the store now. Raises Unavailable where it does not answer; they stay here then."""
        if self._store is None:
            return
        with self._flushing:
            with self._lock:
                totals, new = list(self._totals.values()), self._new
                self._totals, self._new = {}, []
            if not totals and not new:
                return
            try:
                self._store.add(totals, new)
            except BaseException:
                with self._lock:
                    self._new = new + self._new
                for total in totals:
                    self._add(total)
                raise

    def wait(self, seconds: float = 5.0) -> bool:
        """Whether all that was queued is done, within that time."""
        until = self._monotonic() + seconds
        while self._queue.unfinished_tasks and self._monotonic() < until:
            time.sleep(0.005)
        return not self._queue.unfinished_tasks

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="lamella-shadow", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        flushed_at = self._monotonic()
        while True:
            try:
                shadow, answered = self._queue.get(timeout=self._flush_seconds)
            except Empty:
                pass
            else:
                try:
                    self._ask(shadow, answered)
                finally:
                    self._queue.task_done()
            if self._monotonic() - flushed_at >= self._flush_seconds:
                flushed_at = self._monotonic()
                self._try_flush()

    def _try_flush(self) -> None:
        try:
            self.flush()
        except Unavailable:
            return
        except Exception:  # noqa: BLE001 - logged
            # A thread that died silently would leave the shadows unasked.
            structlog.get_logger("lamella.models").exception("shadows_not_kept")

    def _ask(self, shadow: str, answered: Answered) -> None:
        started = self._monotonic()
        try:
            theirs = answered.call(shadow)
        except Exception:  # noqa: BLE001 - whatever is wrong with a shadow is its own affair, and counted
            self._take(replace(_one(shadow, answered), errors=1))
            return
        seconds = self._monotonic() - started
        ours, others = list(answered.scored.items), list(theirs.items)
        correlation = rank_correlation(ours, others)
        total = replace(
            _one(shadow, answered),
            compared=1,
            correlated=int(correlation is not None),
            items=answered.count(shadow),
            overlap=overlap(ours, others, answered.k),
            correlation=correlation or 0.0,
            live_seconds=answered.seconds,
            shadow_seconds=seconds,
        )
        self._note(shadow, others[: answered.k])
        self._take(total)

    def _note(self, shadow: str, items: Sequence[str]) -> None:
        """Keeps which items the shadow would have shown, for its coverage."""
        with self._lock:
            new = [item for item in items if item not in self._shown[shadow]]
            self._shown[shadow].update(new)
            self._new += [(shadow, item) for item in new]

    def _take(self, total: ShadowTotal) -> None:
        self._add(total)
        self._observer.shadowed(total)

    def _add(self, total: ShadowTotal) -> None:
        key = (total.shadow, total.live, total.stage)
        with self._lock:
            known = self._totals.get(key)
            self._totals[key] = total if known is None else summed(known, total)


def summed(one: ShadowTotal, other: ShadowTotal) -> ShadowTotal:
    """Both totals of a shadow, live version and stage together."""
    return replace(
        one,
        requests=one.requests + other.requests,
        compared=one.compared + other.compared,
        correlated=one.correlated + other.correlated,
        errors=one.errors + other.errors,
        dropped=one.dropped + other.dropped,
        items=max(one.items, other.items),
        overlap=one.overlap + other.overlap,
        correlation=one.correlation + other.correlation,
        live_seconds=one.live_seconds + other.live_seconds,
        shadow_seconds=one.shadow_seconds + other.shadow_seconds,
    )


def overlap(ours: Sequence[str], others: Sequence[str], k: int) -> float:
    """The share of the first `k` places whose items are among the first `k` of both; 1 where both are empty.

    >>> overlap(["a", "b", "c"], ["c", "a", "d"], 2)
    0.5
    """
    first, second = set(ours[:k]), set(others[:k])
    most = max(len(first), len(second))
    return len(first & second) / most if most else 1.0


def rank_correlation(ours: Sequence[str], others: Sequence[str]) -> float | None:
    """Spearman's correlation of the ranks that both lists give the items in both; None for fewer than two of them.

    >>> rank_correlation(["a", "b", "x", "c"], ["c", "b", "a", "y"])
    -1.0
    """
    common = set(ours) & set(others)
    n = len(common)
    if n < 2:
        return None
    ranks = {item: rank for rank, item in enumerate(item for item in ours if item in common)}
    squares = sum((ranks[item] - rank) ** 2 for rank, item in enumerate(item for item in others if item in common))
    return 1 - 6 * squares / (n * (n * n - 1))


def _one(shadow: str, answered: Answered) -> ShadowTotal:
    return ShadowTotal(shadow=shadow, live=answered.scored.model, stage=answered.stage, requests=1)
