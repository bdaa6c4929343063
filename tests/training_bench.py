"""What trainings need, in memory: a trainer that tells what it is told to, and everything around it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lamella.errors import InvalidInput, StoreUnavailable
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


def published(models: MemoryModelCatalogue, run: TrainingRun, at: datetime) -> ModelVersion:
    """The candidate that a run leaves in the catalogue."""
    version = ModelVersion(
        name=run.name,
        number=models.next_number(run.name),
        kind=run.kind,
        created_at=at,
        digest="",
        size_bytes=0,
        hyperparameters=run.hyperparameters,
        metrics={},
        stamp={"run": run.id},
        stage="candidate",
    )
    models.add(version)
    return version


class FakeTrainer:
    """Publishes a version after telling `tells`, or raises `error` after that."""

    def __init__(self, models: MemoryModelCatalogue) -> None:
        self.models = models
        self.tells: list[tuple[float, str]] = [(0.5, "half")]
        self.on_begin: Callable[[], object] = lambda: None
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
        self.on_begin()
        for share, message in self.tells:
            progress(share, message)
        if self.error is not None:
            raise self.error
        return published(self.models, run, at)


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

    def move(self, run_id: str, status: str, message: str, **how) -> TrainingRun | None:
        if message in self.refused:
            raise StoreUnavailable("the store is away")
        moved = super().move(run_id, status, message, **how)
        if moved is not None:
            self.states.append((moved.status, moved.progress, moved.message))
        return moved


class Bench:
    def __init__(self) -> None:
        self.runs, self.models, self.tasks = WatchedRuns(), MemoryModelCatalogue(), MemoryTaskQueue()
        self.trainer, self.ticks = FakeTrainer(self.models), 0.0
        self.clock, self.store = FakeClock(), MemoryConfigurationStore()
        self.configuring = Configuring(self.store, self.clock, ["ctr"])
        self.staging = Staging(self.models, self.store, self.configuring, self.clock)
        self.training = self.training_with(monotonic=self.tick)

    def training_with(self, **parts: Any) -> Training:
        """The bench's training with these parts besides its own."""
        return Training(
            runs=self.runs,
            store=LogStore(),
            catalogue=MemoryCatalogue([Item(key="i", title="t", published_at=DAY, attributes={})]),
            models=self.models,
            trainer=self.trainer,
            staging=self.staging,
            clock=self.clock,
            **parts,
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
