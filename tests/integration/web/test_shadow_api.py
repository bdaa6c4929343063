"""What a shadow would have answered, by the API; and what canaries and fallbacks are counted as."""

from dataclasses import replace

import pytest

from lamella.errors import ModelFailed
from lamella.services.model_ports import ModelVersion
from lamella.services.shadow_ports import ShadowTotal
from lamella.testing.fakes import START

VERSION = ModelVersion(
    name="mf", number=2, kind="mf", created_at=START, digest="", size_bytes=0, hyperparameters={}, metrics={}, stamp={}
)
TOTAL = ShadowTotal(shadow="mf@2", live="mf@1", stage="recall", requests=4, compared=2, correlated=2, overlap=1.0)


@pytest.fixture
def shadowed(lab):
    lab.services.models.add(replace(VERSION, number=1))
    lab.services.models.add(replace(VERSION, stage="shadow", share=0.5))
    lab.services.shadows.add([replace(TOTAL, errors=1, dropped=1, correlation=1.5, items=40)], [("mf@2", "item-01")])
    return lab


def test_a_shadow_is_shown_beside_what_answered(shadowed):
    answer = shadowed.call("GET", "/v1/admin/models/mf@2/shadow", role="viewer")
    assert answer.status_code == 200
    assert answer.json == {
        "reference": "mf@2",
        "items": 40,
        "shown": 1,
        "coverage": 1 / 40,
        "comparisons": [
            {
                "live": "mf@1",
                "stage": "recall",
                "requests": 4,
                "compared": 2,
                "errors": 1,
                "dropped": 1,
                "overlap_at_k": 0.5,
                "rank_correlation": 0.75,
                "live_ms": 0.0,
                "shadow_ms": 0.0,
            }
        ],
    }


def test_a_version_that_was_no_shadow_has_no_comparisons_and_an_unknown_one_is_not_found(shadowed):
    never = shadowed.call("GET", "/v1/admin/models/mf@1/shadow").json
    assert (never["comparisons"], never["coverage"]) == ([], None)
    for unknown in ("mf", "mf@9"):
        assert shadowed.call("GET", f"/v1/admin/models/{unknown}/shadow").status_code == 404


def test_shadows_and_retreats_are_counted_for_prometheus(shadowed):
    services = shadowed.services
    services.shadowing._take(replace(TOTAL, requests=1, compared=1, correlated=1, overlap=0.5, correlation=0.5))
    services.canaries._observer.retreated("mf@3", "errors")
    text = shadowed.client().get("/metrics").get_data(as_text=True)
    labels = 'live="mf@1",shadow="mf@2",stage="recall"'
    assert 'lamella_shadow_requests_total{live="mf@1",outcome="compared",shadow="mf@2",stage="recall"} 1.0' in text
    assert f"lamella_shadow_overlap_total{{{labels}}} 0.5" in text
    assert f"lamella_shadow_distance_total{{{labels}}} 0.25" in text
    assert 'lamella_canary_retreats_total{cause="errors",model="mf@3"} 1.0' in text


def test_fallbacks_are_counted_by_variant(lab):
    lab.call("POST", "/v1/admin/experiments/ranking-mf/start")
    lab.recommender.failing["mf@1"] = ModelFailed("mf@1 raised")
    bodies = [lab.call("POST", "/v1/recommendations", role="client", json={"unit": str(n)}).json for n in range(20)]
    fallen = sum(bool(body["fallbacks"]) for body in bodies)
    text = lab.client().get("/metrics").get_data(as_text=True)
    labels = 'experiment="ranking-mf",reason="failed",stage="rank",variant="mf"'
    assert f"lamella_variant_fallbacks_total{{{labels}}} {fallen}.0" in text
