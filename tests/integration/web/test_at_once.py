"""Lists for requests of one connection after the other: each step for all that have come, one write, the answers."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Sequence
from http.client import HTTPMessage

import orjson
import pytest

from connection_stand import WHO, Client, answers_in, asked, connect, request
from lamella.cli.connection import Connection
from lamella.errors import Overloaded
from lamella.events.codec import decode
from lamella.services.recommending import Found
from lamella.web.at_once import MOST_TOGETHER

pytestmark = pytest.mark.usefixtures("are_heads_known")


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
