"""Lists for requests of one connection after the other: each step for all that have come, one write, the answers."""

import asyncio
import gc
import itertools
import random
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPMessage, parse_headers
from io import BytesIO

import orjson
import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from front_stand import PATH
from lamella.cli.connection import Connection
from lamella.errors import Overloaded
from lamella.events.codec import decode
from lamella.services.recommending import Found
from lamella.web.at_once import MOST_TOGETHER
from lamella.web.front import HEADS_KEPT, LONGEST_HEAD_KEPT

WHO = b'{"unit": "ann"}'


@pytest.fixture(params=["new heads", "known heads"], autouse=True)
def are_heads_known(request, stand) -> None:
    """All that holds here holds for heads that are read for the first time, and for those that came before."""
    stand.are_heads_known = request.param == "known heads"


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


@pytest.mark.parametrize("is_in_pieces", [False, True])
def test_a_connection_answers_as_any_other_server_would(stand, is_in_pieces):
    whole = request(stand, b'{"unit": "ann", "request_id": "r-1"}')
    head, body = whole[:-10], whole[-10:]
    ((status, headers, text),), client = asked(stand, *([head, body] if is_in_pieces else [whole]))
    wanted = stand.post(b'{"unit": "ann", "request_id": "r-1"}')
    assert (status, text) == (wanted.status, wanted.body)
    assert dict(headers.items()) == dict(wanted.headers)
    assert (stand.at_once, client.is_closed) == (2, False)


@pytest.mark.parametrize("size", [100_000, 300, 7], ids=["whole", "cut", "in bits"])
def test_requests_behind_each_other_are_answered_in_their_order(stand, size):
    bodies = [b'{"unit": "u-%d"}' % number for number in range(3)]
    sent = b"".join(request(stand, body) for body in bodies)
    found, client = asked(stand, *(sent[at : at + size] for at in range(0, len(sent), size)), count=3)
    assert [orjson.loads(body)["unit"] for _, _, body in found] == ["u-0", "u-1", "u-2"]
    assert stand.at_once == 3
    assert not client.is_paused


@pytest.mark.parametrize(
    ("version", "headers"), [("1.1", {"Connection": "close"}), ("1.0", {})], ids=["close", "HTTP/1.0"]
)
def test_who_wants_no_more_is_let_go(stand, version, headers):
    ((status, said, _),), client = asked(stand, request(stand, version=version, **headers))
    assert (status, said["connection"], client.is_closed) == (200, "close", True)


def test_a_server_that_ends_lets_the_client_go_with_its_answer(stand):
    async def run() -> Client:
        connection, client = connect(stand)
        connection.data_received(request(stand))
        connection.shutdown()
        ((status, headers, _),) = await client.answers(1)
        assert (status, headers["connection"]) == (200, "close")
        return client

    assert asyncio.run(run()).is_closed
    assert stand.at_once == 1


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [(b'{"unit": ""}', {}, 400), (WHO, {"Authorization": "Bearer lam_nobody"}, 401), (WHO, {"Expect": "x"}, 200)],
    ids=["bad", "stranger", "expects"],
)
def test_what_the_loop_does_not_answer_a_thread_does(stand, body, headers, status):
    ((found, _, _),), _ = asked(stand, request(stand, body, **headers))
    assert (found, stand.at_once) == (status, int(status == 200))


def test_what_cannot_be_written_is_said_by_a_thread(stand, monkeypatch):
    stand.together.error = Overloaded("the inbox")

    def full(_batch: bytes) -> None:
        raise Overloaded("the inbox")

    monkeypatch.setattr(stand.lab.record, "append", full)
    ((status, headers, body),), client = asked(stand, request(stand))
    assert (status, orjson.loads(body)["code"]) == (429, "overloaded")
    assert "retry-after" in headers
    assert not client.is_closed


def test_who_does_not_read_is_waited_for(stand):
    async def run() -> None:
        connection, client = connect(stand)
        connection.pause_writing()
        connection.data_received(request(stand))
        await asyncio.sleep(0.2)
        assert (client.sent, stand.at_once) == (b"", 1)
        connection.resume_writing()
        assert [status for status, _, _ in await client.answers(1)] == [200]

    asyncio.run(run())


