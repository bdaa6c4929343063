"""A training moves from one status to the next in one step, whoever else wants to move it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from threading import Barrier, Event

from lamella.services.cancelling import cancel_training
from lamella.services.model_ports import TrainingRun

RUN = TrainingRun(
    id="run-1",
    kind="mf",
    name="mf",
    hyperparameters={"epochs": 3},
    seed=7,
    status="queued",
    progress=0.0,
    message="",
    requested_at=datetime(2026, 3, 2, 8, tzinfo=UTC),
    requested_by="ann",
)
SEVERAL = 6


class NoFiles:
    def discard(self, place: str) -> None:
        raise AssertionError(place)


def test_a_run_moves_only_from_the_statuses_that_were_named(stores):
    stores.runs.put(RUN)
    assert stores.runs.move("run-1", "running", "no", of=("done", "failed")) is None
    assert stores.runs.move("nope", "running", "no", of=("queued",)) is None
    assert stores.runs.find("run-1") == RUN
    moved = stores.runs.move("run-1", "running", "读取 “x”", of=("failed", "queued"), progress=0.25)
    assert moved == replace(RUN, status="running", message="读取 “x”", progress=0.25)
    assert stores.runs.find("run-1") == moved


def test_progress_stays_where_none_is_given_and_nothing_else_of_the_run_changes(stores):
    kept = replace(RUN, source={"upload": "u"}, stage="candidate", progress=0.4, status="running")
    stores.runs.put(kept)
    stores.runs.put(replace(RUN, id="run-2", status="running"))
    moved = stores.runs.move("run-1", "done", "published mf@1", of=("running",), reference="mf@1")
    assert moved == replace(kept, status="done", message="published mf@1", reference="mf@1")
    assert stores.runs.find("run-2") == replace(RUN, id="run-2", status="running")


def test_of_several_that_move_it_at_once_one_does(stores):
    for number in range(5):
        run, together = replace(RUN, id=f"run-{number}"), Barrier(SEVERAL)
        stores.runs.put(run)

        def move(each: int, run=run, together=together):
            together.wait(30)
            return stores.runs.move(run.id, f"taken by {each}", "", of=("queued",))

        with ThreadPoolExecutor(SEVERAL) as threads:
            (won,) = [moved for moved in threads.map(move, range(SEVERAL)) if moved is not None]
        assert stores.runs.find(run.id) == won


def test_no_progress_overwrites_a_cancel(stores):
    stores.runs.put(replace(RUN, status="running"))
    is_telling = Event()

    def tell() -> int:
        for told in range(20_000):
            if stores.runs.move("run-1", "running", f"word {told}", of=("running",), progress=0.5) is None:
                return told
            is_telling.set()
        raise AssertionError("never heard of it")

    with ThreadPoolExecutor(1) as threads:
        told = threads.submit(tell)
        assert is_telling.wait(30)
        assert cancel_training("run-1", runs=stores.runs, uploads=NoFiles()).status == "cancelling"
        assert told.result(60) >= 1
    assert stores.runs.find("run-1").status == "cancelling"


def test_a_run_is_either_taken_by_its_worker_or_cancelled_before(stores):
    for number in range(10):
        run, together = replace(RUN, id=f"run-{number}"), Barrier(2)
        stores.runs.put(run)

        def take(run=run, together=together):
            together.wait(30)
            return stores.runs.move(run.id, "running", "", of=("queued",), progress=0.0)

        with ThreadPoolExecutor(1) as threads:
            taken = threads.submit(take)
            together.wait(30)
            left = cancel_training(run.id, runs=stores.runs, uploads=NoFiles())
            is_taken = taken.result(30) is not None
        assert left.status == ("cancelling" if is_taken else "cancelled")
        assert stores.runs.find(run.id) == left
