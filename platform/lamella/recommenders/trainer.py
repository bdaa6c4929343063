"""The trainer behind the training use case: from the log to a published version, in this process."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from lamella.experiments.model import Json
from lamella.recommenders import popularity
from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.dataset import Dataset, build, without_log
from lamella.recommenders.evaluation import evaluate
from lamella.recommenders.kind import Progress
from lamella.recommenders.kinds import kind_named
from lamella.recommenders.registry import FolderRegistry, TrainedModel, check_name
from lamella.services.ports import Item, ModelVersion, TrainingLog, TrainingRun

_FITTING_SHARE: Final = 0.95


class KerasTrainer:
    """Trains the registered kinds and publishes them to a registry. TensorFlow is imported when a kind needs it."""

    def __init__(self, registry: FolderRegistry) -> None:
        self._registry = registry

    def check(self, kind: str, name: str, hyperparameters: Mapping[str, Json]) -> Mapping[str, Json]:
        """Every hyperparameter that the training would use. Raises InvalidInput for whatever is wrong. Cheap."""
        check_name(name)
        return kind_named(kind).complete(hyperparameters)

    def needs_log(self, kind: str) -> bool:
        """Whether the kind learns from impressions. Raises InvalidInput for an unknown kind."""
        return kind_named(kind).needs_log

    def train(
        self, run: TrainingRun, log: TrainingLog | None, items: Sequence[Item], *, at: datetime, progress: Progress
    ) -> ModelVersion:
        """The version that was trained on `log`, or None on the catalogue alone, and published.

        `progress` is called from this thread. Raises InvalidInput, TrainingFault or ModelFailed; nothing is
        published then.
        """
        kind = kind_named(run.kind)
        hyperparameters = self.check(run.kind, run.name, run.hyperparameters)
        dataset = without_log(items) if log is None else build(log, items)
        fitted = kind.train(
            dataset,
            hyperparameters,
            seed=run.seed,
            progress=lambda share, message: progress(share * _FITTING_SHARE, message),
        )
        progress(_FITTING_SHARE, "measuring on the newest tenth of the log" if log else "publishing")
        trained = TrainedModel(
            kind=run.kind,
            factors=fitted.factors,
            files=fitted.files,
            probe_error=fitted.probe_error,
            hyperparameters=hyperparameters,
            metrics=_measured(fitted.factors, dataset, seed=run.seed) if log else {},
            stamp=_stamp(run, log, dataset),
        )
        return self._registry.publish(trained, name=run.name, at=at)


def _measured(model: FactorModel, dataset: Dataset, *, seed: int) -> dict[str, float]:
    baseline = popularity.KIND.train(dataset, {}, seed=seed, progress=_silence).factors
    return evaluate(model, baseline, dataset, seed=seed)


def _stamp(run: TrainingRun, log: TrainingLog | None, dataset: Dataset) -> dict[str, Json]:
    """Which data and which seed made the model."""
    return {
        "run": run.id,
        "seed": run.seed,
        "rows": len(log.units) if log else 0,
        "from": log.since.isoformat() if log else None,
        "until": log.until.isoformat() if log else None,
        "users": len(dataset.users),
        "items": len(dataset.items),
        "trained_rows": len(dataset.training),
    }


def _silence(share: float, message: str) -> None:
    """Nothing: the baseline's training is not worth a line."""
