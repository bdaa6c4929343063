"""How long a connection waits for a head."""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from lamella.cli.connection import Connection


class Loop:
    """What a connection asks of its event loop, at a time that the test sets."""

    def __init__(self) -> None:
        self.now, self.ends = 100.0, [0.0]

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, _callback: object) -> "Loop":
        self.ends.append(when)
        return self

    def cancel(self) -> None:
        self.ends.append(0.0)


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
