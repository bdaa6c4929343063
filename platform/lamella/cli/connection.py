"""A connection to a web process: uvicorn's, with bounds on what a client may make us keep."""

import asyncio
from collections.abc import Callable, Sized
from typing import Final, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from lamella.web.bridge import Scope
from lamella.web.front import Front, Head, Headers, Said

HEAD_BYTES: Final = 65_536
"""What may come without a request, or a piece of a body, to show for it; as much as one read brings comes on top."""
SILENCE_SECONDS: Final = 30.0
"""So long the next piece of a body is waited for."""
LINGER_SECONDS: Final = 10.0
"""So long the rest of a body is read whose request was answered before: who is cut off while sending hears nothing."""
_EMPTY_LINE: Final = b"\r\n\r\n"
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Flow(FlowControl):
    """Reads nothing while requests wait for their turn: who sends them faster than they are answered has to wait."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Read on, unless requests wait; the last of them reads on."""
        if not self._waiting:
            super().resume_reading()


class Lingering:
    """A transport that is not closed before the client has heard the answer: while it sends, it does not listen."""

    def __init__(self, transport: asyncio.Transport, end: Callable[[], None]) -> None:
        self._transport, self._end = transport, end

    def write(self, data: bytes) -> None:
        """Sends."""
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Ends it, now or when the client is done."""
        self._end()


class Connection(HttpToolsProtocol):
    """uvicorn's connection, where a head (or a trailer) has a length and a time by which it is complete.

    uvicorn keeps what comes for as long as it comes, and for ever a connection on which nothing complete comes. One
    whose body stops coming is closed as well. What a `Front` answers on the loop is offered to it here, without a task
    of its own; and without a parser where it comes whole, behind a head whose every byte came before.
    """

    when_lost: Callable[[float], None] | None = None
    """Told in the end how many seconds the connection has lasted."""
    _since = 0.0
    _unfinished: tuple[Front, Head, RequestResponseCycle] | None = None
    _offered: tuple[Head, ...] = ()
    _unparsed: bytes | None = None
    _early = b""
    _is_last = False
    _is_declined = False
    _is_begun = False
    _given: Headers | None = None
    _lines = b""
    _unheard = 0
    _deadline: float | None = None
    _is_body_due = False
    _is_over = False
    _silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """One that says nothing is closed like one that has fallen silent."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self.flow = Flow(transport, self.pipeline)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Requests that came whole are under way when this returns; a part of one is bounded."""
        if self._unparsed is not None:
            self._early += data
            self.flow.pause_reading()
            return
        is_between = self._is_idle and not self._is_begun
        if is_between and self._repeats(data):
            return
        self._unset_keepalive_if_required()
        self._unheard += len(data)
        self._offered = ()
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        if is_between:
            self._remember(data)
        if self._unheard:
            self._bound()
        # A request that came whole, as most do, needs neither.
        if self._is_body_due:
            self.cycle.transport = Lingering(self.transport, self._end)  # type: ignore[assignment] # all that it uses
            self._await_body()

    def eof_received(self) -> bool:  # type: ignore[override] # as asyncio's
        """Whether the transport stays open: a client that has said all that it wants to say still listens."""
        if self._unparsed is not None:
            self._is_last = True
            return True
        is_answering = not self._is_idle and not self._is_body_due
        if is_answering:
            self.cycle.keep_alive = False
        return is_answering

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_waiting()
        super().connection_lost(exc)
        if self.when_lost is not None:
            self.when_lost(self.loop.time() - self._since)

    def shutdown(self) -> None:
        """The server ends: so does the connection, once what it was asked is answered."""
        if self._unparsed is None:
            super().shutdown()
        else:
            self._is_last = True

    def on_message_begin(self) -> None:
        """The first byte of a head has come: what comes next is not the beginning of one."""
        self._is_begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self._heard()
        self._is_body_due = True
        if not self._offers_upgrade():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body has come."""
        self._heard()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is complete."""
        self._heard()
        self._is_body_due = self._is_begun = False
        self._stop_waiting()
        if self._is_over:
            self.transport.close()
        if not self._offers_upgrade():
            super().on_message_complete()
            whole, self._unfinished = self._unfinished, None
            if whole is not None:
                self._offer(*whole)

    def _repeats(self, data: bytes) -> bool:
        """Whether it is one whole request behind a head that is known; it is under way then."""
        if not isinstance(front := self.app, Front) or self.flow.write_paused:
            return False
        at = data.find(_EMPTY_LINE)
        end = at + len(_EMPTY_LINE)
        head = front.known(data[:end]) if at >= 0 else None
        if head is None or len(data) != end + head.length:
            return False
        self._unset_keepalive_if_required()
        self._heard()
        self._unparsed = data

        def say(said: Said | None) -> None:
            if self.transport.is_closing():
                self._unparsed = None
            elif said is None:
                self._decline(data)
            else:
                self._unparsed = None
                self._send(front, said, is_last=self._is_last and not self._early)
                self._go_on()

        if not front.offer(head, data[end:], say):
            self._decline(data)
        return True

    def _decline(self, data: bytes) -> None:
        """Has a thread answer what was not parsed."""
        self._unparsed, self._is_declined = None, True
        self._unheard += len(data)
        self._parse(data)
        self._go_on()

    def _go_on(self) -> None:
        """What came before its turn has it now."""
        early, self._early = self._early, b""
        if early:
            self.data_received(early)
        if self._is_last and not self.transport.is_closing():
            self.shutdown()

    def _remember(self, data: bytes) -> None:
        """Remembers the head that was parsed, where it and its body are all that there was to parse."""
        at = data.find(_EMPTY_LINE)
        for head in self._offered:
            if isinstance(self.app, Front) and at >= 0 and len(data) == at + len(_EMPTY_LINE) + head.length:
                self.app.remember(data[: at + len(_EMPTY_LINE)], head)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Has a request answered: on the loop where a front may do that, once the body is whole, else by a task."""
        is_simple = cycle.keep_alive and not cycle.waiting_for_100_continue and not self.flow.write_paused
        is_declined, self._is_declined = self._is_declined, False
        head = app.head_of(_scope_of(cycle)) if isinstance(app, Front) and is_simple else None
        if not isinstance(app, Front) or head is None:
            super()._start_asgi_task(cycle, app)
            return
        self._offered = (head,)
        if is_declined:
            self._start_behind(app, cycle)
        elif cycle.more_body:
            self._unfinished = app, head, cycle
            self.flow.resume_reading()  # as whoever asks for a body does: it may have waited for its turn
        else:
            self._offer(app, head, cycle)

    def _offer(self, front: Front, head: Head, cycle: RequestResponseCycle) -> None:
        def say(said: Said | None) -> None:
            if said is None:
                self._start_behind(front, cycle)
            elif not (cycle.disconnected or self.transport.is_closing()):
                self._answer(front, cycle, said)

        if not front.offer(head, bytes(cycle.body), say):
            self._start_behind(front, cycle)

    def _start_behind(self, front: Front, cycle: RequestResponseCycle) -> None:
        super()._start_asgi_task(cycle, front.behind)  # type: ignore[arg-type] # uvicorn names every message there is

    def _answer(self, front: Front, cycle: RequestResponseCycle, said: Said) -> None:
        """Sends it, and does the rest that `RequestResponseCycle.send` and `run_asgi` do with an answer."""
        cycle.response_started = cycle.response_complete = True
        cycle.on_response = _nothing  # else the two would keep each other in memory
        self._send(front, said, is_last=not cycle.keep_alive)

    def _send(self, front: Front, said: Said, *, is_last: bool) -> None:
        own = b"".join([b"%b: %b\r\n" % header for header in said.headers])
        end = b"connection: close\r\n\r\n" if is_last else b"\r\n"
        self.transport.write(b"".join((self._first_lines(front), own, end, said.body)))
        if is_last:
            self.transport.close()
        self.on_response_complete()

    def _first_lines(self, front: Front) -> bytes:
        """The status, and the headers of all such answers: the server makes a new list of its own now and then."""
        given = self.server_state.default_headers
        if given is not self._given:
            lines = [b"%b: %b\r\n" % header for header in (*given, *front.headers)]
            self._given, self._lines = given, b"HTTP/1.1 200 OK\r\n" + b"".join(lines)
        return self._lines

    @property
    def _is_idle(self) -> bool:
        """Whether no request waits for an answer."""
        return self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr] # None at first

    def _parse(self, data: bytes | memoryview) -> None:
        """An offer of another protocol (h2c, by many clients with their first request) is passed over.

        The parser would take the body for that protocol: the request is parsed again, without the offer.
        """
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if self._is_tunnel():
                    self.send_400_response("No tunnels here.")
                    return
                head = self._head()
                self.parser = httptools.HttpRequestParser(self)
                self.parser.feed_data(head)
                data = memoryview(data)[offer.args[0] :]
            else:
                return

    def _offers_upgrade(self) -> bool:
        """Whether it ends, as far as this parser goes, with its head: an offer, or a tunnel that is asked for."""
        return bool(self.parser.should_upgrade()) or self._is_tunnel()

    def _is_tunnel(self) -> bool:
        return bool(self.parser.get_method() == b"CONNECT")

    def _head(self) -> bytes:
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _heard(self) -> None:
        self._unheard, self._deadline = 0, None

    def _bound(self) -> None:
        if self._unheard > HEAD_BYTES:
            if self._is_idle:
                self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._is_idle:
            self._await_head()

    def _await_head(self) -> None:
        # What comes restarts no clock: a head in single bytes has the time of one that comes at once.
        if self._deadline is None:
            self._deadline = self.loop.time() + self.timeout_keep_alive
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_at(self._deadline, self.timeout_keep_alive_handler)

    def _await_body(self) -> None:
        if self._is_over:
            return
        self._stop_waiting()
        self._silence = self.loop.call_later(SILENCE_SECONDS, self._fall_silent)

    def _end(self) -> None:
        """Closes the connection; while a body arrives, only our side of it, for some time."""
        if not self._is_body_due:
            self.transport.close()
        elif not self._is_over:
            self._is_over = True
            self.transport.write_eof()
            self._stop_waiting()
            self._silence = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def _fall_silent(self) -> None:
        """Closes the connection, unless it was for us to read on, or to ask for the body."""
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:
            self._await_body()
        else:
            self.transport.close()


def _nothing() -> None:
    """Nobody waits for it."""


def _scope_of(cycle: RequestResponseCycle) -> Scope:
    return cast("Scope", cycle.scope)
