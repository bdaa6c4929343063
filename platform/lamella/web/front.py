"""The ASGI application in front of Flask: lists that can be made at once are made on the event loop itself.

A thread for each request costs more than the request: to hand it over, to take turns at the interpreter lock, to wake
up when its write is done. So one thread, the loop's, makes the lists for which nothing has to be waited for: whose key,
configuration and models are in memory. All the rest, and whatever goes wrong here, runs in threads as WSGI, where it is
said how.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple, TypeAlias

import orjson
from werkzeug.exceptions import ClientDisconnected

from lamella.errors import Overloaded
from lamella.services.ids import new_id
from lamella.web.bridge import Bridge, Message, Receive, Scope, Send, begun
from lamella.web.problems import MEDIA_TYPE, document_of
from lamella.web.telemetry import Telemetry, request_id_of

HEALTH: Final = "/healthz"
MOST_BYTES: Final = 64 * 1024
"""A longer body takes long to be read; others wait meanwhile."""

AtOnce: TypeAlias = Callable[[str, bytes], Awaitable[bytes | None]]
"""The answer to a body that came with an Authorization header; None, or an error, where the loop is not to give it."""


class Front:
    """The ASGI application that answers `routes` (POST, by path) on the event loop and leaves the rest to `bridge`.

    `headers` go with every answer from here. `end` is called when the server has answered its last request.
    """

    def __init__(
        self,
        bridge: Bridge,
        routes: Mapping[str, AtOnce],
        *,
        telemetry: Telemetry,
        headers: Mapping[str, str],
        end: Callable[[], None],
    ) -> None:
        self._bridge, self._routes, self._telemetry, self._end = bridge, routes, telemetry, end
        said = {"content-type": "application/json", **headers}
        self._headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in said.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request; says that it has begun and ended."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http" and scope["path"] == HEALTH and scope["method"] == "GET":
            # Threads that are all at work, or held up, are no reason to end a process.
            wanted = dict(scope["headers"]).get(b"x-request-id", b"")
            await self._say(_Way(scope, receive, send), b'{"status":"ok"}', wanted, started=time.perf_counter())
        elif scope["type"] == "http":
            answer = self._routes.get(scope["path"])
            headers = None if answer is None else _plain_headers(scope)
            if answer is not None and headers is not None:
                await self._at_once(answer, headers, _Way(scope, receive, send))
            else:
                await self._in_a_thread(_Way(scope, receive, send))

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            phase = (await receive())["type"]
            is_end = phase == "lifespan.shutdown"
            if is_end:
                self._end()
            await send({"type": f"{phase}.complete"})
            if is_end:
                return

    async def _at_once(self, answer: AtOnce, headers: Mapping[bytes, bytes], way: "_Way") -> None:
        started = time.perf_counter()
        try:
            body, _ = await begun(way.receive)  # the whole of it: its length is declared, and short
        except ClientDisconnected:
            return
        try:
            found = await answer(headers[b"authorization"].decode("latin-1"), body)
        except Exception:  # noqa: BLE001 - whatever it is, it comes again where Flask renders it, counts it and logs it
            found = None
        if found is None:
            await self._in_a_thread(way._replace(receive=_again(body, way.receive)))
            return
        await self._say(way, found, headers.get(b"x-request-id", b""), started=started)

    async def _say(self, way: "_Way", body: bytes, wanted_id: bytes, *, started: float) -> None:
        """Answers 200 with `body`, JSON, and counts the request."""
        request_id = request_id_of(wanted_id.decode("latin-1"))
        sized = (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id.encode("latin-1"))
        await way.send({"type": "http.response.start", "status": 200, "headers": [*self._headers, *sized]})
        await way.send({"type": "http.response.body", "body": body})
        seconds, scope = time.perf_counter() - started, way.scope
        self._telemetry.finish(request_id, method=scope["method"], route=scope["path"], status=200, seconds=seconds)

    async def _in_a_thread(self, way: "_Way") -> None:
        """Answers by the bridge; where too much waits for it already, with a problem that says when to come back."""
        if not self._bridge.is_full:
            await self._bridge(way.scope, way.receive, way.send)
            return
        error, request_id = Overloaded("the queue of this process"), new_id()
        body = orjson.dumps({**document_of(error), "instance": way.scope["path"]})
        said = {
            "content-type": MEDIA_TYPE,
            "content-length": str(len(body)),
            "retry-after": str(error.retry_after_seconds),
            "x-request-id": request_id,
        }
        headers = [(name.encode(), value.encode()) for name, value in said.items()]
        await way.send({"type": "http.response.start", "status": HTTPStatus.TOO_MANY_REQUESTS, "headers": headers})
        await way.send({"type": "http.response.body", "body": body})
        self._telemetry.finish(
            request_id,
            method=way.scope["method"],
            route="none",
            status=HTTPStatus.TOO_MANY_REQUESTS,
            seconds=0.0,
            problem=error.code,
        )


class _Way(NamedTuple):
    """One request, as ASGI has it."""

    scope: Scope
    receive: Receive
    send: Send


def _plain_headers(scope: Scope) -> Mapping[bytes, bytes] | None:
    """The headers of a request in the form that programs send; None for any other.

    That is a POST of JSON, short and of declared length, with a key.
    """
    if scope["method"] != "POST" or scope["query_string"]:
        return None
    headers: dict[bytes, bytes] = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    is_plain = (
        len(headers) == len(scope["headers"])
        and headers.get(b"content-type") == b"application/json"
        and b"authorization" in headers
        and b"origin" not in headers
        and b"transfer-encoding" not in headers
        and length.isdigit()
        and int(length) <= MOST_BYTES
    )
    return headers if is_plain else None


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that begins with a body which was read."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return again
