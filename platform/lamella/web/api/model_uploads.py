"""Models from outside: what arrives is checked as bytes here, and built by a worker."""

import json
import uuid

from apiflask import APIBlueprint
from flask import request
from flask.typing import ResponseReturnValue

from lamella.errors import InvalidInput, NotFound
from lamella.experiments.model import Json
from lamella.services.uploading import Upload, queue_upload
from lamella.web.api.models import run_document, version_document
from lamella.web.auth import needs, principal
from lamella.web.wiring import services

blueprint = APIBlueprint("uploads", __name__, url_prefix="/v1/admin", tag="Items and models")

_TEXTS = ("kind", "name", "sha256", "hyperparameters")
_FILES = ("weights", "rows")


@blueprint.post("/models")
@blueprint.doc(responses={202: "Kept and queued; Location is where to follow it"})
@needs("approver")
def upload_model() -> ResponseReturnValue:
    """Takes weights for a registered kind, or an ONNX model; a worker builds, checks and publishes a candidate.

    Weights are .safetensors, .weights.h5, .h5, or of a .keras archive the weights alone. An architecture is never read.
    """
    run = queue_upload(
        _upload(),
        run_id=uuid.uuid4().hex,
        uploads=services().uploads,
        runs=services().trainings,
        tasks=services().tasks,
        at=services().clock.now(),
    )
    return run_document(run), 202, {"Location": f"/v1/admin/trainings/{run.id}"}


@blueprint.get("/models/<reference>")
@needs("viewer")
def show_model(reference: str) -> ResponseReturnValue:
    """One version with what was recorded at its publication: signature, probe error, sha256 and size of each file."""
    version = services().models.find(reference)
    if version is None:
        raise NotFound("model version", reference, next_step="GET /v1/admin/models lists what is published")
    manifest = services().manifests.manifest(version)
    files, sizes = manifest.get("files"), manifest.get("sizes")
    return version_document(version) | {
        "signature": manifest.get("signature"),
        "probe_max_error": manifest.get("probe_max_error"),
        "files": [
            {"name": name, "sha256": sha256, "size_bytes": sizes.get(name) if isinstance(sizes, dict) else None}
            for name, sha256 in (files.items() if isinstance(files, dict) else ())
        ],
    }


def _upload() -> Upload:
    """What the form holds. Raises InvalidInput with each fault."""
    faults = [f"form: unknown field {name!r}" for name in request.form if name not in _TEXTS]
    faults += [f"form: unknown file {name!r}" for name in request.files if name not in _FILES]
    faults += [f"form: {name} is missing" for name in ("kind", "name", "sha256") if not request.form.get(name)]
    faults += [f"form: the file {name} is missing" for name in _FILES if name not in request.files]
    try:
        hyperparameters: Json = json.loads(request.form.get("hyperparameters", "{}"))
    except (ValueError, RecursionError):
        hyperparameters = None
    if not isinstance(hyperparameters, dict):
        faults.append("form: hyperparameters is not a JSON object")
    if faults or not isinstance(hyperparameters, dict):
        raise InvalidInput(*faults)
    return Upload(
        kind=request.form["kind"],
        name=request.form["name"],
        hyperparameters=hyperparameters,
        sha256=request.form["sha256"],
        by=principal().name,
        weights=request.files["weights"].read(),
        rows=request.files["rows"].read(),
    )
