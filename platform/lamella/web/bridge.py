"""A WSGI application as an ASGI one: its requests run in threads, while the event loop reads and writes for them."""

import asyncio
import io
import sys
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
"""A body of at most that declared length is read before a thread is taken: who sends slowly holds none."""
SILENCE_SECONDS: Final = 30.0
"""So long a thread waits for the next piece of a body."""
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
    """The ASGI application that runs `app` in up to `threads` threads."""

    def __init__(self, app: WsgiApplication, *, threads: int) -> None:
        self._app = app
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="lamella-web")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request. Nobody is answered who has gone."""
        loop = asyncio.get_running_loop()
        length = length_of(scope)
        body: io.BufferedIOBase
        try:
            if length is not None and length <= IN_MEMORY_BYTES:
                body = io.BytesIO(await whole(receive))
            else:
                body = io.BufferedReader(_Stream(receive, loop), _PART_BYTES)
            answer = await loop.run_in_executor(self._pool, self._begin, environ_of(scope, body))
        except ClientDisconnected:
            return
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
            found = int(value)
    return found


async def whole(receive: Receive) -> bytes:
    """The body of a request. Raises ClientDisconnected."""
    message = await receive()
    if not message.get("more_body") and message["type"] == "http.request":
        return bytes(message.get("body", b""))
    parts = []
    while message["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
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
        said = value.decode("latin-1")
        environ[key] = f"{environ[key]},{said}" if key in environ else said
    return environ


class _Stream(io.RawIOBase):
    """A body that a thread reads while it arrives."""

    def __init__(self, receive: Receive, loop: asyncio.AbstractEventLoop) -> None:
        self._receive, self._loop = receive, loop
        self._held, self._is_more = memoryview(b""), True

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """How many bytes more are in `buffer`; 0 at the end. Raises ClientDisconnected."""
        while not self._held and self._is_more:
            coming = asyncio.run_coroutine_threadsafe(_received(self._receive), self._loop)
            try:
                message = coming.result(SILENCE_SECONDS)
            except TimeoutError:
                coming.cancel()
                raise ClientDisconnected from None
            if message["type"] != "http.request":
                raise ClientDisconnected
            self._held, self._is_more = memoryview(message.get("body", b"")), bool(message.get("more_body"))
        count = min(len(buffer), len(self._held))
        buffer[:count] = self._held[:count]
        self._held = self._held[count:]
        return count


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
