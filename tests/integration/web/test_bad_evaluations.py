"""What no evaluation takes, sent to each of them: a plain 400 in the route's own shape, and nothing changed."""

import orjson
import pytest

MEGABYTE = {"note": "x" * 1_000_000}
NESTED = orjson.loads("[" * 40 + "]" * 40)
UNITS = {
    "empty": ("", "empty"),
    "10,000 characters": ("u" * 10_000, "10000 characters"),
    "a control character": ("a\x07b", "control character"),
    "a NUL": ("a\x00b", "character"),
    "a line break": ("a\nb", "control character"),
    "a number": (7, "text"),
    "nothing": (None, ""),
}
CONTEXTS = {
    "1 MB": (MEGABYTE, "bytes"),
    "10 MB": ({"note": "x" * 10_000_000}, "bytes"),
    "too deep": ({"a": NESTED}, "levels"),
    "a list": ([], "object"),
    "text": ("x", "object"),
}


@pytest.fixture
def running(lab):
    assert lab.call("POST", "/v1/admin/experiments/ranking-mf/start").status_code == 200
    return lab


def plain(answer, words):
    """A 400 problem whose detail says what is wrong."""
    assert answer.status_code == 400, answer.get_data(as_text=True)[:500]
    assert answer.content_type == "application/problem+json"
    assert answer.json["code"] == "invalid_input"
    assert words in answer.json["detail"]
    assert len(answer.data) < 10_000


@pytest.mark.parametrize("unit", UNITS)
def test_a_bad_unit_is_a_400_on_every_route_that_evaluates(running, unit):
    value, words = UNITS[unit]
    for path, role in (("/v1/recommendations", "client"), ("/v1/admin/explain", "viewer")):
        plain(running.call("POST", path, role=role, json={"unit": value}), words)
    plain(running.call("POST", "/v1/admin/explain", role="viewer", json={"units": {"user": value}}), words)
    if isinstance(value, str):
        plain(running.call("GET", "/v1/admin/explain", role="viewer", query_string={"unit": value}), words)
    assert running.record.counts()["inbox"] == 0


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_bad_context_is_a_400_on_every_route_that_evaluates(running, context):
    value, words = CONTEXTS[context]
    body = {"unit": "ann", "context": value}
    for path, role in (("/v1/recommendations", "client"), ("/v1/admin/explain", "viewer")):
        plain(running.call("POST", path, role=role, json=body), words)
    query = {"unit": "ann", "context": orjson.dumps(value).decode()}
    plain(running.call("GET", "/v1/admin/explain", role="viewer", query_string=query), words)
    assert running.record.counts()["inbox"] == 0


@pytest.mark.parametrize("path", ["/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/rank.model"])
def test_ofrep_says_the_same_in_its_own_shape(running, path):
    def refused(context, words, error_code="INVALID_CONTEXT"):
        answer = running.call("POST", path, role="client", json={"context": context})
        assert answer.status_code == 400, answer.get_data(as_text=True)[:500]
        assert (answer.content_type, answer.json["errorCode"]) == ("application/json", error_code)
        assert words in answer.json["errorDetails"]
        assert len(answer.data) < 10_000

    for context, words in CONTEXTS.values():
        refused({"targetingKey": "ann", **context} if isinstance(context, dict) else context, words)
    for unit, words in UNITS.values():
        if unit:
            refused({"targetingKey": unit}, words)
            refused({"targetingKey": "ann", "deviceKey": unit}, words)
    refused({"targetingKey": ""}, "targetingKey", "TARGETING_KEY_MISSING")
    refused({}, "targetingKey", "TARGETING_KEY_MISSING")


def event(**fields):
    common = {"kind": "click", "event_id": "e1", "request_id": "r1", "unit": "ann", "item": "i1"}
    return {**common, "time": "2026-03-02T08:00:00Z", **fields}


def exposure(**fields):
    return {"exposure_id": "x1", "unit": "ann", "experiment": "ranking-mf", "variant": "mf", **fields}


BATCHES = [("events", "event_id", event), ("exposures", "exposure_id", exposure)]


@pytest.mark.parametrize(("path", "name", "make"), BATCHES)
def test_in_a_batch_each_bad_one_is_refused_by_itself(running, path, name, make):
    bad = [make(unit=unit) for unit, _ in UNITS.values()] + [make(**{name: "x" * 10_000}), make(context=MEGABYTE)]
    answer = running.call("POST", f"/v1/{path}", role="client", json={path: [*bad, make()]})
    assert answer.status_code == 202, answer.get_data(as_text=True)[:500]
    assert answer.json["accepted"] == 1
    assert [each["index"] for each in answer.json["rejected"]] == list(range(len(bad)))
    assert all(each["code"] and each["reason"] for each in answer.json["rejected"])
    assert len(answer.data) < 20_000


def test_an_absurd_body_is_a_413(running):
    for path in ("/v1/recommendations", "/v1/events", "/v1/exposures", "/v1/admin/explain"):
        answer = running.call("POST", path, data=b" " * 17_000_000, content_type="application/json")
        assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")


def test_explain_shows_what_is_sticky_and_what_a_preview_forces(running):
    made = running.call("POST", "/v1/admin/experiments/ranking-mf/preview", json={"variant": "mf"}).json
    for answer in (
        running.call("GET", "/v1/admin/explain", query_string={"unit": "ann", "preview": made["preview"]}),
        running.call("POST", "/v1/admin/explain", json={"unit": "ann", "preview": made["preview"]}),
    ):
        ranking = next(each for each in answer.json["layers"] if each["layer"] == "ranking")
        assert (ranking["variant"], ranking["counted"], ranking["detail"]) == ("mf", False, "a preview")
        assert ranking["steps"][-1]["step"] == "preview"
    plain(running.call("GET", "/v1/admin/explain", query_string={"unit": "ann", "preview": "x.y"}), "not one of this")
