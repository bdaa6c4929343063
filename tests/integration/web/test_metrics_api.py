"""Declared metrics over HTTP: made, read, changed and removed under their ETag, used in plans, refused with reasons."""

import pytest

PATH = "/v1/admin/metrics"
REVENUE = {
    "key": "revenue",
    "label": "Revenue per reader",
    "label_zh": "人均收入",
    "kind": "mean",
    "measure": {"event": "custom", "property": "value", "filter": {"==": [{"var": "name"}, "purchase"]}},
    "window": {"end_hours": 168},
    "winsorise": 0.99,
    "minimum_effect": 0.02,
}


@pytest.fixture
def declared(lab):
    made = lab.call("POST", PATH, json=REVENUE)
    assert made.status_code == 201, made.json
    return lab


def test_a_metric_is_made_read_replaced_and_removed_under_its_etag(declared):
    read = declared.call("GET", f"{PATH}/revenue")
    assert read.json["measure"] == REVENUE["measure"]
    assert read.json["denominator"] is None
    wanted = {**REVENUE, "winsorise": 0.95}
    done = declared.call("PUT", f"{PATH}/revenue", json=wanted, headers={"If-Match": read.headers["ETag"]})
    assert (done.status_code, done.json["winsorise"]) == (200, 0.95)
    stale = declared.call("PUT", f"{PATH}/revenue", json=wanted, headers={"If-Match": read.headers["ETag"]})
    assert stale.status_code == 412
    assert declared.call("DELETE", f"{PATH}/revenue", headers={"If-Match": done.headers["ETag"]}).status_code == 204
    assert declared.call("GET", f"{PATH}/revenue").status_code == 404
    kinds = [each["action"] for each in declared.call("GET", "/v1/admin/revisions?kind=metric").json["revisions"]]
    assert kinds == ["delete", "update", "create"]


def test_the_list_holds_built_in_and_declared_metrics(declared):
    rows = {each["key"]: each for each in declared.call("GET", PATH).json["metrics"]}
    assert rows["ctr"]["is_built_in"]
    assert not rows["revenue"]["is_built_in"]
    assert rows["revenue"]["declaration"]["window"] == {"start_hours": 0.0, "end_hours": 168.0}


def test_every_fault_of_a_declaration_is_named_at_once(lab):
    wrong = {
        "key": "Bad Key",
        "kind": "ratio",
        "measure": {"event": "read", "property": "seconds", "filter": {"like": [{"var": "item"}, "x"]}},
        "window": {"start_hours": 5, "end_hours": 2},
        "winsorise": 3,
        "quantile": 0.5,
    }
    refused = lab.call("POST", PATH, json=wrong)
    assert refused.status_code in {400, 422}
    assert len(refused.json["faults"]) == 7


def test_a_built_in_metric_keeps_its_key_and_stays(lab):
    assert lab.call("POST", PATH, json={**REVENUE, "key": "ctr"}).status_code in (400, 422)
    assert lab.call("PUT", f"{PATH}/ctr", json={**REVENUE, "key": "ctr"}).status_code == 409
    assert lab.call("DELETE", f"{PATH}/ctr").status_code == 409


def test_a_plan_may_name_a_declared_metric_which_then_stays(declared):
    path = "/v1/admin/experiments/ranking-mf"
    planned = {"primary_metric": "revenue", "guardrails": [{"metric": "ctr", "margin": 0.02}]}
    changed = declared.call("PATCH", path, json={"plan": planned})
    assert changed.status_code == 200, changed.json
    assert declared.call("POST", f"{path}/start").status_code == 200
    refused = declared.call("DELETE", f"{PATH}/revenue")
    assert (refused.status_code, refused.json["code"]) == (409, "in_use")
    assert declared.call("PUT", f"{PATH}/revenue", json={**REVENUE, "winsorise": 0.9}).status_code == 409
    assert declared.call("PUT", f"{PATH}/revenue", json={**REVENUE, "label": "Money"}).status_code == 200


def test_the_whole_configuration_carries_metrics_there_and_back(declared):
    document = declared.call("GET", "/v1/admin/configuration").json
    assert [each["key"] for each in document["metrics"]] == ["revenue"]
    assert declared.call("PUT", "/v1/admin/configuration", json={**document, "metrics": []}).status_code == 200
    assert declared.call("GET", f"{PATH}/revenue").status_code == 404
    assert declared.call("PUT", "/v1/admin/configuration", json=document).status_code == 200
    assert declared.call("GET", f"{PATH}/revenue").status_code == 200


def test_a_viewer_reads_and_does_not_declare(lab):
    assert lab.call("POST", PATH, json=REVENUE, role="viewer").status_code == 403
    assert lab.call("GET", PATH, role="viewer").status_code == 200


def test_segments_name_what_is_wrong_with_the_question(lab):
    path = "/v1/admin/experiments/ranking-mf/segments"
    assert lab.call("GET", f"{path}?by=country").status_code == 409
    lab.call("POST", "/v1/admin/experiments/ranking-mf/start")
    assert lab.call("GET", path).status_code == 400
    assert lab.call("GET", f"{path}?by=a&metric=cdr").status_code == 400
