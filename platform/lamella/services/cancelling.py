"""A training that is not wanted any more: at once where it waits, by its worker where it runs."""

from collections.abc import Mapping
from typing import Final

from lamella.errors import Conflict, NotFound
from lamella.services.model_ports import TrainingRun, TrainingRuns
from lamella.services.training import CANCELLED, CANCELLING, QUEUED, RUNNING, UPLOAD
from lamella.services.uploading import UploadStore

_MOVES: Final[Mapping[str, tuple[str, str]]] = {
    QUEUED: (CANCELLED, "cancelled before a worker took it"),
    RUNNING: (CANCELLING, "its worker stops it at its next word"),
}
"""Where a run goes from its status, and the line for people."""


def cancel_training(run_id: str, *, runs: TrainingRuns, uploads: UploadStore) -> TrainingRun:
    """The run: cancelled where it waited for a worker, else cancelling, until its worker hears of it.

    A worker that publishes before it hears ends the run as done. The files of an upload go with the run. Asked for
    again, one that is cancelling stays so. Raises NotFound, and Conflict where the run has ended.
    """
    while True:
        run = runs.find(run_id)
        if run is None:
            raise NotFound("training", run_id, next_step="`lamella trainings list` shows the newest")
        if run.status == CANCELLING:
            return run
        if run.status not in _MOVES:
            raise Conflict(f"training {run_id!r} is {run.status} already; only one that waits or runs can be cancelled")
        status, message = _MOVES[run.status]
        moved = runs.move(run_id, status, message, of=(run.status,))
        # None where a worker moved it since: then it stands elsewhere now.
        if moved is not None:
            if status == CANCELLED and UPLOAD in run.source:
                uploads.discard(str(run.source[UPLOAD]))
            return moved
