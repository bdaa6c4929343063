"""The life of a training."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest

from lamella.errors import BrokerUnavailable, InvalidInput, NotFound, StoreUnavailable, TrainingFault
from lamella.experiments.model import Json
from lamella.services.model_ports import Item, ModelVersion, TrainingLog, TrainingRun
from lamella.services.ratings_ports import Ratings
from lamella.services.training import Order, Progress, Training, queue_training
from lamella.testing.fakes import FakeClock, MemoryCatalogue, MemoryModelCatalogue, MemoryTaskQueue, MemoryTrainingRuns

DAY = datetime(2026, 3, 2, tzinfo=UTC)
LOG = TrainingLog(units=["u"], items=["i"], ranks=[1], clicked=[True], since=DAY, until=DAY)
ORDER = Order(kind="mf", name="mf", hyperparameters={"epochs": 3}, seed=1, by="ann")


class FakeTrainer:
    """Publishes a version after telling `tells`, or raises `error` after that."""

    def __init__(self, models: MemoryModelCatalogue) -> None:
        self.models = models
        self.tells: list[tuple[float, str]] = [(0.5, "half")]
        self.error: BaseException | None = None
        self.log: TrainingLog | Ratings = LOG
        self.trained = 0

    def check(self, kind: str, name: str, hyperparameters: Mapping[str, Json]) -> Mapping[str, Json]:
        if kind != "mf":
            raise InvalidInput(f"no model kind {kind!r}", f"{name} was fine")
        return {"reg": 1.0, **hyperparameters}

    def check_source(self, source: Mapping[str, Json]) -> Mapping[str, Json]:
        if "file" not in source:
            raise InvalidInput("a source names its file")
        return {"goal": "rating", **source}

    def needs_log(self, kind: str) -> bool:
        return kind == "mf"

    def train(
        self,
        run: TrainingRun,
        log: TrainingLog | Ratings | None,
        items: Sequence[Item],
        *,
        at: datetime,
        progress: Progress,
    ) -> ModelVersion:
        assert log is self.log
        assert [item.key for item in items] == ["i"]
        self.trained += 1
        for share, message in self.tells:
            progress(share, message)
        if self.error is not None:
            raise self.error
        version = ModelVersion(
            name=run.name,
            number=self.models.next_number(run.name),
            kind=run.kind,
            created_at=at,
            digest="",
            size_bytes=0,
            hyperparameters=run.hyperparameters,
            metrics={},
            stamp={"run": run.id},
        )
        self.models.add(version)
        return version


class LogStore:
    def impressions(self, *, since: datetime | None = None, until: datetime | None = None) -> TrainingLog:
        assert (since, until) == (None, None)
        return LOG


class WatchedRuns(MemoryTrainingRuns):
    """Remembers every state; refuses to store the messages in `refused`."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[tuple[str, float, str]] = []
        self.refused: set[str] = set()

    def put(self, run: TrainingRun) -> None:
        if run.message in self.refused:
            raise StoreUnavailable("the store is away")
        self.states.append((run.status, run.progress, run.message))
        super().put(run)


class Bench:
    def __init__(self) -> None:
        self.runs, self.models, self.tasks = WatchedRuns(), MemoryModelCatalogue(), MemoryTaskQueue()
        self.trainer, self.ticks = FakeTrainer(self.models), 0.0
        self.training = Training(
            runs=self.runs,
            store=LogStore(),
            catalogue=MemoryCatalogue([Item(key="i", title="t", published_at=DAY, attributes={})]),
            models=self.models,
            trainer=self.trainer,
            clock=FakeClock(),
            monotonic=self.tick,
        )

    def tick(self) -> float:
        self.ticks += 0.2
        return self.ticks

    def queue(self, order: Order = ORDER) -> TrainingRun:
        return queue_training(
            order, run_id="run-1", trainer=self.trainer, runs=self.runs, tasks=self.tasks, at=FakeClock().now()
        )


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
    training = Training(
        runs=bench.runs,
        store=LogStore(),
        catalogue=MemoryCatalogue([]),
        models=bench.models,
        trainer=bench.trainer,
        clock=FakeClock(),
        ratings=Files(),
    )
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
