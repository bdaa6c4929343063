"""The client's own log: what it sent and what the service acknowledged, from which every number is counted again.

A `Reader` is a client that never gives up: it sends the same ids until it is told what became of them. When all
readers have ended, what the ledger holds as acknowledged must be what the record holds, no more and no less.
"""

import http.client
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import orjson

from lamella.errors import Unavailable

Event: TypeAlias = Mapping[str, object]
_PATIENCE_SECONDS: Final = 120.0
_AGAIN: Final = frozenset((429, 500, 502, 503, 504))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A slate that was answered: whom, what, and the variant in each experiment that assigned one."""

    unit: str
    items: tuple[str, ...]
    variants: Mapping[str, str]


@dataclass(slots=True)
class Ledger:
    """What clients sent and were told. Safe to share between threads.

    `slates` by request id, `events` (acknowledged) and `refused` (the reason's code) by event id; `repeats` counts
    requests that were sent again, `failures` holds readers that gave up.
    """

    slates: dict[str, Shown] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    repeats: int = 0
    failures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def shown(self, request_id: str, answer: Mapping[str, object]) -> Shown:
        """Writes down the answer to a request for recommendations."""
        slate = _shown(answer)
        with self._lock:
            self.slates[request_id] = slate
        return slate

    def acknowledged(self, events: Sequence[Event], receipt: Mapping[str, object]) -> None:
        """Writes down what a 202 said of each event of a batch."""
        rejected = {int(str(each["index"])): str(each["code"]) for each in _objects(receipt["rejected"])}
        with self._lock:
            for index, event in enumerate(events):
                if index in rejected:
                    self.refused[str(event["event_id"])] = rejected[index]
                else:
                    self.events[str(event["event_id"])] = event
                    self.refused.pop(str(event["event_id"]), None)

    def repeated(self) -> None:
        """Counts a request that is sent again."""
        with self._lock:
            self.repeats += 1

    def failed(self, reason: str) -> None:
        """Writes down that a reader gave up."""
        with self._lock:
            self.failures.append(reason)

    def ids(self, kind: str) -> set[str]:
        """The ids of the acknowledged events of a kind."""
        return {event_id for event_id, event in self.events.items() if event["kind"] == kind}

    def totals(self, experiment: str) -> Mapping[str, Mapping[str, Counter[str]]]:
        """What each unit did under each variant of the experiment: variant, unit, column. Read times in millionths."""
        totals: dict[str, dict[str, Counter[str]]] = {}
        for slate in self.slates.values():
            unit = totals.setdefault(slate.variants[experiment], {}).setdefault(slate.unit, Counter())
            unit.update(slates=1, impressions=len(slate.items))
        for event in self.events.values():
            slate = self.slates[str(event["request_id"])]
            totals[slate.variants[experiment]][slate.unit].update(_columns(event))
        return totals


class Reader(threading.Thread):
    """A client that reads until `stop` is set: asks for a list, then tells what it did with it, in batches.

    `ahead` is how far its clock is before the true time that `now` tells; with `is_telling` it says with each batch
    what its clock shows. One that is refused something or waits two
    minutes for an answer notes it in the ledger as a failure.
    """

    def __init__(
        self,
        ledger: Ledger,
        url: str,
        key: str,
        *,
        rng: random.Random,
        stop: threading.Event,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        ahead: timedelta = timedelta(),
        is_telling: bool = False,
        timeout_seconds: float = 5.0,
        pause_seconds: float = 0.01,
    ) -> None:
        super().__init__(name="reader", daemon=True)
        self._ledger, self._rng, self._halt = ledger, rng, stop
        self._now, self._ahead, self._is_telling, self._pause = now, ahead, is_telling, pause_seconds
        self.caller = Caller(url, key, timeout_seconds=timeout_seconds, on_repeat=ledger.repeated)

    def run(self) -> None:
        """Reads; a visit that has begun is ended before the thread does."""
        try:
            while not self._halt.is_set():
                self.visit()
                time.sleep(self._pause)
        except (Unavailable, ValueError, TypeError, KeyError) as error:
            self._ledger.failed(f"{type(error).__name__}: {error}")
        finally:
            self.caller.close()

    def visit(self) -> Sequence[Event]:
        """One list and what was done with it; the events that were sent."""
        unit, request_id = f"reader-{self._rng.randrange(400)}", uuid.uuid4().hex
        answer = self.caller.post("/v1/recommendations", {"unit": unit, "request_id": request_id, "k": 5})
        slate = self._ledger.shown(request_id, answer)
        events = [event for item in slate.items for event in self._feedback(request_id, unit, item)]
        if events:
            self.send(events)
        return events

    def send(self, events: Sequence[Event]) -> None:
        """Sends the events until the service has said what became of each."""
        body: dict[str, object] = {"events": events}
        if self._is_telling:
            body["sent_at"] = self._time()
        self._ledger.acknowledged(events, self.caller.post("/v1/events", body))

    def _time(self) -> str:
        return (self._now() + self._ahead).isoformat()

    def _feedback(self, request_id: str, unit: str, item: str) -> Sequence[Event]:
        if self._rng.random() < 0.4:
            return []

        def event(kind: str, **more: object) -> Event:
            common = {"request_id": request_id, "unit": unit, "item": item, "time": self._time()}
            return {"kind": kind, "event_id": uuid.uuid4().hex, **common, **more}

        seconds, completion = round(self._rng.lognormvariate(2, 1), 3), round(self._rng.random(), 2)
        events = [event("click"), event("read", read_seconds=seconds, completion=completion)]
        if self._rng.random() < 0.3:
            events.append(event("interaction", action=self._rng.choice(("comment", "share", "like"))))
        return events


class Caller:
    """Posts JSON over one connection, again and again until it is answered; `on_repeat` hears of each repeat.

    Only what may be repeated without harm should be posted.
    """

    def __init__(self, url: str, key: str, *, timeout_seconds: float, on_repeat: Callable[[], None]) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_seconds)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._on_repeat = on_repeat

    def post(self, path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        """The answer, once there is one. Raises ValueError where the service refuses, Unavailable after two minutes."""
        payload, deadline = orjson.dumps(body), time.monotonic() + _PATIENCE_SECONDS
        while True:
            status, answer = self._once(path, payload)
            if status in (200, 202):
                return _object(orjson.loads(answer))
            if status and status not in _AGAIN:
                raise ValueError(f"{path} answered {status}: {answer.decode(errors='replace')[:500]}")
            if time.monotonic() > deadline:
                raise Unavailable(f"{path} was not answered within {_PATIENCE_SECONDS:g} s, at last {status}")
            self._on_repeat()
            time.sleep(0.05)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _once(self, path: str, payload: bytes) -> tuple[int, bytes]:
        """Status and body; status 0 where no whole answer came."""
        try:
            self._connection.request("POST", path, payload, self._headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0, b""


def _columns(event: Event) -> Mapping[str, int]:
    match event["kind"]:
        case "click":
            return {"clicks": 1}
        case "read":
            seconds, completion = float(str(event["read_seconds"])), float(str(event["completion"]))
            micros = {"read_micros": round(seconds * 1e6), "completion_micros": round(completion * 1e6)}
            return {"reads": 1, "completion_reads": 1, **micros}
        case "interaction":
            named = {"comment": {"comments": 1}, "share": {"shares": 1}}.get(str(event["action"]), {})
            return {"interactions": 1, **named}
    return {}


def _shown(answer: Mapping[str, object]) -> Shown:
    assigned = [each for each in _objects(answer["assignments"]) if each["experiment"] is not None]
    return Shown(
        unit=str(answer["unit"]),
        items=tuple(str(each["item"]) for each in _objects(answer["items"])),
        variants={str(each["experiment"]): str(each["variant"]) for each in assigned},
    )


def _objects(value: object) -> Sequence[Mapping[str, object]]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.80} is no list")
    return [_object(each) for each in value]


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.80} is no object")
    return value
