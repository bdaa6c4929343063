"""The OpenFeature Remote Evaluation Protocol, asked by a client that knows nothing but the specification."""

import re

import pytest

from lamella.experiments.document import layer_from_document, parameter_from_document
from lamella.services import rates

CONTEXT = {"targetingKey": "reader-1", "country": "CN"}
FLAGS = ["recall.model", "recall.count", "rank.model", "slate.size"]


@pytest.fixture
def running(lab):
    assert lab.call("POST", "/v1/admin/experiments/ranking-mf/start", json={}).status_code == 200
    return lab


def one(lab, key="rank.model", *, context=CONTEXT, **options):
    body = options.pop("json", {"context": context})
    return lab.call("POST", f"/ofrep/v1/evaluate/flags/{key}", role="client", json=body, **options)


def bulk(lab, context=CONTEXT, **options):
    body = options.pop("json", {"context": context})
    return lab.call("POST", "/ofrep/v1/evaluate/flags", role="client", json=body, **options)


def failure(answer, status, error_code, key="rank.model"):
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.content_type == "application/json"
    assert answer.json["errorCode"] == error_code
    assert answer.json["errorDetails"]
    assert answer.json.get("key") == key
    return answer.json["errorDetails"]


def test_a_flag_has_key_value_variant_and_reason(running):
    answer = one(running)
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    body = answer.json
    assert (body["key"], body["reason"]) == ("rank.model", "SPLIT")
    assert (body["variant"], body["value"]) in {("popularity", "popularity@1"), ("mf", "mf@1")}
    assert body["metadata"]["experiment"] == "ranking-mf"
    assert all(isinstance(each, (str, int, float, bool)) for each in body["metadata"].values())


def test_a_flag_without_an_experiment_is_its_default_and_still_has_a_variant(running):
    body = one(running, "recall.model").json
    assert (body["value"], body["variant"], body["reason"]) == ("popularity@1", "default", "STATIC")


def test_a_flag_is_what_the_same_reader_is_served(running):
    for number in range(30):
        unit = f"读者-{number}"
        served = running.call("POST", "/v1/recommendations", role="client", json={"unit": unit, "context": {}}).json
        asked = bulk(running, {"targetingKey": unit}).json["flags"]
        assert {each["key"]: each["value"] for each in asked} == served["parameters"]
        variant = next(each["variant"] for each in asked if each["key"] == "rank.model")
        assert variant == next(each["variant"] for each in served["assignments"] if each["layer"] == "ranking")


def test_evaluation_records_nothing(running):
    one(running)
    bulk(running)
    assert not running.record.inbox


def test_a_float_is_written_as_a_float(lab):
    for key, default in (("rank.weight", 1), ("rank.share", 0.5)):
        given = {"key": key, "type": "float", "default": default, "layer": "ranking"}
        lab.services.configuring.create_parameter(parameter_from_document(given), author="test")
    lab.services.snapshots.refresh()
    assert b'"value":1.0,' in one(lab, "rank.weight").data
    assert b'"value":1.0,' in bulk(lab).data


def test_every_parameter_is_a_flag(running):
    assert [each["key"] for each in bulk(running).json["flags"]] == FLAGS
    for each in bulk(running).json["flags"]:
        assert {"key", "value", "variant", "reason"} <= each.keys()
        single = one(running, each["key"]).json
        assert single == each


@pytest.mark.parametrize("named", [["rank.model", "slate.size"], ["slate.size", "rank.model", "nothing"]])
def test_a_context_key_filters_the_flags(running, named):
    found = bulk(running, {**CONTEXT, "flags": named}).json["flags"]
    assert [each["key"] for each in found] == ["rank.model", "slate.size"]


def test_a_filter_may_name_one_flag_nothing_or_none(running):
    assert [each["key"] for each in bulk(running, {**CONTEXT, "flags": "slate.size"}).json["flags"]] == ["slate.size"]
    assert bulk(running, {**CONTEXT, "flags": []}).json["flags"] == []
    assert len(bulk(running, {**CONTEXT, "flags": None}).json["flags"]) == len(FLAGS)
    failure(bulk(running, {**CONTEXT, "flags": 7}), 400, "INVALID_CONTEXT", key=None)


