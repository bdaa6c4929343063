"""The ASGI application in front of Flask: lists that can be made at once are made on the event loop itself.

A thread for each request costs more than the request: to hand it over, to take turns at the interpreter lock, to wake
up when its write is done. So one thread, the loop's, makes the lists for which nothing has to be waited for: whose key,
configuration and models are in memory. All the rest, and whatever goes wrong here, runs in threads as WSGI, where it is
said how.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
HEADS_KEPT: Final = 1024
LONGEST_HEAD_KEPT: Final = 2048
"""Heads that were read before are known again: of so many, up to so many bytes each."""
_LONGEST_LENGTH: Final = 20
"""The digits of a declared length; with more of them, zeros before it, a thread looks at it."""

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]
Reply: TypeAlias = Callable[[bytes | None], None]
"""Told the answer's body once what it says is durable; None where a thread is to answer, and nothing was recorded."""
Take: TypeAlias = Callable[[str, bytes, Reply], bool]
"""Whether the loop answers a body that came with an Authorization header; False, or an error, where a thread is to."""


class Said(NamedTuple):
    """An answer of 200: the headers that it has besides those of every answer from here, and its body."""

    headers: Headers
    body: bytes


Say: TypeAlias = Callable[[Said | None], None]
"""Told what the loop answers; None where a thread is to answer."""


class Head(NamedTuple):
    """What the head of a request that the loop may answer says: `length` is that of the body, in bytes."""

    take: Take
    path: str
    authorization: str
    request_id: str
    length: int


class Front:
    """The ASGI application that answers `routes` (POST, by path) on the event loop and leaves the rest to `bridge`.

    `headers` go with every answer from here. `end` is called when the server has answered its last request.
    """

    def __init__(
        self,
        bridge: Bridge,
        routes: Mapping[str, Take],
        *,
        telemetry: Telemetry,
        headers: Mapping[str, str],
        end: Callable[[], None],
    ) -> None:
        self._bridge, self._routes, self._telemetry, self._end = bridge, routes, telemetry, end
        self._heads: dict[bytes, Head] = {}
        said = {"content-type": "application/json", **headers}
        self.headers: Headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in said.items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request; says that it has begun and ended."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http" and scope["path"] == HEALTH and scope["method"] == "GET":
            # Threads that are all at work, or held up, are no reason to end a process.
            started, wanted = time.perf_counter(), dict(scope["headers"]).get(b"x-request-id", b"")
            request_id = request_id_of(wanted.decode("latin-1"))
            await self._send(send, _said(b'{"status":"ok"}', request_id))
            self._count(HEALTH, "GET", request_id, started)
        elif scope["type"] == "http" and (head := self.head_of(scope)) is not None:
            await self._at_once(head, scope, receive, send)
        elif scope["type"] == "http":
            await self.behind(scope, receive, send)

    def head_of(self, scope: Scope) -> Head | None:
        """The head of a request that the loop may answer once its body is whole; None where a thread is to.

        It has the form that programs send: a POST of JSON, short, of declared length, with a key.
        """
        take = self._routes.get(scope["path"])
        if take is None or scope["method"] != "POST" or scope["query_string"]:
            return None
        headers: dict[bytes, bytes] = dict(scope["headers"])
        length, key = headers.get(b"content-length", b""), headers.get(b"authorization")
        if (
            len(headers) != len(scope["headers"])
            or headers.get(b"content-type") != b"application/json"
            or key is None
            or b"origin" in headers
            or b"transfer-encoding" in headers
            or b"content-encoding" in headers
            or not length.isdigit()
            or len(length) > _LONGEST_LENGTH
            or int(length) > MOST_BYTES
        ):
            return None
        request_id = headers.get(b"x-request-id", b"").decode("latin-1")
        return Head(take, scope["path"], key.decode("latin-1"), request_id, int(length))

    def known(self, raw: bytes) -> Head | None:
        """The head that these bytes are, up to the empty line, where it was remembered."""
        return self._heads.get(raw)

    def remember(self, raw: bytes, head: Head) -> None:
        """Clients say the same head again and again: the next time nobody has to read it."""
        if len(raw) <= LONGEST_HEAD_KEPT:
            if len(self._heads) >= HEADS_KEPT:
                self._heads.clear()
            self._heads[raw] = head

    def offer(self, head: Head, body: bytes, say: Say) -> bool:
        """Whether the loop answers such a request; it then calls `say`, once, after this has returned."""
        started = time.perf_counter()

        def reply(found: bytes | None) -> None:
            if found is None:
                say(None)
                return
            request_id = request_id_of(head.request_id)
            say(_said(found, request_id))
            self._count(head.path, "POST", request_id, started)

        try:
            return head.take(head.authorization, body, reply)
        except Exception:  # noqa: BLE001 - whatever it is, it comes again where Flask renders it, counts it and logs it
            return False

    async def behind(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application that answers by the bridge.

        Where too much waits for a thread already, with a problem that says when to come back.
        """
        if not self._bridge.is_full:
            await self._bridge(scope, receive, send)
            return
        error, request_id = Overloaded("the queue of this process"), new_id()
        body = orjson.dumps({**document_of(error), "instance": scope["path"]})
        said = {
            "content-type": MEDIA_TYPE,
            "content-length": str(len(body)),
            "retry-after": str(error.retry_after_seconds),
            "x-request-id": request_id,
        }
        headers = [(name.encode(), value.encode()) for name, value in said.items()]
        await send({"type": "http.response.start", "status": HTTPStatus.TOO_MANY_REQUESTS, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._telemetry.finish(
            request_id,
            method=scope["method"],
            route="none",
            status=HTTPStatus.TOO_MANY_REQUESTS,
            seconds=0.0,
            problem=error.code,
        )

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            phase = (await receive())["type"]
            is_end = phase == "lifespan.shutdown"
            if is_end:
                self._end()
            await send({"type": f"{phase}.complete"})
            if is_end:
                return

    async def _at_once(self, head: Head, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body, _ = await begun(receive)  # the whole of it: its length is declared, and short
        except ClientDisconnected:
            return
        told: asyncio.Future[Said | None] = asyncio.get_running_loop().create_future()
        said = await told if self.offer(head, body, partial(_settle, told)) else None
        if said is None:
            await self.behind(scope, _again(body, receive), send)
        else:
            await self._send(send, said)

    def _count(self, path: str, method: str, request_id: str, started: float) -> None:
        """Counts a request that was answered with 200."""
        seconds = time.perf_counter() - started
        self._telemetry.finish(request_id, method=method, route=path, status=200, seconds=seconds)

    async def _send(self, send: Send, said: Said) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [*self.headers, *said.headers]})
        await send({"type": "http.response.body", "body": said.body})


def _said(body: bytes, request_id: str) -> Said:
    return Said(((b"content-length", b"%d" % len(body)), (b"x-request-id", request_id.encode("latin-1"))), body)


def _settle(told: "asyncio.Future[Said | None]", said: Said | None) -> None:
    if not told.done():  # the request was given up
        told.set_result(said)


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that begins with a body which was read."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return again
