"""The life of a training."""

from dataclasses import replace
from datetime import timedelta

import pytest

from lamella.errors import (
    BrokerUnavailable,
    InvalidInput,
    NotFound,
    TrainingFault,
)
from lamella.services.model_ports import Item
from lamella.services.ratings_ports import Ratings
from lamella.services.training import Order, queue_training
from training_bench import DAY, LOG, ORDER, Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_training_is_queued_with_every_hyperparameter_and_a_worker_told(bench: Bench) -> None:
    run = bench.queue()
    assert bench.runs.find("run-1") == run
    assert (run.status, run.hyperparameters, run.requested_by) == ("queued", {"reg": 1.0, "epochs": 3}, "ann")
    assert bench.tasks.asked == [("train", "run-1")]


def test_a_bad_order_is_refused_with_every_fault_and_not_stored(bench: Bench) -> None:
    with pytest.raises(InvalidInput) as refusal:
        bench.queue(Order(kind="mff", name="mf", hyperparameters={}, seed=-1, by="ann"))
    assert len(refusal.value.faults) == 3
    assert not bench.runs.all()
    assert not bench.tasks.asked


def test_a_run_that_could_not_be_queued_does_not_look_as_if_it_waited(bench: Bench) -> None:
    bench.tasks.down = True
    with pytest.raises(BrokerUnavailable):
        bench.queue()
    run = bench.runs.find("run-1")
    assert run is not None
    assert run.status == "failed"
    assert run.message.startswith("not queued: ")


def test_a_run_goes_from_queued_over_running_to_done_with_its_reference(bench: Bench) -> None:
    bench.queue()
    told: list[tuple[float, str]] = []
    ended = bench.training.carry_out("run-1", watch=lambda share, message: told.append((share, message)))
    assert (ended.status, ended.progress, ended.reference) == ("done", 1.0, "mf@1")
    assert bench.runs.find("run-1") == ended
    assert told == [(0.5, "half")]
    assert bench.runs.states == [
        ("queued", 0.0, "waits for a worker"),
        ("running", 0.0, "reading the record"),
        ("running", 0.5, "half"),
        ("done", 1.0, "published mf@1"),
    ]


def test_progress_is_stored_about_twice_a_second(bench: Bench) -> None:
    """The bench's clock moves 0.2 s a look."""
    bench.queue()
    bench.trainer.tells = [(each / 100, f"{each}") for each in range(30)]
    bench.training.carry_out("run-1")
    stored = [message for status, _, message in bench.runs.states if status == "running"][1:]
    assert stored == [str(each) for each in range(0, 30, 3)]


def test_a_progress_line_that_the_store_does_not_take_costs_no_training(bench: Bench) -> None:
    bench.queue()
    bench.runs.refused = {"half"}
    assert bench.training.carry_out("run-1").status == "done"


def test_a_failed_training_says_why_in_one_sentence_and_publishes_nothing(bench: Bench) -> None:
    bench.queue()
    bench.trainer.error = TrainingFault("3 impressions are too few to learn from")
    ended = bench.training.carry_out("run-1")
    assert (ended.status, ended.progress, ended.reference) == ("failed", 0.5, None)
    assert ended.message == "3 impressions are too few to learn from"
    assert not bench.models.all()


@pytest.mark.parametrize("error", [ValueError("shape"), SystemExit(1)])
def test_an_unexpected_error_fails_the_run_and_goes_on(bench: Bench, error: BaseException) -> None:
    bench.queue()
    bench.trainer.error = error
    with pytest.raises(type(error)):
        bench.training.carry_out("run-1")
    run = bench.runs.find("run-1")
    assert run is not None
    assert run.status == "failed"
    assert type(error).__name__ in run.message


def test_a_repeated_task_changes_nothing_once_the_run_is_done(bench: Bench) -> None:
    bench.queue()
    first = bench.training.carry_out("run-1")
    assert bench.training.carry_out("run-1") == first
    assert bench.trainer.trained == 1


