"""Layers, parameters, domains, holdouts, variants, phases and forced variants over HTTP."""

import pytest

EXPERIMENT = {
    "key": "recall-wide",
    "layer": "recall",
    "hypothesis": "More candidates help",
    "ranges": [{"start": 0, "stop": 5_000}],
    "variants": [
        {"key": "narrow", "weight": 1, "is_control": True, "values": {"recall.count": 20}},
        {"key": "wide", "weight": 1, "values": {"recall.count": 30}},
    ],
    "plan": {"primary_metric": "ctr"},
}
PATH = "/v1/admin/experiments/recall-wide"


@pytest.fixture
def drafted(lab):
    assert lab.call("POST", "/v1/admin/experiments", json=EXPERIMENT).status_code == 201
    return lab


@pytest.mark.parametrize(
    ("path", "body", "patch"),
    [
        ("layers", {"key": "slots"}, {"description": "Where it stands"}),
        (
            "parameters",
            {"key": "rerank.diversity", "type": "float", "default": 0.1, "layer": "ranking"},
            {"default": 0.2},
        ),
        ("domains", {"key": "feed", "ranges": [{"start": 0, "stop": 100}]}, {"description": "The feed"}),
        ("holdouts", {"key": "calm", "ranges": [{"start": 0, "stop": 100}]}, {"description": "Nothing new"}),
    ],
)
def test_a_thing_is_made_read_changed_and_removed_under_its_etag(lab, path, body, patch):
    made = lab.call("POST", f"/v1/admin/{path}", json=body)
    assert made.status_code == 201, made.json
    one = f"/v1/admin/{path}/{body['key']}"
    read = lab.call("GET", one)
    assert (read.json, read.headers["ETag"]) == (made.json, made.headers["ETag"])
    changed = lab.call("PATCH", one, json=patch, headers={"If-Match": read.headers["ETag"]})
    assert changed.status_code == 200, changed.json
    assert patch.items() <= changed.json.items()
    for method in ("PATCH", "DELETE"):
        options = {"json": patch} if method == "PATCH" else {}
        stale = lab.call(method, one, headers={"If-Match": read.headers["ETag"]}, **options)
        assert (stale.status_code, stale.json["code"]) == (412, "precondition_failed")
    assert body["key"] in [each["key"] for each in lab.call("GET", f"/v1/admin/{path}").json[path]]
    assert lab.call("DELETE", one).status_code == 204
    assert lab.call("GET", one).status_code == 404


def test_what_is_in_use_is_not_removed_and_its_users_are_named(drafted):
    layer = drafted.call("DELETE", "/v1/admin/layers/recall")
    assert (layer.status_code, layer.json["code"]) == (409, "in_use")
    assert "parameter 'recall.model'" in layer.json["detail"]
    assert "experiment 'recall-wide'" in layer.json["detail"]
    parameter = drafted.call("DELETE", "/v1/admin/parameters/recall.count")
    assert (parameter.status_code, parameter.json["code"]) == (409, "in_use")
    changed = drafted.call("PATCH", "/v1/admin/parameters/recall.count", json={"default": 3})
    assert changed.status_code == 409
    said = drafted.call("PATCH", "/v1/admin/parameters/recall.count", json={"description": "How many"})
    assert said.json["description"] == "How many"


def test_the_salt_of_a_layer_is_fixed_once_an_experiment_ran_in_it(drafted):
    assert drafted.call("PATCH", "/v1/admin/layers/recall", json={"salt": "other"}).json["salt"] == "other"
    drafted.call("POST", f"{PATH}/start")
    refused = drafted.call("PATCH", "/v1/admin/layers/recall", json={"salt": "third"})
    assert (refused.status_code, refused.json["code"]) == (409, "in_use")
    assert drafted.call("PATCH", "/v1/admin/layers/recall", json={"description": "x"}).status_code == 200


def test_a_draft_is_deleted_and_what_ran_is_not(drafted):
    drafted.call("POST", f"{PATH}/start")
    refused = drafted.call("DELETE", PATH)
    assert (refused.status_code, refused.json["code"]) == (409, "illegal_transition")
    assert "stop" in refused.json["detail"]
    assert drafted.call("DELETE", "/v1/admin/experiments/ranking-mf").status_code == 204


def test_a_patch_changes_what_it_names_and_nothing_else(drafted):
    before = drafted.call("GET", PATH).json
    after = drafted.call("PATCH", PATH, json={"owner": "ann"}).json
    assert after == {**before, "owner": "ann"}