def test_who_has_gone_is_recorded_and_not_answered(stand):
    async def run() -> Client:
        connection, client = connect(stand)
        connection.data_received(request(stand))
        connection.connection_lost(None)
        await asyncio.sleep(0.1)
        return client

    assert asyncio.run(run()).sent == b""
    assert stand.at_once == 1


def many(stand, count: int) -> Sequence[int]:
    """The statuses of requests that come at one moment, a connection each."""

    async def run() -> list[int]:
        ends = [connect(stand) for _ in range(count)]
        for number, (connection, _) in enumerate(ends):
            connection.data_received(request(stand, b'{"unit": "u-%d"}' % number))
        found = [await client.answers(1) for _, client in ends]
        for connection, _ in ends:
            connection.connection_lost(None)
        return [each[0][0] for each in found]

    return asyncio.run(run())


def steps_of(stand, monkeypatch) -> list[str]:
    """What is done, in its order, as a letter each: p(lanned), f(ound), m(ade)."""
    done: list[str] = []

    def watch(name: str) -> None:
        step: Callable[..., object] = getattr(stand.lab.services.recommending, name)

        def watched(*arguments: object) -> object:
            done.append(name[0])
            return step(*arguments)

        monkeypatch.setattr(stand.lab.services.recommending, name, watched)

    for name in ("planned_at_once", "found_at_once", "made"):
        watch(name)
    return done


def test_the_lists_of_a_moment_take_each_step_together(stand, monkeypatch):
    done = steps_of(stand, monkeypatch)
    assert many(stand, 5) == [200] * 5
    assert "".join(done) == "pppppfffffmmmmm"
    assert [len(group) for group in stand.together.groups] == [5]
    shown = [decode(batch)[0][0].unit for batch in stand.together.groups[0]]
    assert shown == [f"u-{number}" for number in range(5)]


def test_nobody_waits_for_more_than_some_others(stand, monkeypatch):
    done = steps_of(stand, monkeypatch)
    assert many(stand, MOST_TOGETHER + 3) == [200] * (MOST_TOGETHER + 3)
    assert [len(group) for group in stand.together.groups] == [MOST_TOGETHER, 3]
    assert "".join(done).endswith("f" * MOST_TOGETHER + "m" * MOST_TOGETHER + "fffmmm")


def test_who_comes_while_others_are_worked_on_joins_their_write(stand, monkeypatch):
    """One comes each time that the stages have run: its stages run before anything is written."""
    find = stand.lab.services.recommending.found_at_once

    async def run() -> None:
        ends = [connect(stand) for _ in range(4)]
        waiting = list(ends)

        def found(plan):
            if waiting:
                waiting.pop()[0].data_received(request(stand))
            return find(plan)

        monkeypatch.setattr(stand.lab.services.recommending, "found_at_once", found)
        waiting.pop()[0].data_received(request(stand))
        for _, client in ends:
            assert [status for status, _, _ in await client.answers(1)] == [200]

    asyncio.run(run())
    assert [len(group) for group in stand.together.groups] == [4]


@pytest.mark.parametrize("step", ["found_at_once", "made"])
def test_one_that_fails_costs_no_other_its_list(stand, monkeypatch, step):
    do, failed = getattr(stand.lab.services.recommending, step), []

    def fail_once(given):
        plan = given.plan if isinstance(given, Found) else given
        if plan.wish.unit == "u-1" and not failed:
            failed.append(plan)
            raise ZeroDivisionError
        return do(given)

    monkeypatch.setattr(stand.lab.services.recommending, step, fail_once)
    assert many(stand, 4) == [200] * 4
    assert (len(failed), stand.at_once) == (1, 3)


