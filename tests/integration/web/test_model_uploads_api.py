"""Models through the API: what arrives is checked at once, and answered with every fault."""

import hashlib
import io
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from lamella.errors import NotFound
from lamella.recommenders.blobs import FolderBlobs
from lamella.recommenders.uploads import UPLOADS
from lamella.services.uploading import sweep_uploads
from lamella.testing.weights import pack_safetensors

ROWS = json.dumps({"users": ["u"], "items": ["x"]}).encode()
WEIGHTS = pack_safetensors({"user_vectors/embeddings": np.ones((1, 4), dtype=np.float32)})


def form(weights: bytes = WEIGHTS, **changed: str) -> dict[str, object]:
    return {
        "kind": "mf",
        "name": "theirs",
        "sha256": hashlib.sha256(weights).hexdigest(),
        "hyperparameters": '{"embedding_size": 4}',
        "weights": (io.BytesIO(weights), "w.safetensors"),
        "rows": (io.BytesIO(ROWS), "rows.json"),
        **changed,
    }


def test_weights_are_kept_for_a_worker_and_the_answer_says_where_to_follow(lab):
    answer = lab.call("POST", "/v1/admin/models", role="approver", data=form())
    assert (answer.status_code, answer.json["status"], answer.json["stage"]) == (202, "queued", "candidate")
    assert lab.tasks.asked == [("train", answer.json["id"])]
    assert lab.call("GET", answer.headers["Location"]).json["kind"] == "mf"


def test_uploads_at_the_same_moment_are_all_kept_whole(lab, monkeypatch):
    several, rounds, swept, write = 4, 3, [], FolderBlobs.write

    def sweep() -> None:
        swept.append(sweep_uploads(lab.services.uploads, lab.services.trainings, now=lab.services.clock.now()))

    together = Barrier(several, action=sweep)

    def written(blobs: FolderBlobs, path: str, content: bytes) -> None:
        if path.endswith("upload.json"):
            blobs._root.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
            together.wait(60)  # each has its folder now, and its first file is still to come
        write(blobs, path, content)

    monkeypatch.setattr(FolderBlobs, "write", written)
    with ThreadPoolExecutor(several) as threads:
        answers = list(threads.map(lambda _: uploaded(lab), range(several * rounds)))
    assert [each.status_code for each in answers] == [202] * several * rounds
    assert swept == [0] * rounds
    assert [kept_weights(lab, run) for run in lab.services.trainings.all()] == [WEIGHTS] * several * rounds


def uploaded(lab, *, key: str | None = None, **changed):
    """The answer to an upload; its form has a boundary of its own, as with every client."""
    return lab.call(
        "POST", "/v1/admin/models", data=form(**changed), headers={"Idempotency-Key": key} if key is not None else {}
    )


def kept_weights(lab, run) -> bytes:
    return lab.services.uploads._blobs.read(f"{UPLOADS}/{run.source['upload']}/weights")


def test_the_same_upload_sent_again_with_its_key_is_done_once(lab):
    first, again = (uploaded(lab, key="upload-1") for _ in range(2))
    assert (first.status_code, again.status_code, again.headers.get("Idempotent-Replayed")) == (202, 202, "true")
    assert again.json == first.json
    (run,) = lab.services.trainings.all()
    assert kept_weights(lab, run) == WEIGHTS


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "another"},
        {"rows": (io.BytesIO(ROWS + b" "), "rows.json")},
        {"rows": (io.BytesIO(ROWS), "other.json")},
    ],
    ids=["field", "file", "filename"],
)
def test_another_upload_under_the_same_key_is_a_mismatch(lab, changed):
    assert uploaded(lab, key="upload-1").status_code == 202
    answer = uploaded(lab, key="upload-1", **changed)
    assert (answer.status_code, answer.json["code"]) == (422, "idempotency_mismatch")


def test_the_files_of_an_upload_that_waits_go_when_it_is_cancelled(lab):
    run_id = uploaded(lab).json["id"]
    (run,) = lab.services.trainings.all()
    assert kept_weights(lab, run) == WEIGHTS
    assert lab.call("POST", f"/v1/admin/trainings/{run_id}/cancel").json["status"] == "cancelled"
    with pytest.raises(NotFound):
        kept_weights(lab, run)


def test_a_pickle_is_refused_with_the_reason_and_leaves_nothing(lab):
    answer = lab.call("POST", "/v1/admin/models", data=form(pickle.dumps({"a": 1})))
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert "none of .safetensors" in answer.json["detail"]
    assert (lab.tasks.asked, lab.services.trainings.all()) == ([], [])


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"sha256": "0" * 64}, "announced"),
        ({"extra": "1"}, "unknown field"),
        ({"hyperparameters": "[]"}, "JSON object"),
    ],
)
def test_a_form_that_is_wrong_says_where(lab, changed, reason):
    answer = lab.call("POST", "/v1/admin/models", data=form(**changed))
    assert answer.status_code == 400
    assert reason in answer.json["detail"]


def test_an_upload_needs_an_approver_a_form_and_a_bounded_size(lab):
    assert lab.call("POST", "/v1/admin/models", role="experimenter", data=form()).status_code == 403
    assert lab.call("POST", "/v1/admin/models", json={"kind": "mf"}).status_code == 415
    assert lab.call("POST", "/v1/admin/models", data=form(b"\0" * 200_000)).status_code == 400


def test_an_unknown_version_is_not_found(lab):
    assert lab.call("GET", "/v1/admin/models/nope@1").status_code == 404
