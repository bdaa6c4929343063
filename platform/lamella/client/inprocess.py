"""The client that evaluates in its own process: the service's snapshot, the same hash, and a spool of exposures."""

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from lamella.client.keeping import KeptSnapshot, utc_now
from lamella.client.spool import Spool
from lamella.client.transport import Transport
from lamella.client.wire import as_document, as_documents
from lamella.errors import InvalidInput, LamellaError
from lamella.experiments.flags import UNIT_KEYS, Evaluation, Flags, units_of
from lamella.experiments.model import Json
from lamella.experiments.snapshot import Decision
from lamella.experiments.targeting import UNIT_ATTRIBUTE
from lamella.services.remembering import Remembering

BATCH: Final = 500
_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 60.0
_NO_CONTEXT: Final[Mapping[str, Json]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientState:
    """How the client fares. `failure` is the newest refusal of the service, None while it answers."""

    snapshot: int | None
    waiting: int
    sent: int
    rejected: int
    dropped: int
    failure: str | None


class InProcessClient:
    """Evaluates without network by the snapshot of one service. Safe to share between threads.

    `folder` keeps the newest snapshot and the exposures that wait; one folder for each process, or shared by those of
    one machine. `start` downloads the snapshot and begins to refresh it every `refresh_seconds`; where the service does
    not answer, the kept one goes on. Exposures are sent in batches every `flush_seconds`, backing off while the service
    refuses; at most `spool_limit` wait. As a context manager it starts and closes.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        folder: Path | str,
        *,
        refresh_seconds: float = 2.0,
        flush_seconds: float = 1.0,
        spool_limit: int = 100_000,
        timeout_seconds: float = 10.0,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._transport = Transport(base_url, key, timeout_seconds=timeout_seconds, patience_seconds=0.0)
        self._kept = KeptSnapshot(self._transport, Path(folder), now=now)
        self._spool = Spool(Path(folder), limit=spool_limit)
        self._remembering = Remembering(self._spool)
        self._refresh_seconds, self._flush_seconds, self._now = refresh_seconds, flush_seconds, now
        self._stop = threading.Event()
        self._sending = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._watchers: list[Callable[[int], None]] = []
        self._sent = self._rejected = 0
        self._failure: str | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_ready(self) -> bool:
        """Whether there is a snapshot to evaluate by."""
        return self._kept.is_ready

    @property
    def state(self) -> ClientState:
        """How the client fares."""
        version = self._kept.current().snapshot.version if self._kept.is_ready else None
        return ClientState(
            snapshot=version,
            waiting=self._spool.waiting,
            sent=self._sent,
            rejected=self._rejected,
            dropped=self._spool.dropped,
            failure=self._failure,
        )

    def start(self) -> None:
        """Takes the newest snapshot and begins to work in the background; never raises for a service that is down."""
        if self._threads:
            return
        self._try_refresh()
        for name, work, seconds in (
            ("refresh", self._try_refresh, self._refresh_seconds),
            ("exposures", self._try_flush, self._flush_seconds),
        ):
            thread = threading.Thread(target=self._run, args=(work, seconds), name=f"lamella-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self, *, timeout_seconds: float = 10.0) -> None:
        """Sends what waits, as far as the service takes it in time, and stops. The rest stays for the next start."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout_seconds)
        deadline = time.monotonic() + timeout_seconds
        while self._spool.waiting and time.monotonic() < deadline and self._attempt(self.flush):
            continue
        self._transport.close()
        self._spool.close()

    def refresh(self) -> bool:
        """Whether another snapshot is in force now. Raises what the service raises; the old one then stays."""
        changed = self._kept.refresh()
        for watcher in self._watchers if changed else ():
            watcher(self._kept.current().snapshot.version)
        return changed

    def watch(self, watcher: Callable[[int], None]) -> None:
        """From now on `watcher` is called with the version of each new snapshot, from the thread that took it."""
        self._watchers.append(watcher)

    def assign(self, unit: str, context: Mapping[str, Json] = _NO_CONTEXT) -> Decision:
        """Everything that `unit` gets; nothing is told. Raises Unavailable before the first snapshot, InvalidInput."""
        return self._decide(self._kept.current(), unit, context)

    def flag(self, key: str, context: Mapping[str, Json], *, expose: bool = True) -> Evaluation:
        """One parameter for the unit that the context calls `targetingKey`.

        The variant that it shows is told to the service, once for each unit and phase, unless `expose` is False. Raises
        NotFound for an unknown parameter, InvalidInput for a bad unit, Unavailable before the first snapshot.
        """
        flags = self._kept.current()
        flags.flag(key)
        user = context.get(UNIT_ATTRIBUTE)
        if not isinstance(user, str):
            raise InvalidInput(f"{UNIT_ATTRIBUTE} is {user!r:.80}; send the id of the user")
        decision = self._decide(flags, user, context)
        (found,) = flags.evaluate(decision, [key])
        if expose and "phase" in found.metadata and "experimentVariant" in found.metadata:
            self._tell(flags, found, user, context)
        return found

    def value(self, key: str, unit: str, context: Mapping[str, Json] = _NO_CONTEXT, *, expose: bool = True) -> Json:
        """The parameter's value for `unit`; tells the exposure like `flag`."""
        return self.flag(key, {**context, UNIT_ATTRIBUTE: unit}, expose=expose).value

    def flush(self) -> int:
        """How many exposures the service has taken just now, rejected ones with them. Raises what it raises."""
        with self._sending:
            told = self._spool.next(BATCH)
            if not told:
                return 0
            body = {"exposures": [one.document() for one in told]}
            answer = as_document(self._transport.call("POST", "/v1/exposures", body, is_repeatable=True))
            self._rejected += len(as_documents(answer.get("rejected", [])))
            self._sent += len(told)
            self._spool.sent(told)
            return len(told)

    def _decide(self, flags: Flags, user: Json, context: Mapping[str, Json]) -> Decision:
        return self._remembering.decide(flags.snapshot, units_of(user, context), context)

    def _tell(self, flags: Flags, found: Evaluation, user: str, context: Mapping[str, Json]) -> None:
        """Spools the exposure of the unit that the flag's layer randomises."""
        unit = context.get(UNIT_KEYS[flags.unit_of(str(found.metadata["layer"]))], user)
        self._spool.put(
            int(found.metadata["phase"]),
            str(unit),
            str(found.metadata["experimentVariant"]),
            counted=bool(found.metadata["counted"]),
            at=self._now(),
        )

    def _run(self, work: Callable[[], bool], seconds: float) -> None:
        """Does the work every `seconds`, and more and more seldom while it fails."""
        wait = seconds
        while not self._stop.wait(wait):
            failed = not work()
            longer = max(_FIRST_WAIT_SECONDS, 2 * wait) * random.uniform(0.8, 1.2)  # noqa: S311 - spreads clients
            wait = min(longer, _LONGEST_WAIT_SECONDS) if failed else seconds
        self._transport.close()

    def _try_refresh(self) -> bool:
        return self._attempt(self.refresh)

    def _try_flush(self) -> bool:
        """Whether nothing failed; goes on while whole batches wait."""
        return self._attempt(self._flush_all)

    def _flush_all(self) -> None:
        while self.flush() == BATCH and not self._stop.is_set():
            continue

    def _attempt(self, work: Callable[[], object]) -> bool:
        try:
            work()
        except (LamellaError, OSError, sqlite3.Error) as error:
            self._failure = str(error)
            return False
        self._failure = None
        return True
