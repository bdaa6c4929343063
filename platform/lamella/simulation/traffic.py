"""Readers' visits over real HTTP: ask for a page, look at it, send what happened, hour by hour of simulated time."""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

import numpy as np

from lamella.client.wire import EventsReceipt, Recommendation
from lamella.errors import Unavailable
from lamella.events.contract import Feedback
from lamella.experiments.model import Json
from lamella.simulation.schedule import Schedule
from lamella.simulation.visit import Visit, respond
from lamella.simulation.world import Tally, World

PART: Final = 1
PAGES_REMEMBERED: Final = 3
"""A page shows nothing that the reader saw on the last this many pages."""


class Service(Protocol):
    """The part of the client that readers need."""

    def recommend(
        self,
        unit: str,
        *,
        context: Mapping[str, Json] | None = None,
        exclude: Sequence[str] = (),
        request_id: str | None = None,
    ) -> Recommendation:
        """A slate for `unit`, recorded once for its request id."""
        ...

    def send_events(self, events: Sequence[Feedback]) -> EventsReceipt:
        """How many of the events are durable."""
        ...


class Memory:
    """What each reader saw on the last pages; readers are independent, so threads may share it by reader."""

    def __init__(self, readers: int) -> None:
        self._pages: list[deque[tuple[str, ...]]] = [deque(maxlen=PAGES_REMEMBERED) for _ in range(readers)]

    def seen_by(self, reader: int) -> list[str]:
        """The items of the remembered pages, oldest first."""
        return [item for page in self._pages[reader] for item in page]

    def remember(self, reader: int, page: tuple[str, ...]) -> None:
        """Adds a page and forgets the oldest."""
        self._pages[reader].append(page)

    def forget(self, reader: int) -> None:
        """The reader saw nothing."""
        self._pages[reader].clear()


@dataclass(slots=True)
class Sent:
    """What one thread sent and the service acknowledged. `exposed` holds (phase, unit) pairs of running experiments."""

    tally: Tally = field(default_factory=Tally)
    exposed: set[tuple[int, str]] = field(default_factory=set)
    fallbacks: int = 0


class HourGlass(Protocol):
    """Moves the clock of the whole installation; called while no request of the traffic runs."""

    def open_hour(self, hour: int, at: datetime) -> None:
        """The hour begins: everything of the hours before was sent."""
        ...

    def close_hour(self, hour: int, at: datetime) -> None:
        """The hour's pages were shown: what came of them is sent from `at` on, the hour's last second."""
        ...


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """The visits of a schedule, made by `threads` threads, each with its own connection and its own readers."""

    world: World
    schedule: Schedule
    service: Service
    start: datetime
    glass: HourGlass
    threads: int = 4

    def run(self) -> Sent:
        """Makes every visit and sends what came of it; returns what was acknowledged.

        Raises the first thread's error, after all of them have stopped.
        """
        return _Crew(self).run()

    def time_of(self, hour: int) -> datetime:
        """When an hour's pages are shown."""
        return self.start + timedelta(hours=hour)


class _Crew:
    """The threads of one run. They meet before an hour's pages and before its events; the last to come moves time."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._memory = Memory(len(traffic.world.readers))
        self._meetings = 0
        self._barrier = threading.Barrier(traffic.threads, action=self._move_time)
        self._errors: list[BaseException] = []
        self._sent = [Sent() for _ in range(traffic.threads)]

    def run(self) -> Sent:
        crew = [
            threading.Thread(target=self._guarded, args=(number,), name=f"reader-{number}", daemon=True)
            for number in range(self._traffic.threads)
        ]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()
        if self._errors:
            raise self._errors[0]
        total = Sent()
        for each in self._sent:
            total.tally.counts += each.tally.counts
            total.exposed |= each.exposed
            total.fallbacks += each.fallbacks
        return total

    def _move_time(self) -> None:
        hour, is_over = divmod(self._meetings, 2)
        self._meetings += 1
        if is_over:
            self._traffic.glass.close_hour(hour, self._traffic.time_of(hour + 1) - timedelta(seconds=1))
        else:
            self._traffic.glass.open_hour(hour, self._traffic.time_of(hour))

    def _guarded(self, number: int) -> None:
        try:
            self._work(number)
        except threading.BrokenBarrierError:
            pass  # another thread failed and has said why
        except BaseException as error:  # noqa: BLE001 - the run raises it again, in the caller's thread
            self._errors.append(error)
            self._barrier.abort()

    def _work(self, number: int) -> None:
        schedule, sent = self._traffic.schedule, self._sent[number]
        for hour in range(schedule.hours):
            outbox: list[Feedback] = []
            self._barrier.wait()
            for row in schedule.in_hour(hour):
                if schedule.reader[row] % self._traffic.threads == number:
                    outbox += self._visit(row, hour, sent)
            self._barrier.wait()
            self._send(outbox, sent)

    def _visit(self, row: int, hour: int, sent: Sent) -> list[Feedback]:
        world, reader = self._traffic.world, int(self._traffic.schedule.reader[row])
        visit = Visit(seed=world.seed, part=PART, reader=reader, number=int(self._traffic.schedule.number[row]))
        unit = world.readers.units[reader]
        slate = self._traffic.service.recommend(
            unit,
            context=world.readers.context_of(reader),
            exclude=self._memory.seen_by(reader),
            request_id=visit.request_id,
        )
        self._memory.remember(reader, slate.items)
        sent.tally.counts.update(slate=1, impression=len(slate.items))
        sent.exposed.update((each.phase, unit) for each in slate.assignments if each.phase is not None)
        sent.fallbacks += bool(slate.fallbacks)
        shown = np.array([world.newsroom.index[item] for item in slate.items], dtype=np.intp)
        return respond(visit, world.clicks, shown, shown_at=self._traffic.time_of(hour))

    def _send(self, outbox: list[Feedback], sent: Sent) -> None:
        if not outbox:
            return
        receipt = self._traffic.service.send_events(outbox)
        if receipt.rejected:
            raise Unavailable(f"the service rejected {len(receipt.rejected)} events, the first: {receipt.rejected[0]}")
        sent.tally.add(outbox)
