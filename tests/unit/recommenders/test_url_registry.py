"""Models at a URL keep the laws of the folder: whole, immutable, checked, and nothing left of what was refused."""

import json
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest

from lamella.errors import Conflict, ModelCorrupt, ModelFailed, NotFound, StoreUnavailable
from lamella.recommenders.blobs import UrlBlobs
from lamella.recommenders.url_registry import UrlRegistry
from lamella.services.model_ports import ModelVersion
from lamella.testing.fakes import MemoryModelCatalogue
from unit.recommenders.test_registry import DownCatalogue, trained

NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(params=["memory", "local"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return f"local://{tmp_path}/remote"
    fsspec.filesystem("memory").store.clear()
    return "memory://bucket/models"


def registry_at(url: str, catalogue: MemoryModelCatalogue, tmp_path: Path) -> UrlRegistry:
    return UrlRegistry(UrlBlobs(url), catalogue, cache=tmp_path / "cache")


def left(url: str) -> list[str]:
    files, root = fsspec.core.url_to_fs(url)
    return sorted(each.removeprefix(root).lstrip("/") for each in files.find(root))


def test_versions_are_numbered_and_load_as_they_were_published(url: str, tmp_path: Path) -> None:
    registry = registry_at(url, MemoryModelCatalogue(), tmp_path)
    first = registry.publish(trained(), name="mf", at=NOW)
    second = registry.publish(trained(bias=1.0), name="mf", at=NOW, stage="candidate")
    assert (first.reference, second.reference, second.stage) == ("mf@1", "mf@2", "candidate")
    assert (registry.load(first).item_bias[0], registry.load(second).item_bias[0]) == (0, 1)
    assert registry.read(first, "model.keras") == b"weights"
    assert registry.manifest(first)["sizes"]["model.keras"] == 7
    with pytest.raises(NotFound, match=r"there is serving\.npz, model\.keras"):
        registry.read(first, "else")


def test_what_was_loaded_once_needs_the_url_no_more_and_a_spoilt_cache_is_read_again(url: str, tmp_path: Path) -> None:
    catalogue = MemoryModelCatalogue()
    registry = registry_at(url, catalogue, tmp_path)
    version = registry.publish(trained(), name="mf", at=NOW)
    registry.load(version)
    (cached,) = (tmp_path / "cache").iterdir()
    cached.write_bytes(b"spoilt")
    assert registry.load(version).item_ids == ("x", "y")
    UrlBlobs(url).remove("mf")
    assert registry.load(version).item_ids == ("x", "y")
    cached.unlink()
    with pytest.raises(ModelCorrupt, match="gone"):
        registry.load(version)


def test_a_file_that_was_changed_is_corrupt(url: str, tmp_path: Path) -> None:
    registry = registry_at(url, MemoryModelCatalogue(), tmp_path)
    version = registry.publish(trained(), name="mf", at=NOW)
    folder = f"mf/1-{version.digest[:16]}"
    UrlBlobs(url).write(f"{folder}/serving.npz", b"other")
    UrlBlobs(url).write(f"{folder}/model.keras", b"other")
    with pytest.raises(ModelCorrupt, match="sha256"):
        registry.load(version)
    with pytest.raises(ModelCorrupt, match="sha256"):
        registry.read(version, "model.keras")


def test_what_is_refused_leaves_nothing(url: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFailed):
        registry_at(url, MemoryModelCatalogue(), tmp_path).publish(trained(probe_error=1e-3), name="mf", at=NOW)
    with pytest.raises(StoreUnavailable):
        registry_at(url, DownCatalogue(), tmp_path).publish(trained(), name="mf", at=NOW)
    assert left(url) == []


class TakenCatalogue(MemoryModelCatalogue):
    """Another publisher takes the first number in between."""

    def add(self, version: ModelVersion) -> None:
        if version.number == 1:
            raise Conflict("mf@1 exists already")
        super().add(version)


def test_two_publishers_of_one_number_get_two_and_leave_one_set_of_files_each(url: str, tmp_path: Path) -> None:
    version = registry_at(url, TakenCatalogue(), tmp_path).publish(trained(), name="mf", at=NOW)
    assert version.reference == "mf@2"
    assert {each.split("/")[1] for each in left(url)} == {f"2-{version.digest[:16]}"}


def test_what_a_killed_publication_left_goes_with_the_next_but_one(url: str, tmp_path: Path) -> None:
    registry = registry_at(url, MemoryModelCatalogue(), tmp_path)
    UrlBlobs(url).write("mf/1-0000000000000000/serving.npz", b"half")
    registry.publish(trained(), name="mf", at=NOW)
    registry.publish(trained(bias=1.0), name="mf", at=NOW)
    assert not [each for each in left(url) if "0000000000000000" in each]
    assert {json.loads(UrlBlobs(url).read(f"{each}"))["number"] for each in left(url) if "manifest" in each} == {1, 2}
