"""The life of a training: asked for, queued, carried out by a worker, published, failed or cancelled."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from lamella.errors import InvalidInput, LamellaError, NotFound, TrainingFault, Unavailable
from lamella.experiments.model import Json
from lamella.services.model_ports import (
    Catalogue,
    Item,
    ModelCatalogue,
    ModelVersion,
    TaskQueue,
    TrainingLog,
    TrainingRun,
    TrainingRuns,
    TrainingStore,
)
from lamella.services.ports import Clock
from lamella.services.ratings_ports import Ratings, RatingsReader
from lamella.services.staging import Stage, Staging

QUEUED: Final = "queued"
RUNNING: Final = "running"
CANCELLING: Final = "cancelling"
DONE: Final = "done"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
STAGES: Final = (Stage.LIVE.value, Stage.CANDIDATE.value)
"""Where a training may put its version."""
UPLOAD: Final = "upload"
"""The source of a run that builds uploaded weights: the id of the upload."""

PUBLISHING: Final = 0.9
"""The progress with which a builder begins to publish."""

_ENDED_FROM: Final[Mapping[str, Collection[str]]] = {
    DONE: (QUEUED, RUNNING, CANCELLING, FAILED, CANCELLED),
    FAILED: (QUEUED, RUNNING),
    CANCELLED: (QUEUED, RUNNING, CANCELLING),
}
"""What a run may have been before it ended so: one whose version is published is done, whatever else happened."""
_STOPPED: Final = "cancelled; nothing was published"
_PULSE_SECONDS: Final = 0.5
_MOST_SEED: Final = 2**31 - 1

Progress = Callable[[float, str], None]


class Trainer(Protocol):
    """Trains the model kinds and publishes what it trained."""

    def check(self, kind: str, name: str, hyperparameters: Mapping[str, Json]) -> Mapping[str, Json]:
        """Every hyperparameter that the training would use. Raises InvalidInput for whatever is wrong. Cheap."""
        ...

    def needs_log(self, kind: str) -> bool:
        """Whether the kind learns from impressions; otherwise the catalogue is enough."""
        ...

    def check_source(self, source: Mapping[str, Json]) -> Mapping[str, Json]:
        """The source with its defaults filled in. Raises InvalidInput for whatever is wrong. Cheap."""
        ...

    def train(
        self,
        run: TrainingRun,
        log: TrainingLog | Ratings | None,
        items: Sequence[Item],
        *,
        at: datetime,
        progress: Progress,
    ) -> ModelVersion:
        """The version, published as a candidate, its `stamp["run"]` the run's id.

        Raises a LamellaError; nothing is published then.
        """
        ...


class Builder(Protocol):
    """Makes versions of uploaded weights."""

    def build(self, run: TrainingRun, *, at: datetime, progress: Progress) -> ModelVersion:
        """The version, published as a candidate, its `stamp["run"]` the run's id. Raises a LamellaError.

        Tells a progress of `PUBLISHING` once everything is built and before it publishes.
        """
        ...

    def discard(self, upload: str) -> None:
        """Removes what was uploaded; nothing where that is gone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a training is asked for: a kind, the name to publish under, hyperparameters, seed, and who asks.

    `source` is empty for the record, else {"file", "goal", "split", "items", "users"}: see `lamella train --ratings`.
    `stage` is live or candidate.
    """

    kind: str
    name: str
    hyperparameters: Mapping[str, Json]
    seed: int
    by: str
    source: Mapping[str, Json] = field(default_factory=dict)
    stage: str = Stage.LIVE.value


class Training:
    """Carries trainings out, in a worker."""

    def __init__(
        self,
        *,
        runs: TrainingRuns,
        store: TrainingStore,
        catalogue: Catalogue,
        models: ModelCatalogue,
        trainer: Trainer,
        staging: Staging,
        clock: Clock,
        builder: Builder | None = None,
        ratings: RatingsReader | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runs, self._store, self._catalogue, self._models = runs, store, catalogue, models
        self._trainer, self._clock, self._monotonic = trainer, clock, monotonic
        self._staging, self._builder, self._ratings = staging, builder, ratings

    def carry_out(self, run_id: str, *, watch: Progress | None = None) -> TrainingRun:
        """The run as it ended: done with its version's reference, failed with one sentence, or cancelled.

        Safe to repeat: a run that is done or cancelled stays as it is, and one whose version was published before its
        worker died takes that version, and puts it where it is to stand. A failed upload stays as it is too: its files
        are gone. Progress is stored about twice a second, and told to `watch` each time; a run that is to be cancelled
        stops there. Raises NotFound for an unknown run, and where the store is away; an error outside the LamellaError
        tree fails the run and goes on to the caller, and so does an interrupt of the keyboard, which cancels it.
        """
        run = self._runs.find(run_id)
        if run is None:
            raise NotFound("training", run_id, next_step="`lamella train KIND` starts one")
        if run.status in (DONE, CANCELLED):
            return run
        try:
            return self._go_on(run, watch)
        except KeyboardInterrupt:
            self._interrupt(run)
            raise

    def _go_on(self, run: TrainingRun, watch: Progress | None) -> TrainingRun:
        published = self._published(run)
        if published is not None:
            return self._settle(run, published)
        if run.status == CANCELLING:
            return self._end(run, CANCELLED, _STOPPED)
        if run.status == FAILED and UPLOAD in run.source:
            return run
        started = self._runs.move(run.id, RUNNING, _reading(run), of=(run.status,), progress=0.0)
        if started is None:
            # Since it was looked at it was cancelled, or another worker moved it.
            return self.carry_out(run.id, watch=watch)
        return self._try(started, watch)

    def _try(self, run: TrainingRun, watch: Progress | None) -> TrainingRun:
        try:
            version = self._make(run, _Pulse(self._runs, run, self._monotonic, watch).tell)
        except _Cancelled:
            return self._end(run, CANCELLED, _STOPPED)
        except LamellaError as error:
            return self._fail(run, str(error))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._fail(run, f"unexpected {type(error).__name__}: {error}; the worker's log has the rest")
            raise
        return self._settle(run, version)

    def _interrupt(self, run: TrainingRun) -> None:
        """Ends a run that was interrupted: done where it had published already."""
        published = self._published(run)
        if published is not None:
            self._settle(run, published)
        else:
            self._end(run, CANCELLED, "cancelled: interrupted at the keyboard; nothing was published")

    def _make(self, run: TrainingRun, progress: Progress) -> ModelVersion:
        """The published version: of what was uploaded, or trained."""
        if UPLOAD in run.source:
            if self._builder is None:
                raise TrainingFault("this process builds no uploaded models")
            return self._builder.build(run, at=self._clock.now(), progress=progress)
        log = self._read(run)
        items = log.catalogue if isinstance(log, Ratings) else self._catalogue.all()
        return self._trainer.train(run, log, items, at=self._clock.now(), progress=progress)

    def _settle(self, run: TrainingRun, version: ModelVersion) -> TrainingRun:
        """The run as done, once its version stands where it is to stand."""
        if run.stage == Stage.LIVE:
            version = self._staging.promote(version.reference, author=run.requested_by)
        standing = " as a candidate" if version.stage == Stage.CANDIDATE else ""
        return self._end(run, DONE, f"published {version.reference}{standing}", reference=version.reference)

    def _read(self, run: TrainingRun) -> TrainingLog | Ratings | None:
        """What the run learns from; None where the catalogue is enough."""
        if run.source:
            if self._ratings is None:
                raise TrainingFault("this process reads no ratings files")
            items, users = run.source.get("items"), run.source.get("users")
            return self._ratings.read(
                str(run.source["file"]), items=str(items) if items else None, users=str(users) if users else None
            )
        return self._store.impressions() if self._trainer.needs_log(run.kind) else None

    def _published(self, run: TrainingRun) -> ModelVersion | None:
        return next((each for each in self._models.all() if each.stamp.get("run") == run.id), None)

    def _end(self, run: TrainingRun, status: str, message: str, *, reference: str | None = None) -> TrainingRun:
        progress = 1.0 if status == DONE else None
        came_from = _ENDED_FROM[status]
        ended = self._runs.move(run.id, status, message, of=came_from, progress=progress, reference=reference)
        if self._builder is not None and UPLOAD in run.source:
            self._builder.discard(str(run.source[UPLOAD]))
        return ended or self._runs.find(run.id) or run

    def _fail(self, run: TrainingRun, message: str) -> TrainingRun:
        """The run as failed, or as cancelled where that was asked for: its task may come back, and is not to train."""
        ended = self._end(run, FAILED, message)
        return self._end(run, CANCELLED, f"cancelled; before that: {message}") if ended.status == CANCELLING else ended


def queue_training(
    order: Order, *, run_id: str, trainer: Trainer, runs: TrainingRuns, tasks: TaskQueue, at: datetime
) -> TrainingRun:
    """The queued run, once a worker was told of it.

    Raises InvalidInput that lists what is wrong with the order, and stores nothing then; or BrokerUnavailable, and the
    run is failed then, so that it does not look as if it waited.
    """
    run = plan_training(order, run_id=run_id, trainer=trainer, at=at)
    runs.put(run)
    try:
        tasks.train(run.id)
    except LamellaError as error:
        runs.move(run.id, FAILED, f"not queued: {error}", of=(QUEUED,))
        raise
    return run


def plan_training(order: Order, *, run_id: str, trainer: Trainer, at: datetime) -> TrainingRun:
    """The run that `order` asks for, every hyperparameter filled in, not yet stored. Raises InvalidInput."""
    faults: list[str] = []
    hyperparameters: Mapping[str, Json] = {}
    source: Mapping[str, Json] = {}
    try:
        hyperparameters = trainer.check(order.kind, order.name, order.hyperparameters)
    except InvalidInput as error:
        faults += error.faults
    try:
        source = trainer.check_source(order.source) if order.source else {}
    except InvalidInput as error:
        faults += error.faults
    if order.stage not in STAGES:
        faults.append(f"stage={order.stage!r} is none of {', '.join(STAGES)}")
    if not 0 <= order.seed <= _MOST_SEED:
        faults.append(f"seed={order.seed} is not an integer from 0 to {_MOST_SEED}")
    if faults:
        raise InvalidInput(*faults)
    return TrainingRun(
        id=run_id,
        kind=order.kind,
        name=order.name,
        hyperparameters=hyperparameters,
        seed=order.seed,
        status=QUEUED,
        progress=0.0,
        message="waits for a worker",
        requested_at=at,
        requested_by=order.by,
        source=source,
        stage=order.stage,
    )


def _reading(run: TrainingRun) -> str:
    if UPLOAD in run.source:
        return "reading what was uploaded"
    return f"reading {run.source['file']}" if run.source else "reading the record"


class _Cancelled(Exception):
    """Somebody wants the run stopped."""


class _Pulse:
    """Stores the progress of a run about twice a second; a store that is away for a moment costs a line, no more.

    Raises _Cancelled there once the run is to be cancelled.
    """

    def __init__(
        self, runs: TrainingRuns, run: TrainingRun, monotonic: Callable[[], float], watch: Progress | None
    ) -> None:
        self._runs, self._run, self._monotonic, self._watch = runs, run, monotonic, watch
        self._told = float("-inf")

    def tell(self, share: float, message: str) -> None:
        now = self._monotonic()
        if now - self._told < _PULSE_SECONDS:
            return
        self._told = now
        if self._watch is not None:
            self._watch(share, message)
        try:
            share = min(max(share, 0.0), 1.0)
            if self._runs.move(self._run.id, RUNNING, message, of=(RUNNING,), progress=share) is not None:
                return
            run = self._runs.find(self._run.id)
        except Unavailable:
            return
        if run is not None and run.status in (CANCELLING, CANCELLED):
            raise _Cancelled
