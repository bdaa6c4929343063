"""Audit, idempotency, paging, rates and scopes."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from lamella.config import Settings
from lamella.errors import StoreUnavailable
from lamella.services import rates
from lamella.services.units import digest_of_unit

LAYER = {"key": "slots"}
EXPLAIN = "/v1/admin/explain"
WRITES = {"POST", "PUT", "PATCH", "DELETE"}


def mutating(app):
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/v1/admin"):
            for method in sorted(rule.methods & WRITES if rule.rule != EXPLAIN else ()):
                yield method, rule.rule, re.sub(r"<[^>]+>", "nothing", rule.rule)


def test_every_mutating_route_leaves_a_row_in_the_audit_log(lab):
    routes = list(mutating(lab.app))
    assert len(routes) > 30
    for method, rule, path in routes:
        answer = lab.call(method, path, json={}, headers={"X-Request-Id": "walk"})
        (row,) = lab.call("GET", "/v1/admin/audit?limit=1").json["audit"]
        # A unit may be erased, its trace in the log may not: it is named by its digest.
        is_of_unit = rule.endswith("<text:unit>") and "experiments" not in rule
        named = rule.replace("<text:unit>", digest_of_unit("nothing")) if is_of_unit else path
        assert (row["method"], row["route"], row["path"]) == (method, rule, named)
        assert (row["actor"], row["role"], row["address"], row["request"]) == ("admin", "admin", "127.0.0.1", "walk")
        assert row["status"] == answer.status_code
        assert row["code"] == (answer.json["code"] if answer.status_code >= 400 else None)
        assert row["at"]


def test_a_refused_role_is_in_the_audit_log_and_a_missing_key_is_not(lab):
    lab.call("POST", "/v1/admin/layers", role="viewer", json=LAYER)
    lab.client().post("/v1/admin/layers", json=LAYER)
    rows = lab.call("GET", "/v1/admin/audit").json["audit"]
    assert [(row["actor"], row["status"], row["code"]) for row in rows] == [("viewer", 403, "forbidden")]


def test_an_explanation_changes_nothing_and_leaves_no_row_however_it_is_asked_for(lab):
    assert lab.call("GET", f"{EXPLAIN}?unit=ann").json == lab.call("POST", EXPLAIN, json={"unit": "ann"}).json
    assert lab.call("GET", "/v1/admin/audit").json["audit"] == []


def test_what_cannot_be_audited_is_not_done(lab):
    lab.services.audit.failing = StoreUnavailable("down")
    before = lab.services.configuration.version()
    answer = lab.call("POST", "/v1/admin/layers", json=LAYER)
    assert (answer.status_code, answer.json["code"]) == (503, "store_unavailable")
    assert lab.services.configuration.version() == before


def test_the_audit_log_is_filtered_and_paged(lab):
    for number in range(5):
        lab.call("POST", "/v1/admin/layers", json={"key": f"layer-{number}"}, role="experimenter")
    lab.call("DELETE", "/v1/admin/layers/layer-0")
    mine = lab.call("GET", "/v1/admin/audit?actor=experimenter&limit=3").json
    assert len(mine["audit"]) == 3
    lab.call("POST", "/v1/admin/layers", json={"key": "later"}, role="experimenter")
    rest = lab.call("GET", f"/v1/admin/audit?actor=experimenter&limit=3&cursor={mine['next_cursor']}").json
    assert [row["number"] for row in rest["audit"]] == [2, 1]
    assert rest["next_cursor"] is None


def test_a_post_with_the_same_idempotency_key_is_done_once(lab):
    headers = {"Idempotency-Key": "one"}
    first = lab.call("POST", "/v1/admin/layers", json=LAYER, headers=headers)
    version = lab.services.configuration.version()
    again = lab.call("POST", "/v1/admin/layers", json=LAYER, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.json, again.headers["ETag"]) == (first.json, first.headers["ETag"])
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert lab.services.configuration.version() == version


def test_an_idempotency_key_of_another_request_is_refused(lab):
    headers = {"Idempotency-Key": "one"}
    lab.call("POST", "/v1/admin/layers", json=LAYER, headers=headers)
    other = lab.call("POST", "/v1/admin/layers", json={"key": "other"}, headers=headers)
    assert (other.status_code, other.json["code"]) == (422, "idempotency_mismatch")
    elsewhere = lab.call("POST", "/v1/admin/experiments/ranking-mf/start", headers=headers)
    assert elsewhere.status_code == 422
    bob = lab.call("POST", "/v1/admin/layers", json={"key": "other"}, headers=headers, role="experimenter")
    assert bob.status_code == 201


def test_a_refusal_is_kept_and_a_failure_is_not(lab):
    headers = {"Idempotency-Key": "one"}
    bad = {"key": "!"}
    assert lab.call("POST", "/v1/admin/layers", json=bad, headers=headers).status_code == 400
    assert lab.call("POST", "/v1/admin/layers", json=bad, headers=headers).headers["Idempotent-Replayed"]
    lab.tasks.down = True
    headers = {"Idempotency-Key": "two"}
    assert lab.call("POST", "/v1/admin/experiments/ranking-mf/analyse", headers=headers).status_code == 503
    lab.tasks.down = False
    assert lab.call("POST", "/v1/admin/experiments/ranking-mf/analyse", headers=headers).status_code == 202


def test_an_idempotency_key_is_forgotten_after_a_day(lab):
    headers = {"Idempotency-Key": "one"}
    lab.call("POST", "/v1/admin/layers", json=LAYER, headers=headers)
    lab.services.clock.move(timedelta(hours=25))
    assert lab.call("POST", "/v1/admin/layers", json=LAYER, headers=headers).status_code == 409


def test_a_secret_is_not_kept_for_a_repeat(lab):
    headers = {"Idempotency-Key": "one"}
    body = {"name": "app", "role": "client"}
    first = lab.call("POST", "/v1/admin/keys", json=body, headers=headers)
    again = lab.call("POST", "/v1/admin/keys", json=body, headers=headers)
    assert first.json["key"].startswith("lam_")
    assert (again.status_code, "key" in again.json, again.json["name"]) == (201, False, "app")


@pytest.mark.parametrize("key", ["", "with space", "é", "x" * 256])
def test_an_unusable_idempotency_key_is_refused(lab, key):
    answer = lab.call("POST", "/v1/admin/layers", json=LAYER, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_input")


def test_duplicates_at_the_same_time_are_one_change(lab):
    def post(_):
        return lab.call("POST", "/v1/admin/layers", json=LAYER, headers={"Idempotency-Key": "one"})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert sum(answer.status_code == 201 and "Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert {each.json["code"] for each in answers if each.status_code == 409} <= {"idempotency_in_progress"}
    assert len(lab.services.configuration.revisions(key="slots")) == 1


def test_a_list_is_walked_page_by_page_and_what_is_added_shifts_nothing(lab):
    for number in range(7):
        lab.call("POST", "/v1/admin/layers", json={"key": f"layer-{number}"})
    whole = [each["key"] for each in lab.call("GET", "/v1/admin/layers").json["layers"]]
    seen, cursor = [], ""
    while cursor is not None:
        page = lab.call("GET", f"/v1/admin/layers?limit=2&cursor={cursor}" if cursor else "/v1/admin/layers?limit=2")
        seen += [each["key"] for each in page.json["layers"]]
        cursor = page.json["next_cursor"]
        if len(seen) == 2:
            lab.call("POST", "/v1/admin/layers", json={"key": "later"})
    assert seen == [*whole, "later"]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "cursor=%21%21", "cursor=MQ", "colour=red"])
def test_a_bad_page_is_refused(lab, query):
    answer = lab.call("GET", f"/v1/admin/layers?{query}")
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_input")


def test_a_key_that_asks_too_often_is_told_when_to_come_back(make, monkeypatch):
    monkeypatch.setattr(rates, "BURST_SECONDS", 20_000.0)  # two at once, and none comes back for hours
    lab = make(settings=Settings(rate_per_second=0.0001))
    first = lab.call("GET", "/v1/admin/layers")
    assert (first.headers["RateLimit-Limit"], first.headers["RateLimit-Remaining"]) == ("2", "1")
    lab.call("GET", "/v1/admin/layers")
    limited = lab.call("GET", "/v1/admin/layers")
    assert (limited.status_code, limited.json["code"]) == (429, "rate_limited")
    assert 1 <= int(limited.headers["Retry-After"]) <= 10_000
    assert limited.headers["RateLimit-Remaining"] == "0"
    assert lab.call("GET", "/v1/admin/layers", role="viewer").status_code == 200


def test_a_limited_key_reaches_its_projects_only(lab):
    lab.call("POST", "/v1/admin/layers", json={"key": "news", "project": "news"})
    made = lab.call("POST", "/v1/admin/keys", json={"name": "team", "role": "admin", "projects": ["news"]}).json
    assert made["projects"] == ["news"]
    bearer = {"Authorization": f"Bearer {made['key']}"}

    def call(method, path, **options):
        return lab.client().open(path, method=method, headers=bearer, **options)

    assert [each["key"] for each in call("GET", "/v1/admin/layers").json["layers"]] == ["news"]
    assert call("GET", "/v1/admin/parameters").json["parameters"] == []
    assert call("GET", "/v1/admin/experiments").json["experiments"] == []
    body = {"key": "news.size", "type": "integer", "default": 1, "layer": "news"}
    assert call("POST", "/v1/admin/parameters", json=body).status_code == 201
    for method, path, options in (
        ("GET", "/v1/admin/layers/ranking", {}),
        ("PATCH", "/v1/admin/layers/ranking", {"json": {"description": "mine"}}),
        ("PATCH", "/v1/admin/layers/news", {"json": {"project": "default"}}),
        ("PATCH", "/v1/admin/parameters/news.size", {"json": {"layer": "ranking"}}),
        ("POST", "/v1/admin/layers", {"json": {"key": "mine"}}),
        ("POST", "/v1/admin/parameters", {"json": {**body, "key": "x", "layer": "ranking"}}),
        ("GET", "/v1/admin/experiments/ranking-mf", {}),
        ("POST", "/v1/admin/experiments/ranking-mf/start", {}),
        ("PUT", "/v1/admin/kill-switch", {"json": {"killed": True}}),
        ("GET", "/v1/admin/configuration", {}),
        ("GET", "/v1/admin/audit", {}),
        ("GET", "/v1/admin/keys", {}),
    ):
        answer = call(method, path, **options)
        assert (answer.status_code, answer.json["code"]) == (403, "forbidden"), path


def test_a_key_ends_at_its_expiry(lab):
    ends = (lab.services.clock.now() + timedelta(hours=1)).isoformat()
    made = lab.call("POST", "/v1/admin/keys", json={"name": "guest", "role": "viewer", "expires_at": ends}).json
    bearer = {"Authorization": f"Bearer {made['key']}"}
    assert lab.client().get("/v1/admin/layers", headers=bearer).status_code == 200
    lab.services.clock.move(timedelta(hours=1))
    ended = lab.client().get("/v1/admin/layers", headers=bearer)
    assert (ended.status_code, ended.json["code"]) == (401, "unauthenticated")
    past = {"name": "old", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}
    assert lab.call("POST", "/v1/admin/keys", json=past).status_code == 400
