"""A WSGI application as an ASGI one: its requests run in threads, while the event loop reads and writes for them."""

import asyncio
import io
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

from werkzeug.exceptions import ClientDisconnected

from lamella.web.lane import WsgiApplication

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

IN_MEMORY_BYTES: Final = 256 * 1024
"""So much of a body is read before a thread is taken: who sends that slowly holds none."""
PATIENCE_SECONDS: Final = 30.0
LEAST_BYTES_PER_SECOND: Final = 32 * 1024
"""So long a thread waits for a longer body, and as much longer as it takes at that rate."""
UNDER_WAY_FOR_EACH_THREAD: Final = 64
"""So many requests that have arrived may be there for each thread; they wait in memory, each with its body."""
_PART_BYTES: Final = 64 * 1024
_NAMED: Final = {b"content-length": "CONTENT_LENGTH", b"content-type": "CONTENT_TYPE"}


class _Answer(NamedTuple):
    """What the application began to answer: `rest` has what is not in `body` yet, None where that is all."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    rest: Iterator[bytes] | None
    close: Callable[[], None]


class Bridge:
    """The ASGI application that runs `app` in up to `threads` threads.

    Half of the threads at most are held by bodies that are too long for the memory and still arrive.
    """

    def __init__(self, app: WsgiApplication, *, threads: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._app, self._monotonic = app, monotonic
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="lamella-web")
        self._arriving = asyncio.Semaphore(max(threads // 2, 1))
        self._most, self._under_way = threads * UNDER_WAY_FOR_EACH_THREAD, 0

    @property
    def is_full(self) -> bool:
        """Whether so many requests have a thread or wait for one that no other should be taken."""
        return self._under_way >= self._most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request. Nobody is answered who has gone."""
        try:
            answer = await self._answered(scope, receive)
        except ClientDisconnected:
            return
        await self._say(answer, send)

    async def _answered(self, scope: Scope, receive: Receive) -> _Answer:
        """The answer of the application. Raises ClientDisconnected."""
        length = length_of(scope)
        first, is_whole = b"", False
        if length is None or length <= IN_MEMORY_BYTES:
            first, is_whole = await begun(receive)
        if is_whole:
            return await self._run(environ_of(scope, io.BytesIO(first)))
        stream = _Stream(first, receive, asyncio.get_running_loop(), self._monotonic)
        async with self._arriving:
            return await self._run(environ_of(scope, io.BufferedReader(stream, _PART_BYTES)))

    async def _run(self, environ: dict[str, Any]) -> _Answer:
        # Counted from here on only: whoever sends slowly must not fill the queue for the others.
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._begin, environ)
        finally:
            self._under_way -= 1

    async def _say(self, answer: _Answer, send: Send) -> None:
        loop = asyncio.get_running_loop()
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            await send({"type": "http.response.body", "body": answer.body, "more_body": answer.rest is not None})
            while answer.rest is not None:
                part = await loop.run_in_executor(self._pool, next, answer.rest, None)
                await send({"type": "http.response.body", "body": part or b"", "more_body": part is not None})
                if part is None:
                    break
        finally:
            if answer.rest is not None:
                await loop.run_in_executor(self._pool, answer.close)

    def _begin(self, environ: dict[str, Any]) -> _Answer:
        """The head of the answer and its body, the whole of it where it is short."""
        said: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], _fault: object = None
        ) -> Callable[[bytes], None]:
            said[:] = [(status, headers)]
            return _refuse_to_write

        chunks = self._app(environ, start_response)
        close = getattr(chunks, "close", _nothing)
        try:
            parts = iter(chunks)
            body, is_whole = _first(parts)
        except BaseException:
            close()
            raise
        if is_whole:
            close()
        status, headers = said[0]
        named = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return _Answer(int(status.partition(" ")[0]), named, body, None if is_whole else parts, close)


def length_of(scope: Scope) -> int | None:
    """The length of the body: as it was declared, 0 where there is none, None where it comes in chunks."""
    found: int | None = 0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length" and value.isdigit():
            found = int(_short(value))
    return found


async def begun(receive: Receive) -> tuple[bytes, bool]:
    """What has come of a body when it is whole, or too long for the memory; and whether it is whole.

    Raises ClientDisconnected.
    """
    message = await receive()
    if not message.get("more_body") and message["type"] == "http.request":
        return bytes(message.get("body", b"")), True
    parts, size = [], 0
    while message["type"] == "http.request":
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if not message.get("more_body") or size > IN_MEMORY_BYTES:
            return b"".join(parts), not message.get("more_body")
        message = await receive()
    raise ClientDisconnected


def environ_of(scope: Scope, body: io.BufferedIOBase) -> dict[str, Any]:
    """The request as PEP 3333 has it; the path is that which was sent, its bytes as Latin-1."""
    host, port = scope.get("server") or ("localhost", 80)
    client = scope.get("client") or ("", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"].partition(b"?")[0]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or 0),
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope["headers"]:
        if b"_" in name:  # it would pass for the one with a hyphen
            continue
        key = _NAMED.get(name) or "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
        said = (_short(value) if key == "CONTENT_LENGTH" else value).decode("latin-1")
        environ[key] = f"{environ[key]},{said}" if key in environ else said
    return environ


def _short(length: bytes) -> bytes:
    """The number without zeros before it: Python reads none of thousands of digits."""
    return length.lstrip(b"0") or b"0"


class _Stream(io.RawIOBase):
    """A body that a thread reads while it arrives; `first` is what has come of it."""

    def __init__(
        self, first: bytes, receive: Receive, loop: asyncio.AbstractEventLoop, monotonic: Callable[[], float]
    ) -> None:
        self._receive, self._loop, self._monotonic = receive, loop, monotonic
        self._held, self._is_more = memoryview(first), True
        self._waited = 0.0
        self._patience = PATIENCE_SECONDS

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """How many bytes more are in `buffer`; 0 at the end. Raises ClientDisconnected, also of one who is too slow."""
        while not self._held and self._is_more:
            message = self._next()
            if message["type"] != "http.request":
                raise ClientDisconnected
            self._held, self._is_more = memoryview(message.get("body", b"")), bool(message.get("more_body"))
            self._patience += len(self._held) / LEAST_BYTES_PER_SECOND
        count = min(len(buffer), len(self._held))
        buffer[:count] = self._held[:count]
        self._held = self._held[count:]
        return count

    def _next(self) -> Message:
        began = self._monotonic()
        if self._waited > self._patience:
            raise ClientDisconnected
        coming = asyncio.run_coroutine_threadsafe(_received(self._receive), self._loop)
        try:
            message = coming.result(self._patience - self._waited)
        except TimeoutError:
            coming.cancel()
            raise ClientDisconnected from None
        self._waited += self._monotonic() - began
        return message


async def _received(receive: Receive) -> Message:
    return await receive()


def _first(parts: Iterator[bytes]) -> tuple[bytes, bool]:
    """The parts up to some length as one, and whether there are no others."""
    found, size = [], 0
    for part in parts:
        found.append(part)
        size += len(part)
        if size > _PART_BYTES:
            return b"".join(found), False
    return b"".join(found), True


def _refuse_to_write(_data: bytes) -> None:
    raise RuntimeError("an application here answers by what it returns")


def _nothing() -> None:
    """Nothing is to be closed."""
