"""A WSGI application as an ASGI one."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest
from flask import Flask, request

from asgi_calls import ask, call, scope_of
from lamella.web.bridge import IN_MEMORY_BYTES, UNDER_WAY_FOR_EACH_THREAD, Bridge

LONG = b"0123456789abcdef" * (IN_MEMORY_BYTES // 16 + 1)


def bridged(app: Any) -> Bridge:
    return Bridge(app, threads=2)


class Echo:
    """Answers with its body, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.threads: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.asked.append(environ)
        self.threads.append(threading.current_thread().name)
        body = environ["wsgi.input"].read()
        start_response("201 Created", [("Content-Type", "text/plain"), ("X-Said", "é")])
        return [body]


@pytest.mark.parametrize(
    "parts", [(b"",), (b"hello",), (b"he", b"", b"llo"), (LONG, LONG)], ids=["none", "1", "3", "long"]
)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_the_body_arrives_whole_however_it_is_sent(parts: tuple[bytes, ...], is_chunked: bool) -> None:
    echo = Echo()
    answered = call(bridged(echo), "POST", "/echo", *parts, is_chunked=is_chunked)
    assert (answered.status, answered.body) == (201, b"".join(parts))
    assert answered.headers == {"content-type": "text/plain", "x-said": "é"}
    assert echo.threads[0].startswith("lamella-web")


def test_the_application_is_told_what_was_sent() -> None:
    echo = Echo()
    headers = {"Content-Type": "text/x", "X-Twice": "a", "x-twice": "b", "X_Twice": "c", "Host": "here:1"}
    call(bridged(echo), "PUT", "/a%2Fb//%E8%AF%BB%ff?q=%20&r", b"xyz", headers=headers)
    (environ,) = echo.asked
    assert environ["PATH_INFO"].encode("latin-1") == b"/a/b//\xe8\xaf\xbb\xff"
    assert (environ["REQUEST_METHOD"], environ["SCRIPT_NAME"], environ["QUERY_STRING"]) == ("PUT", "", "q=%20&r")
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"], environ["HTTP_X_TWICE"]) == ("text/x", "3", "a,b")
    assert (environ["REMOTE_ADDR"], environ["SERVER_PORT"], environ["HTTP_HOST"]) == ("127.0.0.1", "8000", "here:1")


def test_it_keeps_to_pep_3333() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        assert environ["wsgi.input"].read(3) == b"abc"
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"fine"]

    assert call(bridged(validator(app)), "POST", "/", b"abc", b"def").body == b"fine"


def test_a_long_answer_goes_out_in_parts_and_is_closed_at_its_end() -> None:
    closed: list[str] = []

    class Parts:
        def __iter__(self) -> Iterator[bytes]:
            for _ in range(5):
                yield b"x" * 100_000
                assert not closed

        def close(self) -> None:
            closed.append(threading.current_thread().name)

    def app(_: dict[str, Any], start_response: Callable[..., Any]) -> Parts:
        start_response("200 OK", [])
        return Parts()

    answered = call(bridged(app), "GET", "/")
    assert answered.body == b"x" * 500_000
    assert len(answered.parts) > 4
    assert len(closed) == 1


def test_what_fails_is_closed_and_said_to_the_server() -> None:
    closed: list[bool] = []

    class Broken:
        def __iter__(self) -> Iterator[bytes]:
            raise ZeroDivisionError

        def close(self) -> None:
            closed.append(True)

    def app(_: dict[str, Any], start_response: Callable[..., Any]) -> Broken:
        start_response("200 OK", [])
        return Broken()

    with pytest.raises(ZeroDivisionError):
        call(bridged(app), "GET", "/")
    assert closed == [True]


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("size", [10, IN_MEMORY_BYTES + 1])
def test_half_a_body_is_never_taken_for_a_whole_one(size: int, is_chunked: bool) -> None:
    taken: list[bytes] = []
    app = Flask(__name__)

    @app.post("/")
    def take() -> str:
        taken.append(request.get_data())
        return "taken"

    call(bridged(app), "POST", "/", b"x" * size, is_chunked=is_chunked, is_whole=False)
    assert taken == []


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 1_000

    @app.post("/")
    def take() -> str:
        return str(len(request.get_data()))

    assert call(bridged(app), "POST", "/", b"x" * 1_000).body == b"1000"
    for size in (1_001, IN_MEMORY_BYTES + 1):
        assert call(bridged(app), "POST", "/", b"x" * size).status == 413


