"""Batches of one event loop, written together."""

import asyncio
from collections.abc import Sequence

import pytest

from lamella.errors import Overloaded, StoreUnavailable
from lamella.web.gathering import MOST, Gathering


class Groups:
    """A journal with room for so many batches, that remembers what was written together."""

    def __init__(self, room: int = 1_000) -> None:
        self.room = room
        self.groups: list[list[bytes]] = []
        self.error: Exception | None = None

    def append_all(self, batches: Sequence[bytes]) -> None:
        if self.error is not None:
            raise self.error
        if len(batches) > self.room:
            raise Overloaded("the inbox")
        self.room -= len(batches)
        self.groups.append(list(batches))


def outcomes(groups: Groups, count: int) -> list[BaseException | None]:
    """What became of so many batches that are appended at one moment."""

    async def run() -> list[BaseException | None]:
        gathering = Gathering(groups)
        appends = (gathering.append(b"%d" % number) for number in range(count))
        return await asyncio.gather(*appends, return_exceptions=True)

    return asyncio.run(run())


def test_what_is_there_at_one_moment_is_written_together() -> None:
    groups = Groups()
    assert outcomes(groups, 5) == [None] * 5
    assert groups.groups == [[b"0", b"1", b"2", b"3", b"4"]]


def test_one_alone_waits_for_nobody() -> None:
    groups = Groups()

    async def run() -> None:
        gathering = Gathering(groups)
        for number in range(3):
            await gathering.append(b"%d" % number)

    asyncio.run(run())
    assert groups.groups == [[b"0"], [b"1"], [b"2"]]


def test_requests_that_are_read_meanwhile_come_into_the_same_write() -> None:
    """Each round of the loop brings one more, as a loop does that works off what has arrived."""
    groups = Groups()

    async def run() -> None:
        gathering = Gathering(groups)
        tasks = []
        for number in range(2 * MOST):
            tasks.append(asyncio.ensure_future(gathering.append(b"%d" % number)))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    asyncio.run(run())
    assert [len(group) for group in groups.groups] == [MOST, MOST]


def test_where_not_all_fit_those_that_do_are_kept() -> None:
    groups = Groups(room=3)
    found = outcomes(groups, 5)
    assert found[:3] == [None] * 3
    assert [type(each) for each in found[3:]] == [Overloaded] * 2
    assert groups.groups == [[b"0"], [b"1"], [b"2"]]


@pytest.mark.parametrize("error", [StoreUnavailable("away"), ZeroDivisionError("ours")])
def test_what_goes_wrong_is_said_to_everybody(error: Exception) -> None:
    groups = Groups()
    groups.error = error
    assert [str(each) for each in outcomes(groups, 2)] == [str(error)] * 2


def test_what_goes_wrong_later_is_not_said_of_what_was_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = Groups(room=3)
    append_all = groups.append_all

    def breaking(batches: Sequence[bytes]) -> None:
        if batches == [b"2"]:
            raise StoreUnavailable("the disk")
        append_all(batches)

    monkeypatch.setattr(groups, "append_all", breaking)
    found = outcomes(groups, 4)
    assert [type(each) for each in found] == [type(None), type(None), StoreUnavailable, StoreUnavailable]
    assert groups.groups == [[b"0"], [b"1"]]


def test_a_request_that_is_given_up_holds_up_no_other() -> None:
    groups = Groups()

    async def run() -> None:
        gathering = Gathering(groups)
        first = asyncio.ensure_future(gathering.append(b"first"))
        second = asyncio.ensure_future(gathering.append(b"second"))
        await asyncio.sleep(0)
        first.cancel()
        await second

    asyncio.run(run())
    assert groups.groups == [[b"first", b"second"]]