def test_what_does_not_fit_together_is_tried_one_by_one(stand, monkeypatch):
    append = stand.together.append_all

    def cramped(batches):
        if len(batches) > 1:
            raise Overloaded("the inbox")
        append(batches)

    monkeypatch.setattr(stand.together, "append_all", cramped)
    slates = len(stand.lab.record.inbox)
    assert many(stand, 3) == [200] * 3
    assert len(stand.lab.record.inbox) == slates + 3


@pytest.mark.parametrize("broken", ["appended", "finish"])
def test_lists_that_are_recorded_are_answered_though_they_cannot_be_counted(stand, monkeypatch, broken):
    telemetry = stand.app.extensions["lamella"].telemetry
    with monkeypatch.context() as breaking:
        breaking.setattr(telemetry, broken, lambda *_, **__: 1 / 0)
        assert many(stand, 3) == [200] * 3
    assert [len(group) for group in stand.together.groups] == [3]
    assert many(stand, 3) == [200] * 3


def test_a_body_that_comes_after_its_turn_has_come_is_read(stand):
    async def run() -> None:
        connection, client = connect(stand)
        whole = request(stand)
        connection.data_received(whole + whole[:-5])
        await client.answers(1)
        assert not client.is_paused
        connection.data_received(whole[-5:])
        assert [status for status, _, _ in await client.answers(2)] == [200, 200]

    asyncio.run(run())


def test_nothing_follows_the_refusal_of_what_cannot_be_read(stand):
    async def run() -> bytes:
        connection, client = connect(stand)
        connection.data_received(request(stand) + b"GARBAGE\r\n\r\n")
        await asyncio.sleep(0.1)
        return client.sent

    assert [status for status, _, _ in answers_in(asyncio.run(run()))] == [400]


def test_a_connection_that_has_ended_is_not_kept_by_its_last_answer(stand):
    async def run() -> weakref.ref[Connection]:
        connection, client = connect(stand)
        connection.data_received(request(stand))
        await client.answers(1)
        connection.connection_lost(None)
        return weakref.ref(connection)

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(run())() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("target", ["/v1/recommendations", "/v1/events"])
def test_a_length_with_thousands_of_zeros_is_read(stand, target):
    body = b'{"unit": "ann"}' if target.endswith("ns") else b'{"events": []}'
    sent = request(stand, body).replace(b"/v1/recommendations", target.encode(), 1)
    sent = sent.replace(b"Content-Length: ", b"Content-Length: " + b"0" * 5_000)
    ((status, _, _),), _ = asked(stand, sent)
    assert status == (200 if target.endswith("ns") else 400)


def test_a_head_that_is_known_is_not_parsed_again(stand):
    async def run() -> int:
        connection, client = connect(stand)
        connection.data_received(request(stand))
        await client.answers(1)
        connection.parser = None
        connection.data_received(request(stand))
        return len(await client.answers(2))

    stand.are_heads_known = False
    assert asyncio.run(run()) == 2
    assert stand.at_once == 2


@pytest.mark.parametrize("is_declined", [False, True], ids=["made", "left to a thread"])
def test_what_comes_while_a_list_is_made_has_its_turn_after_it(stand, is_declined):
    if is_declined:
        stand.together.error = Overloaded("the inbox")

    async def run() -> tuple[Client, list[str]]:
        connection, client = connect(stand)
        for number in range(3):
            connection.data_received(request(stand, b'{"unit": "u-%d"}' % number))
            await asyncio.sleep(0)
        found = await client.answers(3)
        return client, [orjson.loads(body)["unit"] for _, _, body in found]

    client, units = asyncio.run(run())
    assert units == ["u-0", "u-1", "u-2"]
    assert not client.is_paused
    assert stand.at_once == (0 if is_declined else 3)


@pytest.mark.parametrize("is_declined", [False, True], ids=["made", "left to a thread"])
def test_who_has_said_all_is_answered_and_let_go(stand, is_declined):
    if is_declined:
        stand.together.error = Overloaded("the inbox")

    async def run() -> tuple[Client, list[int]]:
        connection, client = connect(stand)
        connection.data_received(request(stand))
        assert connection.eof_received()
        return client, [status for status, _, _ in await client.answers(1)]

    client, statuses = asyncio.run(run())
    assert statuses == [200]
    assert client.is_closed


