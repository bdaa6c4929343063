"""Who accepts which connection: several that wait at one real socket."""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import uvloop

from lamella.cli.acceptor import (
    ABSENT,
    HASTE,
    HURRY,
    LEEWAY,
    LOOK_AGAIN_SECONDS,
    PATIENCE,
    RETRY_SECONDS,
    SHORT_SECONDS,
    Acceptor,
    Seats,
)

LONGEST_SECONDS = 10


class Worker:
    """One that waits at the socket, with the connections that it has."""

    def __init__(self, listener: socket.socket, seats: Seats, seat: int | None) -> None:
        self.connections: set[Held] = set()
        self.acceptor = Acceptor(listener.dup(), seats, seat, lambda: Held(self))
        self.acceptor.start()


class Held(asyncio.Protocol):
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.since = asyncio.get_running_loop().time()
        self._worker.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._worker.connections.discard(self)
        self._worker.acceptor.lost(asyncio.get_running_loop().time() - self.since)


class Hall:
    """A listening socket, seats, and clients that keep their connections."""

    def __init__(self, seats: int) -> None:
        self.listener, self.seats = socket.create_server(("127.0.0.1", 0)), Seats(seats)
        self.workers: list[Worker] = []
        self.clients: list[asyncio.StreamWriter] = []

    def come(self, seat: int | None) -> Worker:
        self.workers.append(Worker(self.listener, self.seats, seat))
        return self.workers[-1]

    async def connect(self, count: int, wanted: int | None = None) -> None:
        """So many more clients; returns when all workers together have as many as there are, or are `wanted`."""
        for _ in range(count):
            _, writer = await asyncio.open_connection(*self.listener.getsockname())
            self.clients.append(writer)
        await until(lambda: sum(self.counts) == (len(self.clients) if wanted is None else wanted))

    @property
    def counts(self) -> Sequence[int]:
        return [len(worker.connections) for worker in self.workers]

    def end(self) -> None:
        for writer in self.clients:
            writer.close()
        for worker in self.workers:
            worker.acceptor.close()
        self.listener.close()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONGEST_SECONDS):
        while not is_so():
            await asyncio.sleep(0.001)


def held(run: Callable[[Hall], Awaitable[None]], seats: int = 2) -> None:
    async def whole() -> None:
        hall = Hall(seats)
        try:
            await run(hall)
        finally:
            hall.end()

    uvloop.run(whole())


@pytest.mark.parametrize("workers", [2, 3])
def test_connections_that_are_kept_are_shared_evenly(workers: int) -> None:
    async def run(hall: Hall) -> None:
        for seat in range(workers):
            hall.come(seat)
        await hall.connect(8 * workers - 1)
        assert max(hall.counts) - min(hall.counts) <= 1

    held(run, workers)


def test_who_lost_some_gets_the_next_ones() -> None:
    async def run(hall: Hall) -> None:
        one, other = hall.come(0), hall.come(1)
        await hall.connect(6)
        for connection in list(one.connections):
            connection.transport.close()
        await until(lambda: not one.connections)
        await asyncio.sleep(2 * SHORT_SECONDS)
        await hall.connect(3, wanted=6)
        assert hall.counts == [3, len(other.connections)] == [3, 3]

    held(run)


@pytest.mark.parametrize("seat", [0, None])
def test_nobody_waits_long_for_one_that_does_not_come(seat: int | None) -> None:
    async def run(hall: Hall) -> None:
        hall.come(seat)
        hall.seats.note(1, 0)  # one with none, that hangs
        loop = asyncio.get_running_loop()
        began = loop.time()
        await hall.connect(5)
        assert hall.counts == [5]
        assert loop.time() - began < LONGEST_SECONDS

    held(run)