def test_a_run_whose_worker_died_after_publishing_takes_that_version(bench: Bench) -> None:
    bench.queue()
    bench.training.carry_out("run-1")
    bench.queue()
    ended = bench.training.carry_out("run-1")
    assert (ended.status, ended.reference, bench.trainer.trained) == ("done", "mf@1", 1)


def test_a_ratings_file_is_read_in_place_of_the_record(bench: Bench) -> None:
    asked: list[tuple[str, str | None, str | None]] = []
    found = Ratings(
        units=["u"],
        items=["i"],
        ratings=[5.0],
        times=[1.0],
        catalogue=[Item(key="i", title="t", published_at=DAY, attributes={})],
        attributes={},
        stamp={},
    )

    class Files:
        def read(self, path: str, *, items: str | None = None, users: str | None = None) -> Ratings:
            asked.append((path, items, users))
            return found

    bench.trainer.log = found
    training = bench.training_with(ratings=Files())
    source = {"file": "/r.csv", "items": "/i.csv"}
    run = bench.queue(Order(kind="mf", name="mf", hyperparameters={}, seed=1, by="ann", source=source))
    assert run.source == {"goal": "rating", **source}
    assert training.carry_out("run-1").status == "done"
    assert asked == [("/r.csv", "/i.csv", None)]


def test_a_source_that_the_trainer_does_not_take_is_among_the_faults(bench: Bench) -> None:
    with pytest.raises(InvalidInput) as refusal:
        bench.queue(Order(kind="mff", name="mf", hyperparameters={}, seed=1, by="ann", source={"goal": "x"}))
    assert "a source names its file" in refusal.value.faults


def test_an_unknown_run_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound, match="no training 'nope'"):
        bench.training.carry_out("nope")


def test_a_training_for_candidates_leaves_the_live_version_alone(bench: Bench) -> None:
    bench.queue()
    bench.training.carry_out("run-1")
    run = queue_training(
        replace(ORDER, stage="candidate"),
        run_id="run-2",
        trainer=bench.trainer,
        runs=bench.runs,
        tasks=bench.tasks,
        at=DAY,
    )
    assert bench.training.carry_out(run.id).message == "published mf@2 as a candidate"
    assert {each.reference: each.stage for each in bench.models.all()} == {"mf@1": "live", "mf@2": "candidate"}


def test_an_unknown_stage_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidInput, match="stage='canary' is none of live, candidate"):
        bench.queue(replace(ORDER, stage="canary"))


def test_a_new_live_version_opens_one_phase_also_where_its_worker_died_on_the_way(bench: Bench) -> None:
    bench.compare("mf")
    run = bench.queue()
    bench.clock.move(timedelta(minutes=1))
    bench.training.carry_out(run.id)
    assert bench.phases() == 2
    bench.clock.move(timedelta(minutes=1))
    for _ in range(2):
        bench.runs.put(replace(run, status="running"))
        assert bench.training.carry_out(run.id).status == "done"
    assert (bench.trainer.trained, bench.phases()) == (1, 2)


def test_a_worker_that_died_between_publication_and_stage_finishes_on_the_second_try(bench: Bench) -> None:
    bench.compare("mf")
    run = bench.queue()
    bench.clock.move(timedelta(minutes=1))
    bench.trainer.train(run, LOG, [Item(key="i", title="t", published_at=DAY, attributes={})], at=DAY, progress=_silent)
    assert bench.models.find("mf@1").stage == "candidate"
    assert bench.training.carry_out(run.id).reference == "mf@1"
    assert (bench.models.find("mf@1").stage, bench.phases(), bench.trainer.trained) == ("live", 2, 1)


def test_a_worker_that_died_before_the_phase_opened_opens_it_on_the_second_try(bench: Bench) -> None:
    bench.compare("mf")
    run = bench.queue()
    bench.clock.move(timedelta(minutes=1))
    bench.trainer.train(run, LOG, [Item(key="i", title="t", published_at=DAY, attributes={})], at=DAY, progress=_silent)
    bench.models.stage("mf@1", "live", share=0.0, at=bench.clock.now())
    assert bench.training.carry_out(run.id).status == "done"
    assert bench.phases() == 2


def _silent(share: float, message: str) -> None:
    """Nothing."""