def test_a_long_body_that_does_not_come_on_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamella.web.bridge.PATIENCE_SECONDS", 0.01)
    echo, sent = Echo(), list[object]()

    async def silent() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    async def send(message: object) -> None:
        sent.append(message)

    asyncio.run(bridged(echo)(scope_of("POST", "/", [], length=IN_MEMORY_BYTES + 1), silent, send))
    assert sent == []


@pytest.mark.parametrize(("size", "status"), [(1, 0), (20_000, 0), (40_000, 201)])
def test_a_long_body_is_given_up_where_it_comes_slower_than_is_allowed(size: int, status: int) -> None:
    bridge = Bridge(Echo(), threads=2, monotonic=itertools.count().__next__)  # a second passes with each piece
    parts = [b"x" * size] * 100
    headers = {"Content-Length": str(IN_MEMORY_BYTES + 1)}
    scope = scope_of("POST", "/", headers.items())
    assert asyncio.run(ask(bridge, scope, parts)).status == status


class Sender:
    """A client that sends the parts of a body when it is told to, and hears the answer."""

    def __init__(self, bridge: Bridge, *, length: int | None) -> None:
        self.parts: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue()
        self.sent: list[Any] = []
        headers = [("Transfer-Encoding", "chunked")] if length is None else []
        self.task = asyncio.create_task(
            bridge(scope_of("POST", "/", headers, length=length), self._receive, self._send)
        )

    async def _receive(self) -> dict[str, Any]:
        body, is_last = await self.parts.get()
        return {"type": "http.request", "body": body, "more_body": not is_last}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    async def end(self, last: bytes) -> bytes:
        self.parts.put_nowait((last, True))
        await self.task
        return b"".join(each.get("body", b"") for each in self.sent)


@pytest.mark.parametrize("length", [None, 10])
def test_who_sends_a_short_body_slowly_holds_no_thread(length: int | None) -> None:
    async def run() -> None:
        bridge = Bridge(Echo(), threads=1)
        slow = [Sender(bridge, length=length) for _ in range(5)]
        for each in slow:
            each.parts.put_nowait((b"01234", False))
        assert await Sender(bridge, length=3).end(b"abc") == b"abc"
        assert [await each.end(b"56789") for each in slow] == [b"0123456789"] * 5

    asyncio.run(run())


def test_who_sends_long_bodies_slowly_holds_half_of_the_threads() -> None:
    async def run() -> None:
        bridge, long = Bridge(Echo(), threads=2), IN_MEMORY_BYTES + 1
        slow = [Sender(bridge, length=length) for length in (long, None, long)]
        for each in slow:
            each.parts.put_nowait((b"x" * (long - 1), False))
        for _ in range(20):
            assert await Sender(bridge, length=3).end(b"abc") == b"abc"
        assert [len(await each.end(b"y")) for each in slow] == [long] * 3

    asyncio.run(run())


def test_it_says_when_too_much_waits_for_a_thread() -> None:
    go = threading.Event()

    def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        go.wait(60)
        start_response("200 OK", [])
        return [b"done"]

    async def run() -> None:
        bridge = Bridge(app, threads=1)
        waiting = [Sender(bridge, length=3) for _ in range(UNDER_WAY_FOR_EACH_THREAD)]
        slow = Sender(bridge, length=3)
        await asyncio.sleep(0)
        assert not bridge.is_full  # nobody's body is there
        ends = [asyncio.create_task(each.end(b"abc")) for each in waiting]
        while not bridge.is_full:
            await asyncio.sleep(0)
        go.set()
        assert await asyncio.gather(*ends) == [b"done"] * UNDER_WAY_FOR_EACH_THREAD
        assert not bridge.is_full
        assert await slow.end(b"abc") == b"done"

    asyncio.run(run())