@pytest.fixture
def looks_away(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How often somebody left a connection to others, as the seconds for which."""
    seen: list[float] = []
    look_away = Acceptor._look_away

    def seeing(self: Acceptor, seconds: float, then: Callable[[], None]) -> None:
        seen.append(seconds)
        look_away(self, seconds, then)

    monkeypatch.setattr(Acceptor, "_look_away", seeing)
    return seen


def test_who_hangs_is_waited_for_some_times_and_again_later_or_when_the_number_has_changed(
    looks_away: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamella.cli.acceptor.ABSENT_SECONDS", LONGEST_SECONDS)

    async def run(hall: Hall) -> None:
        hall.come(0)
        hall.seats.note(1, 0)
        await hall.connect(ABSENT + 10)
        assert len(looks_away) == ABSENT * PATIENCE
        hall.seats.note(1, 1)
        await hall.connect(1)
        assert len(looks_away) == (ABSENT + 1) * PATIENCE
        hall.seats.note(1, 0)
        monkeypatch.setattr("lamella.cli.acceptor.ABSENT_SECONDS", 0.0)
        await hall.connect(ABSENT + 2)
        assert len(looks_away) == (2 * ABSENT + 3) * PATIENCE

    held(run)


def test_where_each_connection_brings_one_request_nothing_is_left_to_others(looks_away: list[float]) -> None:
    async def run(hall: Hall) -> None:
        worker = hall.come(0)
        for _ in range(HURRY):
            worker.acceptor._count += 1
            worker.acceptor.lost(SHORT_SECONDS / 2)
        hall.seats.note(1, 0)
        await hall.connect(3)
        assert not looks_away

    held(run)


@pytest.mark.parametrize(("short", "together"), [(HURRY, HASTE), (HURRY - 1, 1)], ids=["hurry", "none"])
def test_some_are_accepted_at_once_only_where_each_brings_one_request(short: int, together: int) -> None:
    async def run(hall: Hall) -> None:
        for _ in range(HASTE + 1):
            _, writer = await asyncio.open_connection(*hall.listener.getsockname())
            hall.clients.append(writer)
        acceptor = hall.come(0).acceptor
        for _ in range(short):
            acceptor._count += 1
            acceptor.lost(SHORT_SECONDS / 2)
        acceptor._accept()
        assert acceptor._count == together
        await until(lambda: sum(hall.counts) == HASTE + 1)

    held(run)


def test_one_more_of_many_is_not_left_to_others(looks_away: list[float]) -> None:
    async def run(hall: Hall) -> None:
        hall.come(0)
        hall.seats.note(1, LEEWAY)
        await hall.connect(LEEWAY + 2)
        assert not looks_away
        await hall.connect(1)
        assert len(looks_away) == PATIENCE

    held(run)


def test_a_connection_that_fails_is_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> asyncio.Protocol:
        raise ZeroDivisionError

    async def run(hall: Hall) -> None:
        acceptor = Acceptor(hall.listener.dup(), hall.seats, 0, fail)
        acceptor.start()
        _, writer = await asyncio.open_connection(*hall.listener.getsockname())
        hall.clients.append(writer)
        await until(lambda: "connection_failed" in capsys.readouterr().out)
        assert hall.seats.fewest_of_others(1) == 0
        acceptor.close()

    held(run)


def test_those_that_were_accepted_are_connections_once_it_has_settled() -> None:
    async def run(hall: Hall) -> None:
        worker = hall.come(0)
        for _ in range(20):
            _, writer = await asyncio.open_connection(*hall.listener.getsockname())
            hall.clients.append(writer)
        await until(lambda: hall.seats.fewest_of_others(1) > 0)
        accepted = hall.seats.fewest_of_others(1)
        worker.acceptor.close()
        await worker.acceptor.settle()
        assert len(worker.connections) == accepted

    held(run)


def test_who_does_not_accept_is_waited_for_by_nobody() -> None:
    async def run(hall: Hall) -> None:
        first, second = hall.come(0), hall.come(1)
        assert hall.seats.fewest_of_others(0) == 0
        second.acceptor.close()
        assert hall.seats.fewest_of_others(0) > 1_000_000
        await hall.connect(4)
        assert (len(first.connections), len(second.connections)) == (4, 0)

    held(run)


def test_one_that_was_closed_while_it_looked_away_accepts_nothing() -> None:
    async def run(hall: Hall) -> None:
        worker = hall.come(0)
        await hall.connect(1)
        hall.seats.note(1, 0)
        await hall.connect(1, wanted=1)  # left to the other
        worker.acceptor.close()
        await asyncio.sleep(3 * PATIENCE * LOOK_AGAIN_SECONDS)
        assert hall.counts == [1]

    held(run)


def test_what_the_system_cannot_accept_is_accepted_later(capsys: pytest.CaptureFixture[str]) -> None:
    class Short(socket.socket):
        failures = 0

        def accept(self) -> Any:
            if not self.failures:
                self.failures += 1
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    async def run(hall: Hall) -> None:
        listener = Short(fileno=hall.listener.dup().detach())
        kept: set[Any] = set()
        acceptor = Acceptor(listener, hall.seats, 0, lambda: made)

        class Made(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                kept.add(transport)

        made = Made()
        acceptor.start()
        loop = asyncio.get_running_loop()
        began = loop.time()
        _, writer = await asyncio.open_connection(*hall.listener.getsockname())
        hall.clients.append(writer)
        await until(lambda: bool(kept))
        assert loop.time() - began >= RETRY_SECONDS * 0.9
        acceptor.close()

    held(run)
    assert "cannot_accept" in capsys.readouterr().out


def test_seats_are_shared_by_processes_and_start_empty() -> None:
    seats = Seats(3)
    assert len(seats) == 3
    assert seats.fewest_of_others(0) > 1_000_000
    seats.note(1, 7)
    seats.note(2, 4)
    assert [seats.fewest_of_others(seat) for seat in range(3)] == [4, 4, 7]
    seats.leave(2)
    assert seats.fewest_of_others(0) == 7
