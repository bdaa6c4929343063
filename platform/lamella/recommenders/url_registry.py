"""The model registry at a URL: one prefix a version, its manifest written last, with a cache on this machine.

`<url>/<name>/<number>-<digest>/` holds the files. The digest in the name keeps two publishers apart that take the same
number: the catalogue decides, and the other one publishes again under the next number.
"""

import contextlib
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from lamella.errors import Conflict, ModelCorrupt, NotFound
from lamella.experiments.model import Json
from lamella.recommenders.artifact import FactorModel, pack
from lamella.recommenders.blobs import Blobs
from lamella.recommenders.registry import (
    MANIFEST,
    SERVING,
    TrainedModel,
    check_digest,
    check_name,
    check_servable,
    digest_in,
    manifest_of,
    new_version,
    opened,
    read_manifest,
)
from lamella.services.model_ports import ModelCatalogue, ModelVersion
from lamella.services.staging import Stage

MOST_CACHED: Final = 32
_ATTEMPTS: Final = 20
_DIGITS: Final = 16


class UrlRegistry:
    """The model registry under a URL; `cache` is a folder of this machine, made when it is needed."""

    def __init__(self, blobs: Blobs, catalogue: ModelCatalogue, *, cache: Path) -> None:
        self._blobs, self._catalogue, self._cache = blobs, catalogue, cache

    def publish(self, trained: TrainedModel, *, name: str, at: datetime, stage: str = Stage.LIVE.value) -> ModelVersion:
        """The published version: the next number of `name`, in that stage.

        Its files are written, the manifest last; then the version enters the catalogue, without which nobody loads
        it. Raises InvalidInput, ModelFailed, Unavailable; nothing is left behind then. What a killed publication left
        goes with a later one of the name.
        """
        check_name(name)
        check_servable(trained)
        files = {SERVING: pack(trained.factors), **trained.files}
        version = new_version(trained, files, name=name, at=at, stage=stage)
        number = self._catalogue.next_number(name)
        self._sweep(name, number)
        for candidate in range(number, number + _ATTEMPTS):
            numbered = replace(version, number=candidate)
            with contextlib.suppress(Conflict):
                self._write(numbered, {**files, MANIFEST: manifest_of(numbered, trained, files)})
                return numbered
        raise Conflict(f"the catalogue would not take {name} as number {number} or the next {_ATTEMPTS - 1}; retry")

    def load(self, version: ModelVersion) -> FactorModel:
        """What serves of a version, out of the cache or the URL, checked against the catalogue's digest.

        Raises ModelCorrupt where it is missing or not the one that was published, Unavailable.
        """
        cached = self._cache / f"{version.name}-{version.number}-{version.digest[:_DIGITS]}.npz"
        packed = b""
        with contextlib.suppress(OSError):
            packed = cached.read_bytes()
        if hashlib.sha256(packed).hexdigest() != version.digest:
            packed = self._read(version, SERVING)
            check_digest(packed, version.digest, source=f"{version.reference}: {SERVING}")
            self._keep(cached, packed)
        return opened(packed, source=f"{version.reference}: {SERVING}")

    def manifest(self, version: ModelVersion) -> Mapping[str, Json]:
        """What was recorded when the version was published. Raises ModelCorrupt, Unavailable."""
        return read_manifest(self._read(version, MANIFEST), version)

    def read(self, version: ModelVersion, filename: str) -> bytes:
        """A file of the version, checked against its manifest. Raises NotFound, ModelCorrupt, Unavailable."""
        digest = digest_in(self.manifest(version), version, filename)
        content = self._read(version, filename)
        check_digest(content, digest, source=f"{version.reference}: {filename}")
        return content

    def _write(self, version: ModelVersion, files: Mapping[str, bytes]) -> None:
        """Raises Conflict where the number is taken; what was written goes then."""
        try:
            for filename, content in files.items():
                self._blobs.write(f"{_folder(version)}/{filename}", content)
            self._catalogue.add(version)
        except BaseException:
            taken = None
            with contextlib.suppress(Exception):
                taken = self._catalogue.find(version.reference)
            if taken is None or taken.digest != version.digest:
                with contextlib.suppress(Exception):
                    self._blobs.remove(_folder(version))
            raise

    def _read(self, version: ModelVersion, filename: str) -> bytes:
        try:
            return self._blobs.read(f"{_folder(version)}/{filename}")
        except NotFound as error:
            raise ModelCorrupt(f"{version.reference}: {filename} is gone; publish the model again") from error

    def _sweep(self, name: str, number: int) -> None:
        """Removes what is under a number that the catalogue has for other files, or passed over."""
        kept = {_folder(each) for each in self._catalogue.all() if each.name == name}
        for found in self._blobs.folders(name):
            before = found.partition("-")[0]
            if before.isdecimal() and int(before) < number and f"{name}/{found}" not in kept:
                self._blobs.remove(f"{name}/{found}")

    def _keep(self, path: Path, packed: bytes) -> None:
        """Puts the file into the cache; a disk that refuses costs the next process a download, no more."""
        with contextlib.suppress(OSError):
            self._cache.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{uuid.uuid4().hex}.partial")
            partial.write_bytes(packed)
            partial.replace(path)
            newest = sorted(self._cache.iterdir(), key=lambda each: each.stat().st_mtime, reverse=True)
            for each in newest[MOST_CACHED:]:
                each.unlink(missing_ok=True)


def _folder(version: ModelVersion) -> str:
    return f"{version.name}/{version.number}-{version.digest[:_DIGITS]}"
