"""Whose thread a model runs in, and how long anybody waits for it."""

import threading
import time
from collections.abc import Iterator

import pytest

from lamella.errors import ModelCorrupt, ModelFailed
from lamella.services.guarding import MOST_STUCK, PROOFS, Guard, LateModel
from lamella.services.model_ports import Scored

DEADLINE = 0.03
"""For calls that are to be late."""
AMPLE = 30.0
"""For calls that are to be in time, on whatever machine."""


class Bench:
    """A guard over models that are in memory and hang while `open` is not set."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.threads: list[int] = []
        self.guard = Guard(lambda model: model != "absent", deadline_seconds=AMPLE)

    def within(self, deadline_seconds: float) -> None:
        self.guard._deadline_seconds = deadline_seconds

    def work(self, model: str) -> Scored:
        self.threads.append(threading.get_ident())
        self.open.wait(2 * AMPLE)
        return Scored(items=(), scores=(), source=f"recall:{model}")

    def call(self, model: str = "mf@1") -> str:
        return self.guard.call(model, self.work).model

    def is_here(self) -> bool:
        self.threads.clear()
        self.call()
        return self.threads == [threading.get_ident()]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.open.set()
    made.guard.close()


def test_a_model_answers_in_the_callers_thread_once_it_proved_prompt(bench: Bench) -> None:
    for _ in range(PROOFS):
        assert not bench.is_here()
    assert bench.is_here()


def test_a_model_that_is_not_in_memory_never_does(bench: Bench) -> None:
    for _ in range(PROOFS + 1):
        bench.call("absent")
    assert threading.get_ident() not in bench.threads


def test_a_model_that_hangs_is_late_and_soon_nobody_waits_for_it(bench: Bench) -> None:
    bench.open.clear()
    bench.within(DEADLINE)
    for _ in range(1_000):  # a call that did not begin in time is late too, and not stuck
        with pytest.raises(LateModel, match=r"'mf@1' did not answer within 0\.03 s"):
            bench.call()
        if bench.guard._stuck["mf@1"] == MOST_STUCK:
            break
    bench.within(AMPLE)
    started = time.perf_counter()
    for _ in range(50):
        with pytest.raises(LateModel):
            bench.call()
        assert time.perf_counter() - started < AMPLE, "somebody waited"
    bench.open.set()
    for _ in range(6_000):
        if not any(bench.guard._stuck.values()):
            break
        time.sleep(0.01)
    assert len(bench.threads) == MOST_STUCK
    assert bench.call() == "mf@1"


def test_a_model_in_memory_that_begins_to_hang_goes_back_to_the_pool(bench: Bench) -> None:
    bench.within(DEADLINE)  # the watchdog's too, which starts with the last proof
    for _ in range(PROOFS):
        bench.guard.call("mf@1", bench.work, patience=AMPLE / DEADLINE)
    bench.open.clear()
    hung = threading.Thread(target=bench.call)
    hung.start()
    for _ in range(2_000):
        if "mf@1" not in bench.guard._trusted:
            break
        time.sleep(DEADLINE)
    with pytest.raises(LateModel):
        bench.call()
    bench.open.set()
    hung.join()
    bench.within(AMPLE)
    assert not bench.is_here()


def test_a_model_that_fails_in_the_callers_thread_proves_itself_anew(bench: Bench) -> None:
    def broken(_: str) -> Scored:
        raise ModelCorrupt("NaN")

    for _ in range(PROOFS):
        bench.call()
    assert bench.guard.trusts("mf@1")
    with pytest.raises(ModelCorrupt):
        bench.guard.call("mf@1", broken)
    assert not bench.guard.trusts("mf@1")
    for _ in range(PROOFS):
        assert not bench.is_here()
    assert bench.is_here()


def test_whatever_a_model_raises_is_a_model_that_failed(bench: Bench) -> None:
    def broken(_: str) -> Scored:
        raise TimeoutError("inside")

    with pytest.raises(ModelFailed, match="'mf@1' raised TimeoutError: inside"):
        bench.guard.call("mf@1", broken)

    def corrupt(_: str) -> Scored:
        raise ModelCorrupt("its file is gone")

    with pytest.raises(ModelCorrupt):
        bench.guard.call("mf@1", corrupt)
