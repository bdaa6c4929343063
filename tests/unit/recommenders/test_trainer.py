"""From a log to a published version."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from lamella.errors import InvalidInput, TrainingFault
from lamella.recommenders.registry import FolderRegistry
from lamella.recommenders.trainer import KerasTrainer
from lamella.services.model_ports import Item, TrainingLog, TrainingRun
from lamella.testing.fakes import MemoryModelCatalogue

NOW = datetime(2026, 3, 2, tzinfo=UTC)
RUN = TrainingRun(
    id="run-1",
    kind="popularity",
    name="popular",
    hyperparameters={},
    seed=4,
    status="running",
    progress=0.0,
    message="",
    requested_at=NOW,
    requested_by="ann",
)


def log_of(n: int) -> TrainingLog:
    rng = np.random.default_rng(1)
    items = rng.integers(0, 30, n)
    return TrainingLog(
        units=[f"u{each}" for each in rng.integers(0, 9, n)],
        items=[f"i{each}" for each in items],
        ranks=(rng.integers(1, 5, n)).tolist(),
        clicked=(rng.random(n) < items / 60).tolist(),
        since=NOW,
        until=NOW,
    )


def test_a_training_is_published_with_its_metrics_its_stamp_and_every_hyperparameter(tmp_path: Path) -> None:
    catalogue = MemoryModelCatalogue()
    registry = FolderRegistry(tmp_path, catalogue)
    told: list[float] = []
    version = KerasTrainer(registry).train(RUN, log_of(2000), [], at=NOW, progress=lambda share, _: told.append(share))
    assert version.reference == "popular@1"
    assert version.hyperparameters == {"prior_impressions": 0.0}
    assert version.stamp["run"] == "run-1"
    assert version.stamp["rows"] == 2000
    assert {
        "log_loss",
        "auc",
        "recall_at_10",
        "ndcg_at_10",
        "popularity_recall_at_10",
        "coverage_at_10",
        "gini_at_10",
    } <= (version.metrics.keys())
    assert registry.load(version).score("anybody", ["i29"])[0] > registry.load(version).score("anybody", ["i1"])[0]
    assert told == sorted(told)


def test_whoever_listens_can_stop_a_training_once_it_is_measured_and_before_it_is_published(tmp_path: Path) -> None:
    catalogue = MemoryModelCatalogue()

    def stop(_share: float, message: str) -> None:
        if message == "publishing":
            raise InterruptedError

    with pytest.raises(InterruptedError):
        KerasTrainer(FolderRegistry(tmp_path, catalogue)).train(RUN, log_of(2000), [], at=NOW, progress=stop)
    assert not catalogue.all()


def test_nothing_is_published_from_a_log_that_teaches_nothing(tmp_path: Path) -> None:
    catalogue = MemoryModelCatalogue()
    with pytest.raises(TrainingFault):
        KerasTrainer(FolderRegistry(tmp_path, catalogue)).train(RUN, log_of(10), [], at=NOW, progress=lambda *_: None)
    assert not catalogue.all()


def test_a_check_names_a_bad_name_kind_or_hyperparameter_before_anything_runs(tmp_path: Path) -> None:
    trainer = KerasTrainer(FolderRegistry(tmp_path, MemoryModelCatalogue()))
    assert trainer.check("mf", "mf", {"epochs": 2})["epochs"] == 2
    for kind, name, hyperparameters in (("mff", "mf", {}), ("mf", "M F", {}), ("mf", "mf", {"epochs": 0})):
        with pytest.raises(InvalidInput):
            trainer.check(kind, name, hyperparameters)


def test_without_tensorflow_the_refusal_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    trainer = KerasTrainer(FolderRegistry(tmp_path, MemoryModelCatalogue()))
    with pytest.raises(TrainingFault, match=r"pip install 'lamella\[train\]'"):
        trainer.train(replace(RUN, kind="mf", name="mf"), log_of(2000), [], at=NOW, progress=lambda *_: None)


def test_a_kind_that_needs_no_log_is_published_from_the_catalogue_alone(tmp_path: Path) -> None:
    trainer = KerasTrainer(FolderRegistry(tmp_path, MemoryModelCatalogue()))
    assert not trainer.needs_log("newest")
    run = replace(RUN, kind="newest", name="newest")
    items = [Item(key="a", title="A", published_at=NOW, attributes={})]
    version = trainer.train(run, None, items, at=NOW, progress=lambda _share, _line: None)
    assert (version.reference, version.metrics, version.stamp["rows"]) == ("newest@1", {}, 0)