def test_few_heads_are_kept_and_only_short_ones(stand):
    stand.are_heads_known = False
    long = request(stand, **{"X-Padding": "x" * LONGEST_HEAD_KEPT})
    asked(stand, long)
    assert stand.front.known(long[: -len(WHO)]) is None
    first = request(stand)
    asked(stand, first)
    head = stand.front.known(first[: -len(WHO)])
    assert head is not None
    for number in range(HEADS_KEPT):
        stand.front.remember(b"%d" % number, head)
    assert stand.front.known(b"%d" % (HEADS_KEPT - 1)) is head
    assert stand.front.known(first[: -len(WHO)]) is None


def test_another_length_or_a_word_more_is_another_head(stand):
    stand.are_heads_known = False
    asked(stand, request(stand))
    ((status, _, _),), _ = asked(stand, request(stand).replace(b"Bearer lam_", b"Bearer lam_x"))
    assert status == 401
    found, _ = asked(stand, request(stand) + request(stand, b'{"unit": "bob", "k": 2}'), count=2)
    assert [len(orjson.loads(body)["items"]) for _, _, body in found][1] == 2


@pytest.mark.parametrize("is_declined", [False, True], ids=["made", "left to a thread"])
def test_what_another_route_was_asked_is_not_taken_for_a_list(stand, is_declined):
    """The head of a request that had waited, or was left to a thread, is not remembered as that of the next."""
    if is_declined:
        stand.together.error = Overloaded("the inbox")
    other = request(stand).replace(PATH.encode(), b"/v1/events", 1)

    async def run() -> list[int]:
        connection, client = connect(stand)
        for count, sent in ((2, 2 * request(stand)), (3, request(stand)), (4, other), (5, other)):
            connection.data_received(sent)
            await client.answers(count)
        return [status for status, _, _ in await client.answers(5)]

    assert asyncio.run(run()) == [200, 200, 200, 400, 400]


def test_the_rest_of_a_head_is_no_head(stand):
    """Of a request that came behind another one, cut within its head: its end says nothing of its beginning."""

    async def say(*pieces: bytes) -> list[int]:
        connection, client = connect(stand)
        for count, piece in enumerate(pieces, 1):
            connection.data_received(piece)
            await client.answers(count)
        return [status for status, _, _ in answers_in(client.sent)]

    async def run() -> None:
        good = request(stand)
        bad = good.replace(b"Bearer lam_", b"Bearer lam_x")
        cut, cut_bad = good.index(b"Content-Length"), bad.index(b"Content-Length")
        assert await say(good + good[:cut], good[cut:]) == [200, 200]
        assert await say(good + bad[:cut_bad], bad[cut_bad:], good) == [200, 401, 200]

    stand.are_heads_known = False
    asyncio.run(run())


def test_nobody_else_is_answered_by_a_head_that_hid_in_another(stand):
    hidden = b"GET /v1/anything HTTP/1.1\r\nHost: a\r\n\r\n"

    async def run() -> None:
        good = request(stand)
        ahead = good[: good.index(b"Host")] + good[good.index(b"Content-Type") : -len(WHO) - 2] + b"X-A: "
        connection, client = connect(stand)
        connection.data_received(good + ahead)
        await client.answers(1)
        connection.data_received(hidden + WHO)
        await asyncio.sleep(0.1)
        other, its_client = connect(stand)
        other.data_received(hidden)
        ((status, _, _),) = await its_client.answers(1)
        assert status == 404

    asyncio.run(run())
    assert stand.front.known(hidden) is None


def test_a_known_request_within_the_head_of_another_is_a_part_of_it(stand):
    async def run() -> list[int]:
        connection, client = connect(stand)
        good = request(stand)
        connection.data_received(good)
        await client.answers(1)
        connection.data_received(good + b"POST /v1/events HTTP/1.1\r\nX-Foo: ")
        await client.answers(2)
        connection.data_received(good)
        return [status for status, _, _ in await client.answers(3)]

    assert asyncio.run(run()) == [200, 200, 400]
    assert stand.at_once == 2


