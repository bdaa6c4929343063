"""Heads that came before are not parsed again, and nobody can tell by the answers."""

import asyncio
import itertools
import random

import orjson
import pytest

from connection_stand import WHO, answers_in, asked, connect, request
from front_stand import PATH
from lamella.errors import Overloaded
from lamella.web.front import HEADS_KEPT, LONGEST_HEAD_KEPT


def test_a_head_that_is_known_is_not_parsed_again(stand):
    async def run() -> int:
        connection, client = connect(stand)
        connection.data_received(request(stand))
        await client.answers(1)
        connection.parser = None
        connection.data_received(request(stand))
        return len(await client.answers(2))

    assert asyncio.run(run()) == 2
    assert stand.at_once == 2


def test_few_heads_are_kept_and_only_short_ones(stand):
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
    asked(stand, request(stand))
    ((status, _, _),), _ = asked(stand, request(stand).replace(b"Bearer lam_", b"Bearer lam_x"))
    assert status == 401
    found, _ = asked(stand, request(stand) + request(stand, b'{"unit": "bob", "k": 2}'), count=2)
    assert [len(orjson.loads(body)["items"]) for _, _, body in found][1] == 2


@pytest.mark.usefixtures("are_heads_known")
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

    asyncio.run(run())


@pytest.mark.usefixtures("are_heads_known")
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


@pytest.mark.usefixtures("are_heads_known")
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


@pytest.mark.usefixtures("are_heads_known")
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


@pytest.mark.usefixtures("are_heads_known")
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
