"""What is made when it is first used."""

import threading

import pytest

from lamella.bootstrap.later import later
from lamella.errors import Unavailable


class Port:
    def __init__(self, made: list[str]) -> None:
        made.append("made")

    def answer(self) -> int:
        return 42


def test_it_is_made_once_at_the_first_use_by_whichever_thread() -> None:
    made: list[str] = []
    ready = threading.Barrier(4)

    def make() -> Port:
        return Port(made)

    port = later(make)
    assert made == []
    found: list[int] = []

    def use() -> None:
        ready.wait()
        found.append(port.answer())

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [42] * 4
    assert made == ["made"]


def test_what_could_not_be_made_is_tried_again() -> None:
    made: list[str] = []

    def make() -> Port:
        made.append("tried")
        if len(made) == 1:
            raise Unavailable("not yet")
        return Port(made)

    port = later(make)
    with pytest.raises(Unavailable, match="not yet"):
        port.answer()
    assert port.answer() == 42
    assert made == ["tried", "tried", "made"]