def test_scheduling_reserves_and_unscheduling_frees(drafted):
    assert drafted.call("POST", f"{PATH}/schedule").json["status"] == "scheduled"
    assert drafted.call("POST", f"{PATH}/unschedule").json["status"] == "draft"
    illegal = drafted.call("POST", f"{PATH}/unschedule")
    assert (illegal.status_code, illegal.json["code"]) == (409, "illegal_transition")
    assert "schedule" in illegal.json["detail"]


def test_a_ramp_only_adds_buckets(drafted):
    drafted.call("POST", f"{PATH}/start")
    grown = drafted.call("POST", f"{PATH}/ramp", json={"share": 0.8})
    assert grown.status_code == 200, grown.json
    assert sum(each["stop"] - each["start"] for each in grown.json["ranges"]) == 8_000
    assert drafted.call("POST", f"{PATH}/ramp", json={"share": 0.1}).status_code == 400


def test_variants_are_written_within_a_draft_and_in_a_new_phase_after_that(drafted):
    third = {"key": "huge", "weight": 1, "values": {"recall.count": 99}}
    assert [each["key"] for each in drafted.call("POST", f"{PATH}/variants", json=third).json["variants"]] == [
        "narrow",
        "wide",
        "huge",
    ]
    assert drafted.call("POST", f"{PATH}/variants", json=third).status_code == 409
    changed = drafted.call("PUT", f"{PATH}/variants/huge", json={**third, "weight": 2})
    assert changed.json["variants"][2]["weight"] == 2
    assert drafted.call("DELETE", f"{PATH}/variants/nobody").status_code == 404
    assert len(drafted.call("DELETE", f"{PATH}/variants/huge").json["variants"]) == 2
    drafted.call("POST", f"{PATH}/start")
    refused = drafted.call("POST", f"{PATH}/variants", json=third)
    assert refused.status_code == 400
    assert "new phase" in refused.json["detail"]
    variants = [*drafted.call("GET", f"{PATH}/variants").json["variants"], third]
    opened = drafted.call("POST", f"{PATH}/phases", json={"variants": variants})
    assert opened.status_code == 200, opened.json
    assert [each["number"] for each in drafted.call("GET", f"{PATH}/phases").json["phases"]] == [1, 2]


def test_a_phase_that_does_not_rerandomise_keeps_the_salt(drafted):
    drafted.call("POST", f"{PATH}/start")
    kept = drafted.call("POST", f"{PATH}/phases", json={"rerandomise": False}).json["phases"]
    assert kept[0]["salt"] == kept[1]["salt"]
    fresh = drafted.call("POST", f"{PATH}/phases", json={}).json["phases"]
    assert fresh[2]["salt"] != kept[1]["salt"]


def test_a_unit_is_forced_and_freed_also_while_the_experiment_runs(drafted):
    drafted.call("POST", f"{PATH}/start")
    put = drafted.call("PUT", f"{PATH}/overrides/staff%2Fann", json={"variant": "wide"})
    assert put.json["forced"] == {"staff/ann": "wide"}
    listed = drafted.call("GET", f"{PATH}/overrides").json
    assert listed == {"overrides": [{"unit": "staff/ann", "variant": "wide"}], "next_cursor": None}
    assert drafted.call("PUT", f"{PATH}/overrides/x", json={"variant": "none"}).status_code == 400
    assert drafted.call("DELETE", f"{PATH}/overrides/staff%2Fann").json["forced"] == {}
    assert drafted.call("DELETE", f"{PATH}/overrides/staff%2Fann").status_code == 404


def test_a_preview_is_a_signed_token_that_serving_reads(drafted):
    drafted.call("POST", f"{PATH}/start")
    made = drafted.call("POST", f"{PATH}/preview", json={"variant": "wide", "hours": 1})
    assert made.status_code == 201
    assert drafted.services.previews.read(made.json["preview"]) == {"recall-wide": "wide"}
    assert drafted.call("POST", f"{PATH}/preview", json={"variant": "none"}).status_code == 404


def test_the_metrics_that_a_plan_may_name_are_listed(lab):
    metrics = {each["key"]: each for each in lab.call("GET", "/v1/admin/metrics").json["metrics"]}
    assert (metrics["ctr"]["kind"], metrics["ctr"]["numerator"]) == ("ratio", ["clicks"])


def test_the_check_list_is_shown_without_a_start_and_names_every_fault(drafted):
    first = drafted.call("GET", f"{PATH}/checks").json
    assert (first["may_start"], first["faults"]) == (True, [])
    assert "no traffic was measured" in first["warnings"][0]
    drafted.call("PATCH", PATH, json={"hypothesis": "", "plan": {"primary_metric": "luck"}, "ranges": []})
    found = drafted.call("GET", f"{PATH}/checks").json
    assert not found["may_start"]
    assert len(found["faults"]) >= 3
    started = drafted.call("POST", f"{PATH}/start")
    assert started.json["faults"] == found["faults"]
