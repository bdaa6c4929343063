"""The folder of models: whole or not at all, and never another file than the one that was published."""

import hashlib
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from lamella.errors import InvalidInput, ModelCorrupt, ModelFailed, StoreUnavailable
from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.registry import FolderRegistry, TrainedModel
from lamella.services.model_ports import ModelVersion
from lamella.testing.fakes import MemoryModelCatalogue

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def trained(*, bias: float = 0.0, probe_error: float = 0.0) -> TrainedModel:
    factors = FactorModel(
        user_ids=("u",),
        user_vectors=np.ones((1, 2), dtype=np.float32),
        user_bias=np.zeros(1, dtype=np.float32),
        item_ids=("x", "y"),
        item_vectors=np.eye(2, dtype=np.float32),
        item_bias=np.array([bias, 0], dtype=np.float32),
        intercept=-1.0,
        unknown_item_bias=-0.5,
        rank_bias=np.zeros(1, dtype=np.float32),
    )
    return TrainedModel(
        kind="mf",
        factors=factors,
        files={"model.keras": b"weights"},
        probe_error=probe_error,
        hyperparameters={"epochs": 3},
        metrics={"auc": 0.7},
        stamp={"seed": 1},
    )


class DownCatalogue(MemoryModelCatalogue):
    def add(self, version: ModelVersion) -> None:  # noqa: ARG002 - the port has it
        raise StoreUnavailable("the store is away")


def test_versions_are_numbered_and_load_as_they_were_published(tmp_path: Path) -> None:
    registry = FolderRegistry(tmp_path, MemoryModelCatalogue())
    first = registry.publish(trained(), name="mf", at=NOW)
    second = registry.publish(trained(bias=1.0), name="mf", at=NOW)
    assert (first.reference, second.reference) == ("mf@1", "mf@2")
    assert registry.load(first).item_bias[0] == 0
    assert registry.load(second).item_bias[0] == 1


def test_the_manifest_says_all_that_the_catalogue_says_and_the_sum_of_each_file(tmp_path: Path) -> None:
    catalogue = MemoryModelCatalogue()
    version = FolderRegistry(tmp_path, catalogue).publish(trained(probe_error=3e-7), name="mf", at=NOW)
    folder = tmp_path / "mf" / "1"
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert catalogue.find("mf") == version
    assert manifest["format"] == "lamella.model/1"
    assert manifest["probe_max_error"] == 3e-7
    for name in ("name", "number", "kind", "digest", "size_bytes", "hyperparameters", "metrics", "stamp"):
        assert manifest[name] == getattr(version, name)
    assert datetime.fromisoformat(manifest["created_at"]) == NOW
    assert manifest["files"] == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("serving.npz", "model.keras")
    }
    assert manifest["files"]["serving.npz"] == version.digest


@pytest.mark.parametrize("change", ["flipped", "truncated", "missing", "another"])
def test_a_file_that_is_not_the_published_one_is_corrupt(tmp_path: Path, change: str) -> None:
    registry = FolderRegistry(tmp_path, MemoryModelCatalogue())
    version = registry.publish(trained(), name="mf", at=NOW)
    other = registry.publish(trained(bias=2.0), name="mf", at=NOW)
    path = tmp_path / "mf" / "1" / "serving.npz"
    content = bytearray(path.read_bytes())
    if change == "flipped":
        content[len(content) // 2] ^= 1
    path.write_bytes(content[:100] if change == "truncated" else content)
    if change == "missing":
        path.unlink()
    if change == "another":
        (tmp_path / "mf" / "2" / "serving.npz").replace(path)
    with pytest.raises(ModelCorrupt, match=r"mf@1.*publish the model again"):
        registry.load(version)
    assert other.number == 2


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (trained(bias=float("nan")), "item_bias holds NaN"),
        (trained(probe_error=2e-4), r"differ from its network by 0.0002, over 0.0001"),
        (trained(probe_error=float("nan")), "differ from its network by nan"),
    ],
)
def test_a_model_that_must_not_serve_is_refused_and_leaves_nothing(
    tmp_path: Path, model: TrainedModel, sentence: str
) -> None:
    catalogue = MemoryModelCatalogue()
    with pytest.raises(ModelFailed, match=sentence):
        FolderRegistry(tmp_path, catalogue).publish(model, name="mf", at=NOW)
    assert not catalogue.all()
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("name", ["", "..", "a/b", "mf@2", "Ä", "x" * 65, ".hidden"])
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="model name"):
        FolderRegistry(tmp_path, MemoryModelCatalogue()).publish(trained(), name=name, at=NOW)


def test_a_publication_that_the_catalogue_refuses_leaves_no_files(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        FolderRegistry(tmp_path, DownCatalogue()).publish(trained(), name="mf", at=NOW)
    assert not list((tmp_path / "mf").iterdir())


def test_a_publication_that_fails_while_it_writes_leaves_no_files(tmp_path: Path) -> None:
    unwritable = replace(trained(), files={"no/such/folder": b""})
    with pytest.raises(OSError, match="no/such/folder"):
        FolderRegistry(tmp_path, MemoryModelCatalogue()).publish(unwritable, name="mf", at=NOW)
    assert not list((tmp_path / "mf").iterdir())


def test_a_folder_that_the_catalogue_does_not_know_keeps_its_number(tmp_path: Path) -> None:
    """A worker that was killed between the move and the catalogue leaves such a folder."""
    FolderRegistry(tmp_path, MemoryModelCatalogue()).publish(trained(), name="mf", at=NOW)
    version = FolderRegistry(tmp_path, MemoryModelCatalogue()).publish(trained(bias=1.0), name="mf", at=NOW)
    assert version.number == 2
    assert (tmp_path / "mf" / "1" / "serving.npz").exists()


def test_what_a_killed_publication_left_goes_once_it_is_old(tmp_path: Path) -> None:
    old, fresh = tmp_path / "mf" / ".partial-old", tmp_path / "mf" / ".partial-fresh"
    for folder in (old, fresh):
        folder.mkdir(parents=True)
        (folder / "serving.npz").write_bytes(b"half")
    os.utime(old, (0, 0))
    FolderRegistry(tmp_path, MemoryModelCatalogue()).publish(trained(), name="mf", at=NOW)
    assert not old.exists()
    assert fresh.exists()
