"""One connection of a web process without a socket, and what its client was sent."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPMessage, parse_headers
from io import BytesIO

from uvicorn.config import Config
from uvicorn.server import ServerState

from front_stand import PATH
from lamella.cli.connection import Connection

WHO = b'{"unit": "ann"}'


@dataclass
class Client(asyncio.Transport):
    """A client's end: what it was sent, and what became of the connection."""

    sent: bytes = b""
    is_closed: bool = False
    is_paused: bool = False
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def get_extra_info(self, _name: str, default: object = None) -> object:
        return default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)
        self.told.set()

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    async def answers(self, count: int) -> Sequence[tuple[int, HTTPMessage, bytes]]:
        """Status, headers and body of so many answers."""
        while True:
            found = answers_in(self.sent)
            if len(found) >= count:
                return found
            self.told.clear()
            await asyncio.wait_for(self.told.wait(), 10)


def answers_in(sent: bytes) -> list[tuple[int, HTTPMessage, bytes]]:
    """The answers that are there as a whole."""
    found, stream = [], BytesIO(sent)
    while line := stream.readline():
        headers = parse_headers(stream)
        body = stream.read(int(headers["content-length"] or 0))
        if len(body) < int(headers["content-length"] or 0):
            break
        found.append((int(line.split()[1]), headers, body))
    return found


def connect(stand, **settings: object) -> tuple[Connection, Client]:
    config = Config(stand.front, ws="none", log_config=None, proxy_headers=False, lifespan="off", **settings)
    config.load()
    connection, client = Connection(config, ServerState(), {}, _loop=asyncio.get_running_loop()), Client()
    connection.connection_made(client)
    return connection, client


def request(stand, body: bytes = WHO, *, version: str = "1.1", **headers: str) -> bytes:
    said = {"Host": "a", **stand.headers(**headers), "Content-Length": str(len(body))}
    lines = [f"POST {PATH} HTTP/{version}", *(f"{name}: {value}" for name, value in said.items())]
    head = "\r\n".join([*lines, "", ""]).encode()
    if stand.are_heads_known:
        introduce(stand, head, len(body))
    return head + body


def introduce(stand, head: bytes, length: int) -> None:
    """Has the head come once, with a body that makes no list."""

    async def run() -> None:
        connection, client = connect(stand)
        connection.data_received(head + b"x" * length)
        await client.answers(1)
        connection.connection_lost(None)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, run()).result()


def asked(stand, *pieces: bytes, count: int = 1) -> tuple[Sequence[tuple[int, HTTPMessage, bytes]], Client]:
    """The answers to what comes on one connection, in these pieces."""

    async def run() -> tuple[Sequence[tuple[int, HTTPMessage, bytes]], Client]:
        connection, client = connect(stand)
        for piece in pieces:
            async with asyncio.timeout(10):
                while client.is_paused:
                    await asyncio.sleep(0.001)
            connection.data_received(piece)
        found = await client.answers(count)
        await asyncio.sleep(0)
        was_closed = client.is_closed
        connection.connection_lost(None)  # which closes it
        client.is_closed = was_closed
        return found, client

    return asyncio.run(run())
