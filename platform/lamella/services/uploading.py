"""Uploaded models: checked, kept, and queued for a worker that builds and publishes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from lamella.errors import LamellaError
from lamella.experiments.model import Json
from lamella.services.model_ports import ModelVersion, TaskQueue, TrainingRun, TrainingRuns
from lamella.services.staging import Stage
from lamella.services.training import CANCELLING, FAILED, QUEUED, RUNNING, UPLOAD

_LONGEST_WAIT: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A model from outside: `weights` for a registered kind with hyperparameters, or, of kind onnx, the model.

    `rows` is `rows.json`: which user and item each row of its tables is. `sha256` is what the caller says of
    `weights`.
    """

    kind: str
    name: str
    hyperparameters: Mapping[str, Json]
    sha256: str
    by: str
    weights: bytes = field(repr=False)
    rows: bytes = field(repr=False)


class UploadStore(Protocol):
    """Checks and keeps uploads."""

    def check(self, upload: Upload) -> Mapping[str, Json]:
        """Every hyperparameter of the network that the weights are for. Raises InvalidInput listing each fault."""
        ...

    def keep(self, upload: Upload, key: str) -> str:
        """Where the upload of `key` is kept, whole or not at all. Raises Unavailable."""
        ...

    def discard(self, place: str) -> None:
        """Removes what is kept there."""
        ...

    def sweep(self, is_awaited: Callable[[str], bool]) -> int:
        """How many uploads were removed: those begun an hour ago whose key no training waits for."""
        ...


class Manifests(Protocol):
    """What was recorded of versions when they were published."""

    def manifest(self, version: ModelVersion) -> Mapping[str, Json]:
        """Files with sha256 and size, signature, probe error. Raises ModelCorrupt where that is gone."""
        ...


def plan_upload(upload: Upload, *, run_id: str, uploads: UploadStore, runs: TrainingRuns, at: datetime) -> TrainingRun:
    """The queued run of a checked upload, both kept. Raises InvalidInput or Unavailable, and keeps nothing then."""
    sweep_uploads(uploads, runs, now=at)
    hyperparameters = uploads.check(upload)
    place = uploads.keep(upload, run_id)
    run = TrainingRun(
        id=run_id,
        kind=upload.kind,
        name=upload.name,
        hyperparameters=hyperparameters,
        seed=0,
        status=QUEUED,
        progress=0.0,
        message="waits for a worker",
        requested_at=at,
        requested_by=upload.by,
        source={UPLOAD: place},
        stage=Stage.CANDIDATE.value,
    )
    try:
        runs.put(run)
    except BaseException:
        uploads.discard(place)
        raise
    return run


def queue_upload(
    upload: Upload, *, run_id: str, uploads: UploadStore, runs: TrainingRuns, tasks: TaskQueue, at: datetime
) -> TrainingRun:
    """The queued run, once a worker was told of it; it ends as a candidate.

    Raises InvalidInput that lists what is wrong, Unavailable, or BrokerUnavailable: the run is failed then, and the
    files are gone.
    """
    run = plan_upload(upload, run_id=run_id, uploads=uploads, runs=runs, at=at)
    try:
        tasks.train(run.id)
    except LamellaError as error:
        uploads.discard(str(run.source[UPLOAD]))
        runs.move(run.id, FAILED, f"not queued: {error}", of=(QUEUED,))
        raise
    return run


def sweep_uploads(uploads: UploadStore, runs: TrainingRuns, *, now: datetime) -> int:
    """How many abandoned uploads were removed: what a process that was killed left.

    A run that has not ended within a day of its request waits for its files no longer.
    """

    def is_awaited(key: str) -> bool:
        run = runs.find(key)
        return (
            run is not None and run.status in (QUEUED, RUNNING, CANCELLING) and now - run.requested_at < _LONGEST_WAIT
        )

    return uploads.sweep(is_awaited)
