"""Models that come from outside: checked as bytes where they arrive, built and published by a worker."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from lamella.errors import InvalidInput, NotFound, TrainingFault
from lamella.experiments.model import Json
from lamella.recommenders.blobs import Blobs
from lamella.recommenders.kind import Weights
from lamella.recommenders.kinds import KINDS, kind_named
from lamella.recommenders.onnx_checks import compiled, declaration, network_of_upload
from lamella.recommenders.registry import Registry, TrainedModel, check_name
from lamella.recommenders.table_rows import ROWS, TableRows, parse_rows
from lamella.recommenders.weight_files import ONNX, check_onnx_start, fill, format_of
from lamella.services.model_ports import ModelVersion, TrainingRun
from lamella.services.staging import Stage
from lamella.services.training import Progress
from lamella.services.uploading import Upload

UPLOADS: Final = ".uploads"
"""Beside the models: no name of a model begins with a dot.

An upload lies in `<seconds>-<key>`: when it was begun is known before its first file is whole, wherever it is kept.
"""
_WEIGHTS: Final = "weights"
_ABOUT: Final = "upload.json"
_ABANDONED_SECONDS: Final = 3600.0


class Uploads:
    """Checks, keeps and builds uploaded models. TensorFlow is imported when weights are built."""

    def __init__(
        self,
        blobs: Blobs,
        registry: Registry,
        *,
        most_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._blobs, self._registry, self._most_bytes, self._clock = blobs, registry, most_bytes, clock

    def check(self, upload: Upload) -> Mapping[str, Json]:
        """Every hyperparameter of the network that the weights are for. Raises InvalidInput listing each fault.

        Looked at are name, kind, hyperparameters, size, digest, the file's format, and the rows; nothing is built.
        """
        faults: list[str] = []
        hyperparameters: Mapping[str, Json] = {}
        looks: tuple[Callable[[], None], ...] = (
            lambda: check_name(upload.name),
            lambda: _check_size(upload, self._most_bytes),
            lambda: _check_digest(upload),
            lambda: _check_content(upload),
        )
        for look in looks:
            try:
                look()
            except InvalidInput as error:
                faults += error.faults
        try:
            hyperparameters = _completed(upload)
        except InvalidInput as error:
            faults += error.faults
        if faults:
            raise InvalidInput(*faults)
        return hyperparameters

    def keep(self, upload: Upload, key: str) -> str:
        """Where the upload waits for a worker, whole or not at all. Raises Unavailable."""
        place = f"{int(self._clock())}-{key}"
        folder = f"{UPLOADS}/{place}"
        about = {"sha256": upload.sha256.lower(), "format": _format(upload)}
        try:
            self._blobs.write(f"{folder}/{_ABOUT}", json.dumps(about).encode())
            self._blobs.write(f"{folder}/{ROWS}", upload.rows)
            self._blobs.write(f"{folder}/{_WEIGHTS}", upload.weights)
        except BaseException:
            self._blobs.remove(folder)
            raise
        return place

    def discard(self, place: str) -> None:
        """Removes what was uploaded; nothing where that is gone."""
        self._blobs.remove(f"{UPLOADS}/{place}")

    def sweep(self, is_awaited: Callable[[str], bool]) -> int:
        """How many uploads were removed: those begun an hour ago whose key no training waits for.

        A younger one stays, for it may still be written, or its training not yet be known.
        """
        removed = 0
        for place in self._blobs.folders(UPLOADS):
            begun, key = _begun(place)
            if self._clock() - begun > _ABANDONED_SECONDS and not is_awaited(key):
                self.discard(place)
                removed += 1
        return removed

    def build(self, run: TrainingRun, *, at: datetime, progress: Progress) -> ModelVersion:
        """The version, published as a candidate: built by the kind, filled, compiled, compared with its network.

        Raises InvalidInput, ModelFailed or TrainingFault; nothing is published then.
        """
        folder = f"{UPLOADS}/{run.source['upload']}"
        progress(0.0, "reading what was uploaded")
        try:
            about = json.loads(self._blobs.read(f"{folder}/{_ABOUT}"))
            content, packed = self._blobs.read(f"{folder}/{_WEIGHTS}"), self._blobs.read(f"{folder}/{ROWS}")
        except NotFound as error:
            raise TrainingFault("what was uploaded is gone; upload it again") from error
        if hashlib.sha256(content).hexdigest() != about["sha256"]:
            raise TrainingFault("what was uploaded has changed since; upload it again")
        progress(0.2, "building")
        rows = parse_rows(packed)
        stamp = {"run": run.id, "sha256": about["sha256"], "format": about["format"], "by": run.requested_by}
        stamp |= {"users": len(rows.users), "items": len(rows.items)}
        make = _of_onnx if run.kind == ONNX else _of_weights
        trained = make(run, content, rows, packed, stamp)
        progress(0.9, f"publishing; greatest probe error {trained.probe_error:.2g}")
        return self._registry.publish(trained, name=run.name, at=at, stage=Stage.CANDIDATE)


def _begun(place: str) -> tuple[int, str]:
    """When the upload in this folder was begun, and its key; long ago where the folder is none of ours.

    >>> _begun("1767225600-5f0c")
    (1767225600, '5f0c')
    """
    seconds, _, key = place.partition("-")
    return (int(seconds), key) if key and seconds.isdecimal() else (0, place)


def _of_weights(
    run: TrainingRun, content: bytes, rows: TableRows, packed: bytes, stamp: Mapping[str, Json]
) -> TrainedModel:
    kind = kind_named(run.kind)
    weights = Weights(fill=lambda network: fill(network, content), words=rows.words)
    fitted = kind.restored(rows.dataset(), run.hyperparameters, weights)
    return TrainedModel(
        kind=run.kind,
        factors=fitted.factors,
        files={**fitted.files, ROWS: packed},
        probe_error=fitted.probe_error,
        hyperparameters=run.hyperparameters,
        metrics={},
        stamp=stamp,
    )


def _of_onnx(
    run: TrainingRun, content: bytes, rows: TableRows, packed: bytes, stamp: Mapping[str, Json]
) -> TrainedModel:
    factors, error = compiled(network_of_upload(content, rows), rows)
    return TrainedModel(
        kind=run.kind,
        factors=factors,
        files={"model.onnx": content, ROWS: packed},
        probe_error=error,
        hyperparameters={},
        metrics={},
        stamp=stamp,
    )


def _completed(upload: Upload) -> Mapping[str, Json]:
    if upload.kind == ONNX:
        if upload.hyperparameters:
            raise InvalidInput("an ONNX model has no hyperparameters")
        return {}
    kind = kind_named(upload.kind)
    if not kind.takes_weights:
        takers = ", ".join(name for name, each in KINDS.items() if each.takes_weights)
        raise InvalidInput(f"a {upload.kind} is not built from weights; there are {takers} and {ONNX}")
    return kind.complete(upload.hyperparameters)


def _check_size(upload: Upload, most_bytes: int) -> None:
    size = len(upload.weights) + len(upload.rows)
    if size > most_bytes:
        raise InvalidInput(f"the files have {size} bytes; LAMELLA_MODEL_UPLOAD_MEGABYTES allows {most_bytes}")


def _check_digest(upload: Upload) -> None:
    found = hashlib.sha256(upload.weights).hexdigest()
    if found != upload.sha256.lower():
        raise InvalidInput(f"the weights have sha256 {found}, {upload.sha256 or 'none'} was announced")


def _check_content(upload: Upload) -> None:
    faults: list[str] = []
    try:
        _format(upload)
    except InvalidInput as error:
        faults += error.faults
    try:
        rows = parse_rows(upload.rows)
        if upload.kind == ONNX:
            declaration(rows.signature)
    except InvalidInput as error:
        faults += error.faults
    if faults:
        raise InvalidInput(*faults)


def _format(upload: Upload) -> str:
    if upload.kind == ONNX:
        check_onnx_start(upload.weights)
        return ONNX
    return format_of(upload.weights)
