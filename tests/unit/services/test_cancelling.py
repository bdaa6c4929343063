"""A training can be cancelled at every moment of its life."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lamella.errors import Conflict, ModelFailed, NotFound, StoreUnavailable, TrainingFault
from lamella.services.cancelling import cancel_training
from lamella.services.model_ports import ModelVersion, TrainingRun
from lamella.services.uploading import sweep_uploads
from training_bench import Bench, published

ENDED = ("done", "failed", "cancelled")


class Files:
    """Uploads as a worker and the API see them; remembers what was discarded."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.discarded = bench, list[str]()
        self.error: Exception | None = None

    def build(self, run: TrainingRun, *, at, progress) -> ModelVersion:
        progress(0.5, "building")
        if self.error is not None:
            raise self.error
        return published(self.bench.models, run, at)

    def discard(self, place: str) -> None:
        self.discarded.append(place)

    def sweep(self, is_awaited: Callable[[str], bool]) -> int:
        return 0 if is_awaited("run-1") else 1


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def files(bench: Bench) -> Files:
    return Files(bench)


def cancel(bench: Bench, files: Files, run_id: str = "run-1") -> TrainingRun:
    return cancel_training(run_id, runs=bench.runs, uploads=files)


def uploaded(bench: Bench, status: str) -> None:
    bench.runs.put(replace(bench.queue(), status=status, source={"upload": "up-1"}, stage="candidate"))


def test_a_queued_run_is_cancelled_at_once_and_its_task_does_nothing(bench: Bench, files: Files) -> None:
    bench.queue()
    cancelled = cancel(bench, files)
    assert (cancelled.status, cancelled.message) == ("cancelled", "cancelled before a worker took it")
    assert bench.training.carry_out("run-1") == cancelled == bench.runs.find("run-1")
    assert (bench.trainer.trained, bench.models.all(), files.discarded) == (0, [], [])


def test_a_running_one_is_cancelling_and_ends_at_its_next_word_with_nothing_published(
    bench: Bench, files: Files
) -> None:
    bench.queue()
    bench.trainer.on_begin = lambda: cancel(bench, files)
    ended = bench.training.carry_out("run-1")
    assert (ended.status, ended.reference, bench.models.all()) == ("cancelled", None, [])
    assert ended == bench.runs.find("run-1")
    assert [status for status, _, _ in bench.runs.states] == ["queued", "running", "cancelling", "cancelled"]


def test_what_was_published_before_its_worker_heard_ends_as_done(bench: Bench, files: Files) -> None:
    bench.queue()
    bench.trainer.tells = []
    answers = []
    bench.trainer.on_begin = lambda: answers.append(cancel(bench, files).status)
    ended = bench.training.carry_out("run-1")
    assert (answers, ended.status, ended.reference) == (["cancelling"], "done", "mf@1")


def test_a_word_is_heard_again_once_the_store_is_back(bench: Bench, files: Files) -> None:
    bench.queue()
    bench.trainer.tells = [(each / 100, f"{each}") for each in range(30)]
    bench.runs.refused = {"0", "3"}
    bench.trainer.on_begin = lambda: cancel(bench, files)
    ended = bench.training.carry_out("run-1")
    assert (ended.status, bench.models.all()) == ("cancelled", [])


@pytest.mark.parametrize("status", ENDED)
def test_what_has_ended_cannot_be_cancelled(bench: Bench, files: Files, status: str) -> None:
    ended = replace(bench.queue(), status=status)
    bench.runs.put(ended)
    with pytest.raises(Conflict, match=f"training 'run-1' is {status} already"):
        cancel(bench, files)
    assert bench.runs.find("run-1") == ended


def test_to_cancel_twice_is_to_cancel_once(bench: Bench, files: Files) -> None:
    bench.runs.put(replace(bench.queue(), status="running"))
    assert cancel(bench, files) == cancel(bench, files)
    assert [status for status, _, _ in bench.runs.states].count("cancelling") == 1


def test_an_unknown_run_is_not_found(bench: Bench, files: Files) -> None:
    with pytest.raises(NotFound, match="no training 'nope'"):
        cancel(bench, files, "nope")


