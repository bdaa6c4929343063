"""How long a connection waits for a head, and for a body."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from lamella.cli.connection import LINGER_SECONDS, SILENCE_SECONDS, Connection


class Loop:
    """What a connection asks of its event loop, at a time that the test sets."""

    def __init__(self) -> None:
        self.now, self.ends = 100.0, [0.0]
        self.later: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, _callback: object) -> "Loop":
        self.ends.append(when)
        return self

    def call_later(self, seconds: float, callback: Callable[[], None]) -> "Later":
        return Later(self, (self.now + seconds, callback))

    def create_task(self, coroutine: Coroutine[Any, Any, None], **_: Any) -> "Loop":
        coroutine.close()
        return self

    def add_done_callback(self, _callback: object) -> None:
        """A request never ends here."""

    def cancel(self) -> None:
        self.ends.append(0.0)

    def move(self, seconds: float) -> None:
        """Lets time pass, and calls whom it is time for."""
        self.now += seconds
        for due in [each for each in self.later if each[0] <= self.now]:
            self.later.remove(due)
            due[1]()


class Later:
    """A call at a later time."""

    def __init__(self, loop: Loop, entry: tuple[float, Callable[[], None]]) -> None:
        self._loop, self._entry = loop, entry
        loop.later.append(entry)

    def cancel(self) -> None:
        if self._entry in self._loop.later:
            self._loop.later.remove(self._entry)


class Transport(asyncio.Transport):
    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return False


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Never asked: no head is complete."""


def test_a_head_in_pieces_has_the_time_of_a_silent_connection() -> None:
    loop = Loop()
    config = Config(application, timeout_keep_alive=75, ws="none", log_config=None)
    connection = Connection(config, ServerState(), {}, _loop=loop)  # type: ignore[arg-type] # the part that it uses
    connection.connection_made(Transport())
    assert loop.ends[-1] == 175.0
    for piece in (b"GET / HT", b"TP/1.1\r\n", b"Host: a\r\n"):
        loop.now += 20.0
        connection.data_received(piece)
        assert loop.ends[-1] == 175.0


def test_a_tunnel_is_refused_and_asks_nobody() -> None:
    sent: list[bytes] = []

    class Ending(Transport):
        def write(self, data: Any) -> None:
            sent.append(bytes(data))

        def close(self) -> None:
            sent.append(b"closed")

    config = Config(application, ws="none", log_config=None)
    connection = Connection(config, ServerState(), {}, _loop=Loop())  # type: ignore[arg-type] # the part that it uses
    connection.connection_made(Ending())
    connection.data_received(b"CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert sent[0].startswith(b"HTTP/1.1 400 ")
    assert sent[-1] == b"closed"
    assert connection.cycle is None


class Watched(Transport):
    def __init__(self) -> None:
        super().__init__()
        self.is_closed = self.has_ended = False

    def write(self, data: Any) -> None:
        """Nobody looks at it."""

    def pause_reading(self) -> None:
        """The connection remembers it."""

    def resume_reading(self) -> None:
        """As above."""

    def write_eof(self) -> None:
        self.has_ended = True

    def close(self) -> None:
        self.is_closed = True


def connected(loop: Loop) -> tuple[Connection, Watched]:
    config, transport = Config(application, ws="none", log_config=None), Watched()
    config.load()
    connection = Connection(config, ServerState(), {}, _loop=loop)  # type: ignore[arg-type] # the part that it uses
    connection.connection_made(transport)
    return connection, transport


POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n"


def test_a_body_that_stops_coming_is_given_up_and_one_that_comes_slowly_is_not() -> None:
    loop = Loop()
    connection, transport = connected(loop)
    connection.data_received(POST + b"\r\n")
    for _ in range(9):
        loop.move(SILENCE_SECONDS - 1)
        connection.data_received(b"x")
    loop.move(SILENCE_SECONDS - 1)
    assert not transport.is_closed
    loop.move(1)
    assert transport.is_closed


def test_nothing_is_waited_for_once_a_body_is_whole_or_the_client_has_gone() -> None:
    loop = Loop()
    whole, _ = connected(loop)
    whole.data_received(POST + b"\r\n0123456789")
    assert not loop.later
    halved, _ = connected(loop)
    halved.data_received(POST + b"\r\n01234")
    assert loop.later
    halved.connection_lost(None)
    assert not loop.later


def test_who_waits_for_us_is_not_given_up() -> None:
    loop = Loop()
    asking, transport = connected(loop)
    asking.data_received(POST + b"Expect: 100-continue\r\n\r\n")
    stopped, other = connected(loop)
    stopped.data_received(POST + b"\r\n01234")
    stopped.flow.pause_reading()
    loop.move(SILENCE_SECONDS)
    loop.move(SILENCE_SECONDS)
    assert not transport.is_closed
    assert not other.is_closed
    stopped.flow.resume_reading()
    loop.move(SILENCE_SECONDS)
    assert other.is_closed


def test_the_rest_of_a_body_is_read_for_some_time_after_the_answer() -> None:
    loop = Loop()
    patient, transport = connected(loop)
    patient.data_received(POST + b"\r\n01")
    patient.cycle.transport.close()
    assert transport.has_ended
    patient.data_received(b"2345678")
    loop.move(LINGER_SECONDS - 1)
    assert not transport.is_closed
    patient.data_received(b"9")
    assert transport.is_closed
    slow, other = connected(loop)
    slow.data_received(POST + b"\r\n01")
    slow.cycle.transport.close()
    slow.data_received(b"2")
    loop.move(LINGER_SECONDS)
    assert other.is_closed
    whole, last = connected(loop)
    whole.data_received(POST + b"\r\n01")
    whole.data_received(b"23456789")
    whole.cycle.transport.close()
    assert (last.is_closed, last.has_ended) == (True, False)


def test_a_client_that_says_no_more_is_left_unless_it_is_owed_an_answer() -> None:
    silent, _ = connected(Loop())
    assert not silent.eof_received()
    halved, _ = connected(Loop())
    halved.data_received(POST + b"\r\n01")
    assert not halved.eof_received()
    whole, _ = connected(Loop())
    whole.data_received(POST + b"\r\n0123456789")
    assert whole.eof_received()
    assert not whole.cycle.keep_alive
    whole.cycle.response_complete = True
    assert not whole.eof_received()
