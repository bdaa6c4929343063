"""Models through the API: what arrives is checked at once, and answered with every fault."""

import hashlib
import io
import json
import pickle

import numpy as np
import pytest

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


def test_the_same_upload_sent_again_with_its_key_is_done_once(lab):
    key = {"Idempotency-Key": "upload-1"}
    raw = lab.client().post("/v1/admin/models", data=form(), headers=lab.bearer("admin") | key)
    assert raw.status_code == 202
    assert len(lab.services.trainings.all()) == 1


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
