"""Models at a URL keep the laws of the folder: whole, immutable, checked, and nothing left of what was refused."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest

from lamella.errors import Conflict, ModelCorrupt, ModelFailed, NotFound, StoreUnavailable, Unavailable
from lamella.recommenders.blobs import UrlBlobs
from lamella.recommenders.url_registry import UrlRegistry
from lamella.services.model_ports import ModelVersion
from lamella.testing.fakes import MemoryModelCatalogue
from s3_server import Bucket, s3_bucket
from unit.recommenders.test_registry import DownCatalogue, trained

NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    """A bucket of a server that speaks S3, which this process finds as it would find Amazon's."""
    known = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    with s3_bucket() as served, pytest.MonkeyPatch.context() as environment:
        for name, value in {**known, "AWS_ENDPOINT_URL": served.url}.items():
            environment.setenv(name, value)
        kind = fsspec.get_filesystem_class("s3")
        kind.clear_instance_cache()
        yield served
        opened = kind()
        kind.close_session(opened.loop, opened.s3)
        kind.clear_instance_cache()


@pytest.fixture(params=["memory", "local", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return f"local://{tmp_path}/remote"
    if request.param == "s3":
        request.getfixturevalue("bucket").empty()
        return "s3://bucket/models"
    fsspec.filesystem("memory").store.clear()
    return "memory://bucket/models"


def registry_at(url: str, catalogue: MemoryModelCatalogue, tmp_path: Path) -> UrlRegistry:
    return UrlRegistry(UrlBlobs(url), catalogue, cache=tmp_path / "cache")


def left(url: str) -> list[str]:
    files, root = fsspec.core.url_to_fs(url)
    files.invalidate_cache()
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


def test_what_another_process_wrote_to_a_bucket_is_listed_at_once(bucket: Bucket) -> None:
    bucket.empty()
    blobs = UrlBlobs("s3://bucket/models")
    blobs.write("mf/1-a/serving.npz", b"1")
    assert blobs.folders("mf") == ["1-a"]
    bucket.objects["models/mf/2-b/serving.npz"] = b"2"
    assert blobs.folders("mf") == ["1-a", "2-b"]
    blobs.remove("mf/1-a")
    assert (blobs.folders("mf"), list(bucket.objects)) == (["2-b"], ["models/mf/2-b/serving.npz"])


def test_a_bucket_that_does_not_exist_is_not_made(bucket: Bucket) -> None:
    bucket.empty()
    with pytest.raises(Unavailable, match="cannot be written"):
        UrlBlobs("s3://typo/models").write("mf/1-a/serving.npz", b"1")
    assert bucket.made == []


def test_a_bucket_that_refuses_is_unavailable_and_not_empty(bucket: Bucket) -> None:
    bucket.empty()
    blobs = UrlBlobs("s3://bucket/models")
    blobs.write("mf/1-a/serving.npz", b"1")
    bucket.is_barred = True
    with pytest.raises(Unavailable, match="cannot be read"):
        blobs.read("mf/1-a/serving.npz")
    with pytest.raises(Unavailable, match="cannot be listed"):
        blobs.folders("mf")
    with pytest.raises(Unavailable, match="cannot be removed"):
        blobs.remove("mf/1-a")
