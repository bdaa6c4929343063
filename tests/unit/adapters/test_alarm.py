"""An upload is built within a limit of time, and what has begun to be published is not interrupted."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from lamella.adapters.alarm import TimedBuilder
from lamella.errors import TrainingFault
from lamella.services.model_ports import ModelVersion, TrainingRun
from lamella.services.training import FAILED, PUBLISHING, Progress
from lamella.testing.fakes import MemoryModelCatalogue
from training_bench import Bench, published


class Builder:
    """Waits for ever where it `hangs`; remembers the alarm's seconds before, and while, it publishes."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.models, self.hangs = MemoryModelCatalogue(), hangs
        self.left: list[float] = []

    def build(self, run: TrainingRun, *, at: datetime, progress: Progress) -> ModelVersion:
        if self.hangs:
            threading.Event().wait()
        for share in (0.2, PUBLISHING):
            progress(share, "at work")
            self.left.append(signal.getitimer(signal.ITIMER_REAL)[0])
        return published(self.models, run, at)

    def discard(self, upload: str) -> None: ...


def run_of(bench: Bench) -> TrainingRun:
    run = bench.queue()
    stored = TrainingRun(**{name: getattr(run, name) for name in run.__slots__} | {"source": {"upload": run.id}})
    bench.runs.put(stored)
    return stored


def test_a_build_that_hangs_fails_with_the_reason() -> None:
    bench = Bench()
    run = run_of(bench)
    training = bench.training_with(builder=TimedBuilder(Builder(hangs=True), seconds=0.01))
    ended = training.carry_out(run.id)
    assert ended.status == FAILED
    assert "not built within 0.01 seconds" in ended.message


def test_the_alarm_is_off_once_it_publishes_and_afterwards() -> None:
    bench, builder = Bench(), Builder()
    before = signal.getsignal(signal.SIGALRM)
    version = TimedBuilder(builder, seconds=60).build(run_of(bench), at=bench.clock.now(), progress=lambda *_: None)
    assert version.reference == "mf@1"
    assert builder.left[0] > 0
    assert builder.left[1] == 0
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_fault_of_the_builder_turns_the_alarm_off() -> None:
    def fail(_share: float, _message: str) -> None:
        raise TrainingFault("its own")

    bench = Bench()
    with pytest.raises(TrainingFault, match="its own"):
        TimedBuilder(Builder(), seconds=60).build(run_of(bench), at=bench.clock.now(), progress=fail)
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_another_thread_than_the_main_one_builds_without_an_alarm() -> None:
    bench, builder = Bench(), Builder()
    run, timed = run_of(bench), TimedBuilder(builder, seconds=60)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(timed.build, run, at=bench.clock.now(), progress=lambda *_: None).result()
    assert builder.left == [0, 0]