def test_a_run_that_a_worker_takes_meanwhile_is_cancelling_and_not_cancelled(
    bench: Bench, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = bench.queue()
    bench.runs.put(replace(waiting, status="running", progress=0.3))
    looks = iter([waiting])
    find = bench.runs.find
    monkeypatch.setattr(bench.runs, "find", lambda run_id: next(looks, None) or find(run_id))
    found = cancel(bench, files)
    assert (found.status, found.progress) == ("cancelling", 0.3)


def test_a_worker_that_comes_too_late_for_a_queued_run_does_nothing(
    bench: Bench, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = bench.queue()
    cancel(bench, files)
    looks = iter([waiting])
    find = bench.runs.find
    monkeypatch.setattr(bench.runs, "find", lambda run_id: next(looks, None) or find(run_id))
    assert (bench.training.carry_out("run-1").status, bench.trainer.trained) == ("cancelled", 0)


def test_a_run_whose_worker_died_while_it_was_cancelling_is_cancelled_without_training(bench: Bench) -> None:
    bench.runs.put(replace(bench.queue(), status="cancelling", progress=0.4))
    ended = bench.training.carry_out("run-1")
    assert (ended.status, ended.progress, bench.trainer.trained) == ("cancelled", 0.4, 0)


def test_a_run_whose_worker_died_after_publishing_is_done_although_it_was_cancelling(
    bench: Bench, files: Files
) -> None:
    run = bench.queue()
    published(bench.models, run, bench.clock.now())
    bench.runs.put(replace(run, status="cancelling"))
    assert bench.training.carry_out("run-1").status == "done"


@pytest.mark.parametrize("error", [TrainingFault("too few"), SystemExit(1)])
def test_what_fails_while_it_is_cancelling_is_cancelled_and_does_not_start_again(
    bench: Bench, files: Files, error: BaseException
) -> None:
    bench.queue()
    bench.trainer.tells, bench.trainer.error = [], error
    bench.trainer.on_begin = lambda: cancel(bench, files)
    if isinstance(error, SystemExit):
        with pytest.raises(SystemExit):
            bench.training.carry_out("run-1")
    else:
        assert bench.training.carry_out("run-1").message == "cancelled; before that: too few"
    assert (bench.training.carry_out("run-1").status, bench.trainer.trained) == ("cancelled", 1)


def test_a_failure_never_overwrites_what_another_worker_has_done(bench: Bench) -> None:
    done = replace(bench.queue(), status="done", progress=1.0, reference="mf@1")
    bench.trainer.tells, bench.trainer.error = [], TrainingFault("too few")
    bench.trainer.on_begin = lambda: bench.runs.put(done)
    assert bench.training.carry_out("run-1") == done == bench.runs.find("run-1")


def test_an_interrupt_of_the_keyboard_cancels_the_run_and_goes_on(bench: Bench) -> None:
    bench.queue()
    bench.trainer.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        bench.training.carry_out("run-1")
    run = bench.runs.find("run-1")
    assert (run.status, run.message) == ("cancelled", "cancelled: interrupted at the keyboard; nothing was published")


def test_an_interrupt_after_the_version_was_published_leaves_the_run_done(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.queue()
    promote, interrupts = bench.staging.promote, iter([KeyboardInterrupt()])

    def interrupted(*asked: object, **options: object) -> object:
        for each in interrupts:
            raise each
        return promote(*asked, **options)

    monkeypatch.setattr(bench.staging, "promote", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.training.carry_out("run-1")
    run = bench.runs.find("run-1")
    assert (run.status, run.reference, bench.models.find("mf").stage) == ("done", "mf@1", "live")


def test_the_files_of_a_queued_upload_go_at_once(bench: Bench, files: Files) -> None:
    uploaded(bench, "queued")
    assert (cancel(bench, files).status, files.discarded) == ("cancelled", ["up-1"])


def test_the_files_of_an_upload_that_is_built_go_with_its_worker(bench: Bench, files: Files) -> None:
    uploaded(bench, "running")
    training = bench.training_with(builder=files)
    assert (cancel(bench, files).status, files.discarded) == ("cancelling", [])
    assert sweep_uploads(files, bench.runs, now=bench.clock.now()) == 0
    assert (training.carry_out("run-1").status, files.discarded) == ("cancelled", ["up-1"])
    assert sweep_uploads(files, bench.runs, now=bench.clock.now()) == 1


def test_an_upload_that_fails_while_it_is_cancelling_is_cancelled_and_its_files_go(bench: Bench, files: Files) -> None:
    uploaded(bench, "queued")
    training = bench.training_with(builder=files)
    files.error = ModelFailed("the weights do not fit")
    bench.runs.refused = {"building"}
    build = files.build

    def cancelled(run: TrainingRun, **options: object) -> ModelVersion:
        cancel(bench, files)
        return build(run, **options)

    files.build = cancelled
    ended = training.carry_out("run-1")
    assert (ended.status, ended.message) == ("cancelled", "cancelled; before that: the weights do not fit")
    assert set(files.discarded) == {"up-1"}


def test_where_the_store_is_away_nothing_is_cancelled(bench: Bench, files: Files) -> None:
    uploaded(bench, "queued")
    bench.runs.refused = {"cancelled before a worker took it"}
    with pytest.raises(StoreUnavailable):
        cancel(bench, files)
    assert (bench.runs.find("run-1").status, files.discarded) == ("queued", [])
