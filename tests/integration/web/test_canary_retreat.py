"""A canary in a whole web process: staged over HTTP, broken on disk, gone from its stage with the reason."""

import time
from datetime import UTC, datetime

import numpy as np
import pytest

from lamella.bootstrap.web import web_services
from lamella.config import Settings
from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.registry import FolderRegistry, TrainedModel
from lamella.services.staging import Stage
from lamella.web.app import create_app

NOW = datetime(2026, 3, 2, tzinfo=UTC)
ITEMS = tuple(f"i{each}" for each in range(20))


def trained(seed: int) -> TrainedModel:
    rng = np.random.default_rng(seed)
    factors = FactorModel(
        user_ids=("ann",),
        user_vectors=np.zeros((1, 2), dtype=np.float32),
        user_bias=np.zeros(1, dtype=np.float32),
        item_ids=ITEMS,
        item_vectors=rng.normal(size=(len(ITEMS), 2)).astype(np.float32),
        item_bias=rng.normal(size=len(ITEMS)).astype(np.float32),
        intercept=-1.0,
        unknown_item_bias=-0.5,
        rank_bias=np.zeros(1, dtype=np.float32),
    )
    return TrainedModel(
        kind="popularity", factors=factors, files={}, probe_error=0.0, hyperparameters={}, metrics={}, stamp={}
    )


@pytest.fixture
def web(sqlite_database_url, tmp_path):
    settings = Settings(
        database_url=sqlite_database_url,
        data_dir=tmp_path,
        redis_url="redis://127.0.0.1:9/0",
        stage_deadline_ms=60_000,
    )
    services = web_services(settings)
    registry = FolderRegistry(settings.models, services.models)
    registry.publish(trained(1), name="popularity", at=NOW)
    for seed in (2, 3):
        registry.publish(trained(seed), name="popularity", at=NOW, stage=Stage.CANDIDATE)
    services.snapshots.refresh()
    app = create_app(services, secret=b"0" * 32)
    keys = {role: services.keys.create(role, role) for role in ("client", "admin")}

    def call(method, path, role, **options):
        headers = {"Authorization": f"Bearer {keys[role]}"}
        return app.test_client().open(path, method=method, headers=headers, **options)

    yield call, services, settings
    services.recommending.close()


def test_a_broken_canary_leaves_its_stage_and_every_request_gets_its_list(web):
    call, services, settings = web
    (settings.models / "popularity" / "3" / "serving.npz").write_bytes(b"broken")
    for reference, body in (
        ("popularity@2", {"stage": "shadow", "share": 1.0}),
        ("popularity@3", {"stage": "canary", "share": 0.5}),
    ):
        assert call("POST", f"/v1/admin/models/{reference}/stage", "admin", json=body).status_code == 200
    services.host.refresh()
    bodies = []
    for unit in range(80):
        bodies.append(call("POST", "/v1/recommendations", "client", json={"unit": str(unit), "k": 5}))
        assert unit % 40 < 39 or services.shadowing.wait(60), "its queue holds 64"
    assert {answer.status_code for answer in bodies} == {200}
    assert all(len(answer.json["items"]) == 5 for answer in bodies)
    assert {answer.json["models"]["recall"] for answer in bodies} == {"popularity@1"}
    assert sum(answer.json["fallbacks"] == {"recall": "corrupt"} for answer in bodies) == 20
    until = time.monotonic() + 60
    while services.models.find("popularity@3").stage == "canary" and time.monotonic() < until:
        time.sleep(0.02)
    listed = call("GET", "/v1/admin/models", "admin").json["models"]
    (moved,) = [each for each in listed if each["reference"] == "popularity@3"]
    assert (moved["stage"], moved["share"]) == ("candidate", 0.0)
    assert moved["reason"].startswith("retreated: 20 of 20 answers failed, of popularity@1 0 of ")
    shadow = call("GET", "/v1/admin/models/popularity@2/shadow", "admin").json
    assert (shadow["comparisons"][0]["compared"], shadow["items"]) == (80, len(ITEMS))
    assert "lamella_canary_retreats_total" in call("GET", "/metrics", "admin").get_data(as_text=True)
