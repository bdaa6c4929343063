"""The life of a training."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lamella.errors import (
    BrokerUnavailable,
    InvalidInput,
    LamellaError,
    ModelFailed,
    NotFound,
    StoreUnavailable,
    TrainingFault,
)
from lamella.experiments.document import experiment_from_document, layer_from_document, parameter_from_document
from lamella.experiments.model import Json
from lamella.services.configuring import Configuring
from lamella.services.model_ports import Item, ModelVersion, TrainingLog, TrainingRun
from lamella.services.ratings_ports import Ratings
from lamella.services.staging import Staging
from lamella.services.training import Order, Progress, Training, queue_training
from lamella.testing.configurations import MemoryConfigurationStore
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
            stage="candidate",
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
        self.clock, self.store = FakeClock(), MemoryConfigurationStore()
        self.configuring = Configuring(self.store, self.clock, ["ctr"])
        self.staging = Staging(self.models, self.store, self.configuring, self.clock)
        self.training = Training(
            runs=self.runs,
            store=LogStore(),
            catalogue=MemoryCatalogue([Item(key="i", title="t", published_at=DAY, attributes={})]),
            models=self.models,
            trainer=self.trainer,
            staging=self.staging,
            clock=self.clock,
            monotonic=self.tick,
        )

    def compare(self, model: str) -> None:
        """Starts an experiment in which a variant names the model."""
        self.configuring.create_layer(layer_from_document({"key": "recall"}), author="ann")
        parameter = {"key": "recall.model", "type": "string", "default": "popularity", "layer": "recall"}
        self.configuring.create_parameter(parameter_from_document(parameter), author="ann")
        document = {
            "key": "personal",
            "layer": "recall",
            "name": "Personal",
            "hypothesis": "More clicks",
            "ranges": [{"start": 0, "stop": 10_000}],
            "variants": [
                {"key": "control", "weight": 1, "is_control": True, "values": {"recall.model": "popularity"}},
                {"key": "other", "weight": 1, "values": {"recall.model": model}},
            ],
            "plan": {"primary_metric": "ctr"},
        }
        self.configuring.create_experiment(experiment_from_document(document), author="ann")
        self.configuring.transition("personal", "start", author="ann")

    def phases(self) -> int:
        (experiment,) = self.store.load().experiments
        return len(experiment.phases)

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
        staging=bench.staging,
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


class FakeBuilder:
    """Publishes a candidate of what was uploaded, and remembers what was discarded."""

    def __init__(self, models: MemoryModelCatalogue) -> None:
        self.models, self.built, self.discarded = models, 0, []
        self.error: LamellaError | None = None

    def build(self, run: TrainingRun, *, at: datetime, progress: Progress) -> ModelVersion:
        self.built += 1
        progress(0.5, "building")
        if self.error is not None:
            raise self.error
        stamp = {"run": run.id}
        version = ModelVersion(
            name=run.name,
            number=1,
            kind=run.kind,
            created_at=at,
            digest="",
            size_bytes=0,
            hyperparameters={},
            metrics={},
            stamp=stamp,
            stage="candidate",
        )
        self.models.add(version)
        return version

    def discard(self, upload: str) -> None:
        self.discarded.append(upload)


def uploading(bench: Bench) -> tuple[Training, FakeBuilder]:
    builder = FakeBuilder(bench.models)
    training = Training(
        runs=bench.runs,
        store=LogStore(),
        catalogue=MemoryCatalogue([]),
        models=bench.models,
        trainer=bench.trainer,
        staging=bench.staging,
        clock=bench.clock,
        builder=builder,
    )
    run = replace(bench.queue(), id="up-1", source={"upload": "up-1"}, stage="candidate")
    bench.runs.put(run)
    return training, builder


def test_what_was_uploaded_is_built_once_and_its_files_go(bench: Bench) -> None:
    training, builder = uploading(bench)
    assert training.carry_out("up-1").message == "published mf@1 as a candidate"
    bench.runs.put(replace(bench.runs.find("up-1"), status="running"))
    assert training.carry_out("up-1").reference == "mf@1"
    assert (builder.built, set(builder.discarded), bench.trainer.trained) == (1, {"up-1"}, 0)


def test_an_upload_that_cannot_be_built_fails_with_the_reason_and_its_files_go(bench: Bench) -> None:
    training, builder = uploading(bench)
    builder.error = ModelFailed("the weights do not fit")
    ended = training.carry_out("up-1")
    assert (ended.status, ended.message, builder.discarded) == ("failed", "the weights do not fit", ["up-1"])
