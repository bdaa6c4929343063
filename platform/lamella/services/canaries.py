"""Canaries: which units a canary answers, how it does beside the live version, and when it has to go."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

import structlog

from lamella.errors import LamellaError, NotFound
from lamella.experiments.hashing import HASHES, hash32
from lamella.services.admin_ports import AuditLog, Deed
from lamella.services.model_ports import ModelCatalogue, ModelVersion
from lamella.services.ports import Clock
from lamella.services.staging import Stage, Staging

HALF_SECONDS: Final = 30.0
"""What is remembered is between one and two of these old."""
LEAST_ANSWERS: Final = 20
MOST_ERRORS: Final = 0.05
LEAST_TIMED: Final = 50
MOST_TIMES: Final = 3.0
MOST_SECONDS: Final = 0.005

AUTHOR: Final = "lamella"
_PAUSES: Final = (1.0, 2.0, 5.0, 10.0, 30.0)

Retreat = Callable[[str, str], None]
"""Takes a canary's reference and the reason out of its stage in the store."""


class CanaryObserver(Protocol):
    """Told of each retreat; `NoCanaryObserver` is its null twin."""

    def retreated(self, reference: str, cause: str) -> None:
        """Takes note; the cause is errors or latency. Must not raise."""
        ...


class NoCanaryObserver:
    """Takes note of nothing."""

    def retreated(self, reference: str, cause: str) -> None:
        """Nothing."""


@dataclass(slots=True)
class _Tally:
    """Answers, failures among them, and the seconds of those that were none."""

    answers: int = 0
    errors: int = 0
    seconds: float = 0.0

    @property
    def error_share(self) -> float:
        return self.errors / self.answers if self.answers else 0.0

    @property
    def mean_seconds(self) -> float:
        return self.seconds / max(self.answers - self.errors, 1)


@dataclass(slots=True)
class _Window:
    """The tally of the last `HALF_SECONDS` to twice as long."""

    now: _Tally = field(default_factory=_Tally)
    before: _Tally = field(default_factory=_Tally)
    turned_at: float = float("-inf")

    def add(self, at: float, seconds: float, *, failed: bool) -> None:
        if at - self.turned_at >= HALF_SECONDS:
            is_old = at - self.turned_at >= 2 * HALF_SECONDS
            self.before, self.now, self.turned_at = (_Tally() if is_old else self.now), _Tally(), at
        self.now.answers += 1
        self.now.errors += failed
        self.now.seconds += 0.0 if failed else seconds

    def total(self) -> _Tally:
        return _Tally(
            self.now.answers + self.before.answers,
            self.now.errors + self.before.errors,
            self.now.seconds + self.before.seconds,
        )


@dataclass(slots=True)
class _Pair:
    """A canary beside the live version of its name; `tripped` is why it answers nobody any more."""

    canary: ModelVersion
    live: str
    below: int
    of_canary: _Window = field(default_factory=_Window)
    of_live: _Window = field(default_factory=_Window)
    tripped: str = ""


