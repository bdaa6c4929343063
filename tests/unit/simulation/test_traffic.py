import threading
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from lamella.client import Assignment, EventsReceipt, Recommendation
from lamella.errors import Unavailable
from lamella.events.contract import Click
from lamella.simulation.schedule import draw_schedule
from lamella.simulation.traffic import PAGES_REMEMBERED, Memory, Traffic
from lamella.simulation.world import make_world

START = datetime(2026, 3, 2, tzinfo=UTC)
WORLD = make_world(users=60, seed=3, headlines=200)
SCHEDULE = draw_schedule(WORLD.readers, days=2, mean_visits=6, seed=3, part=1)


class Glass:
    """A clock that remembers how it was moved."""

    def __init__(self) -> None:
        self.now = START
        self.moves: list[tuple[str, int]] = []

    def open_hour(self, hour: int, at: datetime) -> None:
        self.now = at
        self.moves.append(("open", hour))

    def close_hour(self, hour: int, at: datetime) -> None:
        self.now = at
        self.moves.append(("close", hour))


class Service:
    """Shows the first ten headlines that are not excluded, and keeps what it was asked."""

    def __init__(self, glass: Glass) -> None:
        self.glass = glass
        self.lock = threading.Lock()
        self.requests: list[tuple[str, str, tuple[str, ...], tuple[str, ...]]] = []
        self.events = []
        self.rejected: tuple[str, ...] = ()
        self.fails_at: int | None = None

    def recommend(self, unit, *, context=None, exclude=(), request_id=None):
        assert set(context) == {"device", "subscriber"}
        with self.lock:
            if self.fails_at is not None and len(self.requests) >= self.fails_at:
                raise Unavailable("the service is gone")
            items = tuple(key for key in WORLD.newsroom.keys if key not in exclude)[:10]
            self.requests.append((request_id, unit, tuple(exclude), items))
        assigned = Assignment(layer="ranking", reason="SPLIT", experiment="e", variant="control", phase=4)
        return Recommendation(
            request_id=request_id,
            unit=unit,
            items=items,
            assignments=(assigned, Assignment(layer="other", reason="STATIC")),
            parameters={},
            snapshot=1,
            fallbacks={},
        )

    def send_events(self, events):
        with self.lock:
            self.events += [(self.glass.now, event) for event in events]
        return EventsReceipt(accepted=len(events), rejected=self.rejected)


def run(threads: int) -> tuple[Service, Glass, object]:
    glass = Glass()
    service = Service(glass)
    traffic = Traffic(world=WORLD, schedule=SCHEDULE, service=service, start=START, glass=glass, threads=threads)
    return service, glass, traffic.run()


def test_every_visit_is_made_once_and_counted_with_what_came_of_it():
    service, _, sent = run(3)
    assert len(service.requests) == len(SCHEDULE) == sent.tally.counts["slate"]
    assert len({request for request, *_ in service.requests}) == len(SCHEDULE)
    assert sent.tally.counts["impression"] == 10 * len(SCHEDULE)
    assert sent.tally.counts["click"] == sum(isinstance(event, Click) for _, event in service.events) > 0
    assert sent.exposed == {(4, unit) for _, unit, *_ in service.requests}


def test_the_number_of_threads_changes_nothing():
    one, _, few = run(1)
    many, _, more = run(7)
    assert sorted(one.requests) == sorted(many.requests)
    assert few.tally.counts == more.tally.counts
    assert {event.event_id for _, event in one.events} == {event.event_id for _, event in many.events}


def test_the_clock_moves_hour_by_hour_and_events_never_lie_ahead_of_it():
    service, glass, _ = run(4)
    assert glass.moves == [(move, hour) for hour in range(48) for move in ("open", "close")]
    for sent_at, event in service.events:
        assert sent_at - timedelta(hours=1) < event.time <= sent_at


def test_a_reader_is_not_shown_again_what_the_last_pages_showed():
    service, _, _ = run(2)
    pages = defaultdict(list)
    for _, unit, exclude, items in service.requests:
        expected = [item for page in pages[unit][-PAGES_REMEMBERED:] for item in page]
        assert list(exclude) == expected
        pages[unit].append(items)
    assert max(len(shown) for shown in pages.values()) > PAGES_REMEMBERED


def test_a_failing_service_stops_all_threads_and_its_error_comes_out():
    glass = Glass()
    service = Service(glass)
    service.fails_at = 20
    traffic = Traffic(world=WORLD, schedule=SCHEDULE, service=service, start=START, glass=glass, threads=4)
    with pytest.raises(Unavailable, match="the service is gone"):
        traffic.run()


def test_a_rejected_event_is_an_error_with_its_reason():
    glass = Glass()
    service = Service(glass)
    service.rejected = ("e1: too old",)
    traffic = Traffic(world=WORLD, schedule=SCHEDULE, service=service, start=START, glass=glass, threads=2)
    with pytest.raises(Unavailable, match="too old"):
        traffic.run()


def test_memory_holds_the_last_pages_and_forgets_on_demand():
    memory = Memory(2)
    for page in ("ab", "cd", "ef", "gh"):
        memory.remember(0, tuple(page))
    assert memory.seen_by(0) == list("cdefgh")
    assert memory.seen_by(1) == []
    memory.forget(0)
    assert memory.seen_by(0) == []