def test_the_tag_is_strong_and_answers_304_without_a_body(running):
    first = bulk(running)
    tag = first.headers["ETag"]
    assert re.fullmatch(r'"[0-9a-f]{32,}"', tag)
    for header in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = bulk(running, headers={"If-None-Match": header})
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag), header
    assert bulk(running, headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_tag_changes_with_the_context_even_where_the_answer_does_not(running):
    one_tag, other = bulk(running).headers["ETag"], bulk(running, {**CONTEXT, "country": "DE"})
    assert other.json == bulk(running).json
    assert other.headers["ETag"] != one_tag
    shuffled = bulk(running, dict(reversed(CONTEXT.items())))
    assert shuffled.headers["ETag"] == one_tag


def test_the_tag_changes_with_the_values(running):
    tag = bulk(running).headers["ETag"]
    running.call("POST", "/v1/admin/experiments/ranking-mf/stop", json={})
    answer = bulk(running, headers={"If-None-Match": tag})
    assert (answer.status_code, answer.headers["ETag"] != tag) == (200, True)


def test_an_unknown_flag_is_not_found_whatever_the_context(lab):
    for key in ("nothing", "nothing/at/all", "不存在"):
        assert key in failure(one(lab, key), 404, "FLAG_NOT_FOUND", key=key)
    failure(one(lab, "nothing", json={}), 404, "FLAG_NOT_FOUND", key="nothing")


@pytest.mark.parametrize("body", [{}, {"context": {}}, {"context": {"targetingKey": ""}}, {"context": None}])
def test_a_missing_targeting_key_is_named(lab, body):
    failure(one(lab, json=body), 400, "TARGETING_KEY_MISSING")
    failure(bulk(lab, json=body), 400, "TARGETING_KEY_MISSING", key=None)


@pytest.mark.parametrize(
    "context",
    [
        [],
        "reader-1",
        {"targetingKey": 7},
        {"targetingKey": "x" * 10_000},
        {"targetingKey": "a\nb"},
        {"targetingKey": "a", "deviceKey": ""},
        {"targetingKey": "a", "big": "x" * 1_000_000},
        {"targetingKey": "a", "number": 2**63},
    ],
    ids=lambda context: repr(context)[:30],
)
def test_an_unusable_context_is_refused_clearly(lab, context):
    failure(one(lab, context=context), 400, "INVALID_CONTEXT")
    failure(bulk(lab, context), 400, "INVALID_CONTEXT", key=None)


@pytest.mark.parametrize("body", [b"", b'{"a": 1,}', b"[]", b"7", b"null", b'{"context": "\xff"}'])
def test_a_body_that_is_no_object_is_a_parse_error(lab, body):
    options = {"json": None, "data": body, "content_type": "application/json"}
    failure(one(lab, **options), 400, "PARSE_ERROR")
    failure(bulk(lab, **options), 400, "PARSE_ERROR", key=None)


def test_every_other_failure_has_the_same_shape(lab, monkeypatch):
    path = "/ofrep/v1/evaluate/flags/rank.model"
    failure(lab.client().post(path, json={}), 401, "GENERAL")
    failure(lab.call("GET", path), 405, "GENERAL", key=None)
    failure(lab.call("POST", path, data="a", content_type="text/plain"), 415, "PARSE_ERROR")
    failure(lab.call("POST", path, data=b" " * 17_000_000, content_type="application/json"), 413, "INVALID_CONTEXT")

    def explode():
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(lab.services.snapshots, "current", explode)
    assert "hunter2" not in failure(one(lab), 500, "GENERAL")
    failure(bulk(lab), 500, "GENERAL", key=None)


def test_a_key_may_come_as_the_protocol_names_it(lab):
    answer = lab.client().post(
        "/ofrep/v1/evaluate/flags", json={"context": CONTEXT}, headers={"X-API-Key": lab.keys["client"]}
    )
    assert answer.status_code == 200


def test_a_key_that_asks_too_often_is_told_when_to_come_back(make, monkeypatch):
    from lamella.config import Settings

    monkeypatch.setattr(rates, "BURST_SECONDS", 20_000.0)  # two at once, and none comes back for hours
    lab = make(settings=Settings(ofrep_rate_per_second=0.0001))
    answers = [one(lab) for _ in range(4)]
    assert [each.status_code for each in answers] == [200, 200, 429, 429]
    failure(answers[-1], 429, "GENERAL")
    assert int(answers[-1].headers["Retry-After"]) >= 1


def test_other_units_come_from_the_context(lab):
    lab.services.configuring.create_layer(layer_from_document({"key": "push", "unit": "device"}), author="test")
    given = {"key": "push.plan", "type": "string", "default": "none", "layer": "push"}
    lab.services.configuring.create_parameter(parameter_from_document(given), author="test")
    experiment = {
        "key": "push-now",
        "layer": "push",
        "hypothesis": "Pushing brings readers back",
        "ranges": [{"start": 0, "stop": 10_000}],
        "variants": [
            {"key": "none", "weight": 1, "is_control": True},
            {"key": "daily", "weight": 1, "values": {"push.plan": "daily"}},
        ],
        "plan": {"primary_metric": "ctr"},
    }
    assert lab.call("POST", "/v1/admin/experiments", json=experiment).status_code == 201
    assert lab.call("POST", "/v1/admin/experiments/push-now/start", json={}).status_code == 200
    assert one(lab, "push.plan").json["variant"] == "default"
    devices = [one(lab, "push.plan", context={**CONTEXT, "deviceKey": f"phone-{i}"}).json for i in range(40)]
    assert {each["variant"] for each in devices} == {"none", "daily"}
    readers = [one(lab, "push.plan", context={"targetingKey": f"r{i}", "deviceKey": "phone-1"}).json for i in range(9)]
    assert len({each["variant"] for each in readers}) == 1