class Canaries:
    """Watches the canaries of this process.

    A unit that names a model without a number gets its canary where the hash of `canary:<name>` with the unit falls
    into the share, the same at every request and in every process; of several canaries of a name the newest is meant.
    A canary retreats at once in this process, and in the store by `retreat` in the background, when

    - of at least 20 answers the share that failed is more than 5 points above the live version's, or
    - of at least 50 answers each, its mean time is over three times the live version's and 5 ms more,

    in a window of the last 30 to 60 seconds.
    """

    def __init__(
        self,
        retreat: Retreat | None = None,
        *,
        observer: CanaryObserver | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._retreat, self._observer, self._monotonic = retreat, observer or NoCanaryObserver(), monotonic
        self._by_name: dict[str, _Pair] = {}
        self._by_reference: dict[str, _Pair] = {}
        self._lock = threading.Lock()

    def tell(self, observer: CanaryObserver) -> None:
        """From now on `observer` is told of retreats."""
        self._observer = observer

    def follow(self, versions: Sequence[ModelVersion]) -> None:
        """Takes the stages over as they are now; `versions` come newest first."""
        live = {each.name: each.reference for each in versions if each.stage == Stage.LIVE}
        by_name: dict[str, _Pair] = {}
        for version in versions:
            if version.stage != Stage.CANARY or version.name in by_name or version.name not in live:
                continue
            known = self._by_name.get(version.name)
            is_same = known is not None and _staging(known.canary) == _staging(version)
            if known is None or not is_same or known.live != live[version.name]:
                tripped = known.tripped if known is not None and is_same else ""
                known = _Pair(version, live[version.name], round(version.share * HASHES), tripped=tripped)
            by_name[version.name] = known
        by_canary = {pair.canary.reference: pair for pair in by_name.values()}
        self._by_reference = {pair.live: pair for pair in by_name.values()} | by_canary
        self._by_name = by_name

    def canary_of(self, name: str, unit: str) -> str | None:
        """The canary that answers the unit in place of the live version of the name; None where none does."""
        pair = self._by_name.get(name)
        if pair is None or pair.tripped or hash32(f"canary:{name}", unit) >= pair.below:
            return None
        return pair.canary.reference

    def watches(self, reference: str) -> bool:
        """Whether the answers of the version are wanted here."""
        return reference in self._by_reference

    def answered(self, reference: str, seconds: float) -> None:
        """The version took `seconds` to answer one stage."""
        self._add(reference, seconds, failed=False)

    def failed(self, reference: str) -> None:
        """The version did not answer."""
        self._add(reference, 0.0, failed=True)

    def _add(self, reference: str, seconds: float, *, failed: bool) -> None:
        pair = self._by_reference.get(reference)
        if pair is None:
            return
        with self._lock:
            window = pair.of_canary if reference == pair.canary.reference else pair.of_live
            window.add(self._monotonic(), seconds, failed=failed)
            verdict = None if pair.tripped or window is pair.of_live else _verdict(pair)
            if verdict is None:
                return
            cause, pair.tripped = verdict
        self._observer.retreated(reference, cause)
        structlog.get_logger("lamella.models").warning("canary_retreats", model=reference, reason=pair.tripped)
        if self._retreat is not None:
            leave = threading.Thread(
                target=_persist, args=(self._retreat, reference, pair.tripped), name="lamella-canary", daemon=True
            )
            leave.start()


class Retreating:
    """Puts a canary back among the candidates, with the reason and a row in the audit log."""

    def __init__(self, staging: Staging, models: ModelCatalogue, audit: AuditLog, clock: Clock) -> None:
        self._staging, self._models, self._audit, self._clock = staging, models, audit, clock

    def __call__(self, reference: str, reason: str) -> None:
        """Nothing where it is no canary any more. Raises what the store raises."""
        version = self._models.find(reference)
        if version is None or version.stage != Stage.CANARY:
            return
        number = self._audit.begin(_deed(reference, self._clock.now()))
        try:
            self._staging.move(reference, Stage.CANDIDATE, author=AUTHOR, reason=reason)
        except LamellaError as error:
            self._audit.complete(number, status=500, code=error.code)
            raise
        self._audit.complete(number, status=200, code=None)


def _staging(version: ModelVersion) -> tuple[str, float, datetime | None]:
    """What one staging differs from another in."""
    return version.reference, version.share, version.staged_at


def _verdict(pair: _Pair) -> tuple[str, str] | None:
    """The cause and the reason for the canary to retreat; None where it may stay."""
    canary, live = pair.of_canary.total(), pair.of_live.total()
    if canary.answers >= LEAST_ANSWERS and canary.error_share > live.error_share + MOST_ERRORS:
        return "errors", (
            f"retreated: {canary.errors} of {canary.answers} answers failed, of {pair.live} {live.errors} of "
            f"{live.answers}"
        )
    are_timed = min(canary.answers - canary.errors, live.answers - live.errors) >= LEAST_TIMED
    slow = max(MOST_TIMES * live.mean_seconds, live.mean_seconds + MOST_SECONDS)
    if are_timed and canary.mean_seconds > slow:
        return "latency", (
            f"retreated: {canary.mean_seconds * 1000:.1f} ms on average, {pair.live} {live.mean_seconds * 1000:.1f} ms"
        )
    return None


def _persist(retreat: Retreat, reference: str, reason: str) -> None:
    """Retreats in the store, again and again while that does not answer."""
    for pause in (*_PAUSES, *[_PAUSES[-1]] * 1_000):
        try:
            retreat(reference, reason)
        except NotFound:
            return
        except Exception as error:  # noqa: BLE001 - this thread has nobody to raise to, and the store may come back
            structlog.get_logger("lamella.models").warning("canary_still_staged", model=reference, error=str(error))
            time.sleep(pause)
        else:
            return


def _deed(reference: str, at: datetime) -> Deed:
    return Deed(
        at=at,
        actor=AUTHOR,
        role="system",
        address="",
        method="POST",
        route="/v1/admin/models/<reference>/stage",
        path=f"/v1/admin/models/{reference}/stage",
        request="canary-retreat",
    )