def test_a_head_in_pieces_has_its_time_however_long_known_ones_came_before(stand):
    async def run() -> bool:
        connection, client = connect(stand, timeout_keep_alive=1)
        for count in range(1, 5):
            connection.data_received(request(stand))
            await client.answers(count)
            await asyncio.sleep(0.4)
        connection.data_received(request(stand)[:20])
        await asyncio.sleep(0.05)
        return client.is_closed

    assert not asyncio.run(run())


def test_nothing_is_closed_for_its_silence_while_a_list_is_made(stand):
    async def run() -> None:
        connection, client = connect(stand)
        for count in (1, 2):
            connection.data_received(request(stand))
            assert connection.timeout_keep_alive_task is None
            await client.answers(count)
            assert connection.timeout_keep_alive_task is not None
        connection.connection_lost(None)

    asyncio.run(run())


def test_who_sends_on_while_a_list_is_made_is_read_no_further(stand):
    async def run() -> None:
        connection, client = connect(stand)
        connection.data_received(request(stand))
        connection.data_received(request(stand))
        assert client.is_paused
        await client.answers(2)
        assert not client.is_paused

    asyncio.run(run())


def test_a_server_that_ends_answers_also_what_came_meanwhile(stand):
    async def run() -> tuple[Client, Sequence[tuple[int, HTTPMessage, bytes]]]:
        connection, client = connect(stand)
        connection.data_received(request(stand))
        connection.data_received(request(stand))
        connection.shutdown()
        return client, await client.answers(2)

    client, found = asyncio.run(run())
    assert [status for status, _, _ in found] == [200, 200]
    assert found[-1][1]["connection"] == "close"
    assert client.is_closed
    assert stand.at_once == 2


def test_a_piece_without_an_end_is_no_head(stand):
    async def run() -> list[int]:
        connection, client = connect(stand)
        connection.data_received(2 * request(stand))
        await client.answers(2)
        whole = request(stand)
        for start in range(0, len(whole), len(WHO) + 3):
            connection.data_received(whole[start : start + len(WHO) + 3])
        return [status for status, _, _ in await client.answers(3)]

    assert asyncio.run(run()) == [200, 200, 200]
    assert stand.front.known(b"POS") is None


def streams(stand, seed: int) -> tuple[list[bytes], int]:
    """Requests of several kinds behind each other, cut anywhere, and how many there are."""
    rng = random.Random(seed)
    kinds = [
        lambda: request(stand, b'{"unit": "u-%d"}' % rng.randrange(3)),
        lambda: request(stand, b'{"unit": "u-%d"}' % rng.randrange(3)),
        lambda: request(stand, b'{"unit": 1234567}'),
        lambda: request(stand).replace(b"Bearer lam_", b"Bearer lam_x"),
        lambda: request(stand).replace(PATH.encode(), b"/v1/events", 1),
        lambda: b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    ]
    sent = [rng.choice(kinds)() for _ in range(rng.randrange(2, 9))]
    whole, cuts = b"".join(sent), [0]
    while cuts[-1] < len(whole):
        ends = [end for end in itertools.accumulate(map(len, sent)) if end > cuts[-1]]
        cuts.append(ends[0] if rng.random() < 0.6 else min(len(whole), cuts[-1] + rng.randrange(1, 400)))
    return [whole[start:end] for start, end in itertools.pairwise(cuts)], len(sent)


@pytest.mark.parametrize("seed", range(40))
def test_a_stream_is_answered_the_same_whether_its_heads_are_known_or_not(stand, monkeypatch, seed):
    stand.are_heads_known = False
    pieces, count = streams(stand, seed)

    def said() -> list[tuple[int, object]]:
        found, _ = asked(stand, *pieces, count=count)
        return [(status, orjson.loads(body).get("unit")) for status, _, body in found]

    first, again = said(), said()
    with monkeypatch.context() as parsing:
        parsing.setattr(stand.front, "known", lambda _: None)
        parsed = said()
    assert first == again == parsed
    assert len(parsed) == count
