"""The trainer behind the training use case: from the log to a published version, in this process."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from lamella.errors import InvalidInput
from lamella.experiments.model import Json
from lamella.recommenders import popularity
from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.dataset import Dataset, Outcome, build, without_log
from lamella.recommenders.evaluation import evaluate
from lamella.recommenders.kind import Fitted, Progress
from lamella.recommenders.kinds import kind_named
from lamella.recommenders.rated import Split, build_ratings
from lamella.recommenders.registry import Registry, TrainedModel, check_name
from lamella.recommenders.table_rows import ROWS, rows_of_dataset
from lamella.services.model_ports import Item, ModelVersion, TrainingLog, TrainingRun
from lamella.services.ratings_ports import Ratings
from lamella.services.staging import Stage

_FITTING_SHARE: Final = 0.95
_MEASURED_SHARE: Final = 0.99
_SOURCE: Final = ("file", "goal", "split", "items", "users")
_SPLITS: Final[Mapping[str, str]] = {"rating": Split.RANDOM.value, "choice": Split.LAST.value}
"""How a ratings file is split where the source does not say, by goal."""


class KerasTrainer:
    """Trains the registered kinds and publishes them to a registry. TensorFlow is imported when a kind needs it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def check(self, kind: str, name: str, hyperparameters: Mapping[str, Json]) -> Mapping[str, Json]:
        """Every hyperparameter that the training would use. Raises InvalidInput for whatever is wrong. Cheap."""
        check_name(name)
        return kind_named(kind).complete(hyperparameters)

    def needs_log(self, kind: str) -> bool:
        """Whether the kind learns from impressions. Raises InvalidInput for an unknown kind."""
        return kind_named(kind).needs_log

    def check_source(self, source: Mapping[str, Json]) -> Mapping[str, Json]:
        """The ratings file with goal (rating) and split filled in. Raises InvalidInput for whatever is wrong. Cheap."""
        goal = str(source.get("goal") or "rating")
        split = str(source.get("split") or _SPLITS.get(goal, ""))
        faults = [f"a source has no {name!r}; it has {', '.join(_SOURCE)}" for name in source if name not in _SOURCE]
        if not source.get("file"):
            faults.append("a source names its file")
        if goal not in _SPLITS:
            faults.append(f"goal={goal!r} is none of {', '.join(_SPLITS)}")
        elif split not in {each.value for each in Split}:
            faults.append(f"split={split!r} is none of {', '.join(each.value for each in Split)}")
        if faults:
            raise InvalidInput(*faults)
        return {**source, "goal": goal, "split": split}

    def train(
        self,
        run: TrainingRun,
        log: TrainingLog | Ratings | None,
        items: Sequence[Item],
        *,
        at: datetime,
        progress: Progress,
    ) -> ModelVersion:
        """The version that was trained on `log`, or None on the catalogue alone, and published as a candidate.

        `progress` is called from this thread. Raises InvalidInput, TrainingFault or ModelFailed; nothing is
        published then.
        """
        kind = kind_named(run.kind)
        hyperparameters = self.check(run.kind, run.name, run.hyperparameters)
        dataset = _dataset(run, log, items)
        fitted = kind.train(
            dataset,
            hyperparameters,
            seed=run.seed,
            progress=lambda share, message: progress(share * _FITTING_SHARE, message),
        )
        progress(_FITTING_SHARE, "measuring on the held-out part" if log else "publishing")
        trained = TrainedModel(
            kind=run.kind,
            factors=fitted.factors,
            files={**fitted.files, **_rows(dataset, fitted)},
            probe_error=fitted.probe_error,
            hyperparameters=hyperparameters,
            metrics=_measured(fitted.factors, dataset, seed=run.seed, predicts=kind.needs_log) if log else {},
            stamp=_stamp(run, log, dataset),
        )
        progress(_MEASURED_SHARE, "publishing")
        return self._registry.publish(trained, name=run.name, at=at, stage=Stage.CANDIDATE)


def _rows(dataset: Dataset, fitted: Fitted) -> dict[str, bytes]:
    """Which user and item each row of the network is; nothing where there is no network."""
    if "model.keras" not in fitted.files:
        return {}
    words = json.loads(fitted.files.get("vocabulary.json", b"[]"))
    return {ROWS: rows_of_dataset(dataset, words=words)}


def _measured(model: FactorModel, dataset: Dataset, *, seed: int, predicts: bool) -> dict[str, float]:
    baseline = popularity.KIND.train(dataset, {}, seed=seed, progress=_silence).factors
    return evaluate(model, baseline, dataset, seed=seed, predicts=predicts)


def _dataset(run: TrainingRun, log: TrainingLog | Ratings | None, items: Sequence[Item]) -> Dataset:
    if log is None:
        return without_log(items)
    if isinstance(log, TrainingLog):
        return build(log, items)
    outcome, split = Outcome(run.source["goal"]), Split(run.source["split"])
    return build_ratings(log, outcome=outcome, split=split, seed=run.seed)


def _stamp(run: TrainingRun, log: TrainingLog | Ratings | None, dataset: Dataset) -> dict[str, Json]:
    """Which data and which seed made the model."""
    window = (log.since.isoformat(), log.until.isoformat()) if isinstance(log, TrainingLog) else (None, None)
    of_file: dict[str, Json] = {}
    if isinstance(log, Ratings):
        of_file = {"goal": run.source["goal"], "split": run.source["split"], "scale": list(dataset.scale), **log.stamp}
    return {
        "run": run.id,
        "seed": run.seed,
        "rows": len(log.units) if log else 0,
        "from": window[0],
        "until": window[1],
        **of_file,
        "users": len(dataset.users),
        "items": len(dataset.items),
        "trained_rows": len(dataset.training),
        "held_out_rows": len(dataset.held_out),
    }


def _silence(share: float, message: str) -> None:
    """Nothing: the baseline's training is not worth a line."""
