"""The folder of published models: one folder a version, written whole or not at all, never changed.

`<root>/<name>/<number>/` holds `serving.npz` (what serves), `manifest.json`, and what the kind adds (`model.keras`).
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from lamella.errors import Conflict, InvalidInput, ModelCorrupt, ModelFailed, NotFound
from lamella.experiments.model import Json
from lamella.recommenders.artifact import FactorModel, pack, unpack
from lamella.services.model_ports import MODEL_NAME, ModelCatalogue, ModelVersion
from lamella.services.staging import Stage

FORMAT: Final = "lamella.model/1"
SERVING: Final = "serving.npz"
MANIFEST: Final = "manifest.json"
MOST_PROBE_ERROR: Final = 1e-4

_PARTIAL: Final = ".partial-"
_ABANDONED_SECONDS: Final = 3600.0
_ATTEMPTS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """A model that may be published: what serves, further files by name, and what is recorded of it."""

    kind: str
    factors: FactorModel
    files: Mapping[str, bytes]
    probe_error: float
    hyperparameters: Mapping[str, Json]
    metrics: Mapping[str, float]
    stamp: Mapping[str, Json]


class Registry(Protocol):
    """Where published versions are kept."""

    def publish(self, trained: TrainedModel, *, name: str, at: datetime, stage: str = ...) -> ModelVersion:
        """The published version: the next number of `name`. Raises InvalidInput or ModelFailed."""
        ...

    def load(self, version: ModelVersion) -> FactorModel:
        """What serves of a version. Raises ModelCorrupt."""
        ...

    def manifest(self, version: ModelVersion) -> Mapping[str, Json]:
        """What was recorded when the version was published. Raises ModelCorrupt."""
        ...

    def read(self, version: ModelVersion, filename: str) -> bytes:
        """A file of the version, checked against its manifest. Raises NotFound or ModelCorrupt."""
        ...


class FolderRegistry:
    """The model registry of a folder, with the versions also listed in a ModelCatalogue."""

    def __init__(self, root: Path, catalogue: ModelCatalogue) -> None:
        self._root, self._catalogue = root, catalogue

    def publish(self, trained: TrainedModel, *, name: str, at: datetime, stage: str = Stage.LIVE.value) -> ModelVersion:
        """The published version: the next number of `name`, in that stage.

        Files are written to a folder beside their place, flushed to disk, and moved there in one step; then the
        version enters the catalogue. Raises InvalidInput for a bad name, ModelFailed for matrices that cannot serve
        or differ from their network by more than 1e-4; nothing is left behind then.
        """
        check_name(name)
        check_servable(trained)
        folder = self._root / name
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        partial = folder / f"{_PARTIAL}{uuid.uuid4().hex}"
        partial.mkdir()
        try:
            files = {SERVING: pack(trained.factors), **trained.files}
            for filename, content in files.items():
                _write(partial / filename, content)
            version, place = self._move(
                partial, new_version(trained, files, name=name, at=at, stage=stage), trained, files
            )
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        try:
            self._catalogue.add(version)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        return version

    def load(self, version: ModelVersion) -> FactorModel:
        """The matrices of a version, checked against the digest that the catalogue recorded.

        Raises ModelCorrupt where the file is missing, unreadable, or not the one that was published.
        """
        path = self._root / version.name / str(version.number) / SERVING
        packed = self._read(version, SERVING)
        check_digest(packed, version.digest, source=f"{version.reference}: {path}")
        return opened(packed, source=f"{version.reference}: {path}")

    def manifest(self, version: ModelVersion) -> Mapping[str, Json]:
        """What was recorded when the version was published. Raises ModelCorrupt where that cannot be read."""
        return read_manifest(self._read(version, MANIFEST), version)

    def read(self, version: ModelVersion, filename: str) -> bytes:
        """A file of the version, checked against its manifest. Raises NotFound or ModelCorrupt."""
        digest = digest_in(self.manifest(version), version, filename)
        content = self._read(version, filename)
        check_digest(content, digest, source=f"{version.reference}: {filename}")
        return content

    def _read(self, version: ModelVersion, filename: str) -> bytes:
        path = self._root / version.name / str(version.number) / filename
        try:
            return path.read_bytes()
        except OSError as error:
            raise ModelCorrupt(
                f"{version.reference}: {path} cannot be read ({error.strerror}); publish the model again"
            ) from error

    def _move(
        self, partial: Path, version: ModelVersion, trained: TrainedModel, files: Mapping[str, bytes]
    ) -> tuple[ModelVersion, Path]:
        """The version under the first free number, and its folder. The move fails where a number is taken."""
        folder = partial.parent
        number = max(self._catalogue.next_number(version.name), 1 + _highest(folder))
        for candidate in range(number, number + _ATTEMPTS):
            numbered = replace(version, number=candidate)
            _write(partial / MANIFEST, manifest_of(numbered, trained, files))
            _flush_folder(partial)
            with contextlib.suppress(OSError):
                partial.rename(folder / str(candidate))
                _flush_folder(folder)
                return numbered, folder / str(candidate)
        raise Conflict(f"{folder} would not take {version.name} as number {number} or the next {_ATTEMPTS - 1}; retry")


def check_name(name: str) -> None:
    """Nothing. Raises InvalidInput unless `name` can name a model: lower case, digits, - and _, up to 64."""
    if not re.fullmatch(MODEL_NAME, name):
        raise InvalidInput(f"model name {name!r} is not 1 to 64 of a-z, 0-9, - and _, starting with a letter or digit")


def check_servable(trained: TrainedModel) -> None:
    """Nothing. Raises ModelFailed with each reason why `trained` must not be published."""
    faults = trained.factors.faults()
    if not trained.probe_error <= MOST_PROBE_ERROR:
        faults.append(f"its matrices differ from its network by {trained.probe_error:.2g}, over {MOST_PROBE_ERROR:g}")
    if faults:
        raise ModelFailed(f"the {trained.kind} model cannot be published: {'; '.join(faults)}")


def opened(packed: bytes, *, source: str) -> FactorModel:
    """The model in these bytes, ready to answer: a network has scored once. Raises ModelCorrupt or ModelFailed."""
    model = unpack(packed, source=source)
    if model.network is not None and not np.isfinite(model.network.logits(0, model.all_rows[:1])).all():
        raise ModelFailed(f"{source} answers with NaN or infinity; publish a sound version")
    return model


def new_version(
    trained: TrainedModel, files: Mapping[str, bytes], *, name: str, at: datetime, stage: str
) -> ModelVersion:
    """The version of these files, not yet numbered."""
    return ModelVersion(
        name=name,
        number=0,
        kind=trained.kind,
        created_at=at,
        digest=hashlib.sha256(files[SERVING]).hexdigest(),
        size_bytes=sum(len(content) for content in files.values()),
        hyperparameters=trained.hyperparameters,
        metrics=trained.metrics,
        stamp=trained.stamp,
        stage=str(stage),
        staged_at=at,
    )


def manifest_of(version: ModelVersion, trained: TrainedModel, files: Mapping[str, bytes]) -> bytes:
    """What is recorded of a version beside its files: JSON."""
    document = {
        "format": FORMAT,
        "name": version.name,
        "number": version.number,
        "kind": version.kind,
        "created_at": version.created_at.isoformat(),
        "digest": version.digest,
        "size_bytes": version.size_bytes,
        "hyperparameters": dict(version.hyperparameters),
        "metrics": dict(version.metrics),
        "stamp": dict(version.stamp),
        "signature": trained.factors.signature(),
        "probe_max_error": trained.probe_error,
        "files": {filename: hashlib.sha256(content).hexdigest() for filename, content in files.items()},
        "sizes": {filename: len(content) for filename, content in files.items()},
    }
    return json.dumps(document, indent=2, allow_nan=False).encode()


def read_manifest(content: bytes, version: ModelVersion) -> Mapping[str, Json]:
    """The manifest. Raises ModelCorrupt where it is none, or that of another version."""
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict) or document.get("digest") != version.digest:
        raise ModelCorrupt(f"{version.reference}: its {MANIFEST} is not the one of this version")
    return document


def digest_in(manifest: Mapping[str, Json], version: ModelVersion, filename: str) -> str:
    """The sha256 that the manifest has of a file. Raises NotFound that says which files there are."""
    files = manifest.get("files")
    found = files.get(filename) if isinstance(files, dict) else None
    if not isinstance(found, str):
        there = ", ".join(files) if isinstance(files, dict) else "none"
        raise NotFound(f"file of {version.reference}", filename, next_step=f"there is {there}")
    return found


def check_digest(content: bytes, digest: str, *, source: str) -> None:
    """Nothing. Raises ModelCorrupt unless `content` has this sha256."""
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise ModelCorrupt(f"{source} has sha256 {found[:12]}…, {digest[:12]}… was recorded; publish the model again")


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _highest(folder: Path) -> int:
    return max((int(each.name) for each in folder.iterdir() if each.name.isdecimal()), default=0)


def _sweep(folder: Path) -> None:
    """Removes what publications that were killed left, once it is an hour old."""
    for each in folder.glob(f"{_PARTIAL}*"):
        with contextlib.suppress(OSError):
            if time.time() - each.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(each)
