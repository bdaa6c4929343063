"""Revisions, reverts, approvals and the configuration as one document."""

import pytest
import yaml

from lamella.config import Settings

PATH = "/v1/admin/experiments/ranking-mf"
CONFIGURATION = "/v1/admin/configuration"


@pytest.fixture
def careful(make):
    return make(settings=Settings(approvals_required=True))


def newest(lab):
    return lab.call("GET", "/v1/admin/revisions?limit=1").json["revisions"][0]


def test_a_revision_is_shown_alone_and_as_what_differs(lab):
    lab.call("PATCH", PATH, json={"owner": "ann", "ranges": [{"start": 0, "stop": 500}]})
    revision = newest(lab)
    assert lab.call("GET", f"/v1/admin/revisions/{revision['number']}").json == revision
    found = lab.call("GET", f"/v1/admin/revisions/{revision['number']}/diff").json
    assert found["changes"] == [
        {"path": "/owner", "before": "", "after": "ann", "change": "changed"},
        {"path": "/ranges/0/stop", "before": 10_000, "after": 500, "change": "changed"},
    ]
    assert lab.call("GET", "/v1/admin/revisions/99999").status_code == 404
    assert lab.call("GET", "/v1/admin/revisions/x/diff").status_code == 404


def test_revisions_are_paged_and_filtered_by_author(lab):
    for owner in ("ann", "bob", "eve"):
        lab.call("PATCH", PATH, json={"owner": owner}, role="experimenter")
    first = lab.call("GET", "/v1/admin/revisions?author=experimenter&limit=2").json
    lab.call("PATCH", PATH, json={"owner": "zoe"}, role="experimenter")
    rest = lab.call("GET", f"/v1/admin/revisions?author=experimenter&limit=2&cursor={first['next_cursor']}").json
    owners = [each["after"]["owner"] for each in [*first["revisions"], *rest["revisions"]]]
    assert owners == ["eve", "bob", "ann"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", PATH, {"owner": "ann"}),
        ("PATCH", "/v1/admin/layers/ranking", {"description": "x"}),
        ("PATCH", "/v1/admin/parameters/slate.size", {"default": 9}),
        ("DELETE", PATH, None),
        ("DELETE", "/v1/admin/parameters/slate.size", None),
        ("POST", "/v1/admin/layers", {"key": "slots"}),
        ("POST", "/v1/admin/holdouts", {"key": "calm", "ranges": [{"start": 0, "stop": 9}]}),
        ("PUT", "/v1/admin/kill-switch", {"killed": True}),
        ("POST", f"{PATH}/schedule", None),
    ],
)
def test_a_revert_is_a_new_revision_that_makes_it_as_it_was(lab, method, path, body):
    before = lab.call("GET", CONFIGURATION).json
    options = {} if body is None else {"json": body}
    assert lab.call(method, path, **options).status_code < 300
    done = newest(lab)
    answer = lab.call("POST", f"/v1/admin/revisions/{done['number']}/revert")
    assert answer.status_code == 200, answer.json
    assert answer.json["revision"]["action"] == "revert"
    assert answer.json["revision"]["after"] == done["before"]
    after = lab.call("GET", CONFIGURATION).json
    for kind in ("layers", "parameters", "experiments", "holdouts"):
        assert sorted(after[kind], key=lambda each: each["key"]) == sorted(before[kind], key=lambda each: each["key"])
    assert after["killed"] == before["killed"]


def test_a_start_is_not_reverted_and_the_legal_moves_are_named(lab):
    lab.call("POST", f"{PATH}/start")
    answer = lab.call("POST", f"/v1/admin/revisions/{newest(lab)['number']}/revert")
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert "pause" in answer.json["detail"]


def test_without_approvals_a_start_is_done_at_once(lab):
    assert lab.call("POST", f"{PATH}/start").status_code == 200


def test_a_start_waits_for_a_second_person(careful):
    proposed = careful.call("POST", f"{PATH}/start", role="approver")
    assert proposed.status_code == 202
    assert careful.call("GET", PATH).json["status"] == "draft"
    where = proposed.headers["Location"]
    assert careful.call("GET", where).json == proposed.json
    own = careful.call("POST", f"{where}/approve", role="approver")
    assert (own.status_code, own.json["code"]) == (403, "forbidden")
    assert careful.call("POST", f"{where}/approve", role="experimenter").status_code == 403
    applied = careful.call("POST", f"{where}/approve")
    assert (applied.status_code, applied.json["status"], applied.json["decided_by"]) == (200, "applied", "admin")
    assert careful.call("GET", PATH).json["status"] == "running"
    assert newest(careful)["author"] == "approver, approved by admin"
    again = careful.call("POST", f"{where}/approve")
    assert (again.status_code, again.json["code"]) == (409, "conflict")


def test_what_cannot_be_done_is_not_even_proposed(careful):
    assert careful.call("POST", f"{PATH}/stop").status_code == 409
    assert careful.call("POST", f"{PATH}/resume").status_code == 409
    assert careful.call("GET", "/v1/admin/proposals").json["proposals"] == []


def test_a_proposal_whose_experiment_changed_is_not_approved(careful):
    where = careful.call("POST", f"{PATH}/start", role="experimenter").headers["Location"]
    careful.call("PATCH", PATH, json={"owner": "ann"})
    answer = careful.call("POST", f"{where}/approve")
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert careful.call("POST", f"{where}/reject").json["status"] == "rejected"
    assert careful.call("GET", "/v1/admin/proposals?status=open").json["proposals"] == []


def test_changes_of_a_live_experiment_wait_and_stopping_does_not(careful):
    where = careful.call("POST", f"{PATH}/start", role="experimenter").headers["Location"]
    careful.call("POST", f"{where}/approve")
    for method, path, body in (
        ("PATCH", PATH, {"owner": "ann"}),
        ("PUT", f"{PATH}/overrides/ann", {"variant": "mf"}),
        ("POST", f"{PATH}/phases", {}),
        ("PUT", CONFIGURATION, careful.call("GET", CONFIGURATION).json),
    ):
        assert careful.call(method, path, json=body).status_code == 202, path
    assert careful.call("PUT", "/v1/admin/kill-switch", json={"killed": True}).status_code == 200
    assert careful.call("PUT", "/v1/admin/kill-switch", json={"killed": False}).status_code == 202
    assert careful.call("POST", f"{PATH}/pause").status_code == 200
    assert careful.call("POST", f"{PATH}/stop").status_code == 200


def test_the_configuration_goes_out_and_in_and_nothing_changes(lab):
    lab.call("POST", f"{PATH}/start")
    before = lab.services.configuration.version()
    out = lab.call("GET", f"{CONFIGURATION}?format=yaml")
    assert out.content_type == "application/yaml"
    assert out.headers["ETag"] == lab.call("GET", CONFIGURATION).headers["ETag"]
    assert yaml.safe_load(out.data) == lab.call("GET", CONFIGURATION).json
    back = lab.call("PUT", CONFIGURATION, data=out.data, content_type="application/yaml")
    assert (back.status_code, back.json["changes"]) == (200, [])
    assert lab.services.configuration.version() == before


def test_the_document_is_applied_whole_as_one_version(lab):
    document = lab.call("GET", CONFIGURATION).json
    document["layers"].append({"key": "slots"})
    document["parameters"] = [each for each in document["parameters"] if each["key"] != "slate.size"]
    document["parameters"].append({"key": "slots.count", "type": "integer", "default": 3, "layer": "slots"})
    document["experiments"][0]["status"] = "running"
    before = lab.services.configuration.version()
    dry = lab.call("PUT", f"{CONFIGURATION}?dry_run=true", json=document)
    assert (dry.status_code, dry.json["dry_run"]) == (200, True)
    assert lab.services.configuration.version() == before
    done = lab.call("PUT", CONFIGURATION, json=document)
    assert (done.status_code, done.json["version"]) == (200, before + 1), done.json
    paths = [each["path"] for each in done.json["changes"]]
    assert {"/layers/slots", "/parameters/slots.count", "/parameters/slate.size"} <= set(paths)
    assert "/experiments/ranking-mf/status" in paths
    assert lab.call("GET", PATH).json["status"] == "running"
    assert lab.call("GET", PATH).json["phases"][0]["number"] == 1


def test_a_document_that_cannot_be_names_every_reason_and_changes_nothing(lab):
    lab.call("POST", f"{PATH}/start")
    document = lab.call("GET", CONFIGURATION).json
    before = lab.services.configuration.version()
    document["layers"] = document["layers"][:1]
    document["experiments"] = []
    document["parameters"][0]["type"] = "integer"
    answer = lab.call("PUT", CONFIGURATION, json=document)
    assert (answer.status_code, answer.json["code"]) == (400, "configuration_invalid")
    assert [fault.split(":")[0] for fault in answer.json["faults"]] == [
        "parameter 'recall.model'",
        "experiment 'ranking-mf' is left out",
        "layer 'ranking' is left out",
    ]
    assert lab.services.configuration.version() == before


def test_an_old_etag_refuses_the_document(lab):
    shown = lab.call("GET", CONFIGURATION)
    lab.call("POST", "/v1/admin/layers", json={"key": "slots"})
    answer = lab.call("PUT", CONFIGURATION, json=shown.json, headers={"If-Match": shown.headers["ETag"]})
    assert answer.status_code == 412


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("killed: false\nkilled: true\n", "body:2:1: the key 'killed' is given twice"),
        ("layers: &a []\nparameters: *a\n", "alias"),
        ("colour: red\n", "colour"),
        ("schema: other/2\n", "schema"),
        ("layers: [\n", "body:2:1"),
        ("!!python/object/apply:os.system ['true']\n", "body:1:1"),
        ("1: x\n", "quotes"),
        ("- a\n", "object"),
        ("", "object"),
    ],
)
def test_bad_yaml_is_refused_with_its_place(lab, text, words):
    answer = lab.call("PUT", CONFIGURATION, data=text, content_type="application/yaml")
    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")
    assert words in answer.json["detail"], answer.json


def test_an_installation_moves_with_every_unit_in_its_variant(lab, make):
    lab.call("POST", f"{PATH}/start")
    document = lab.call("GET", CONFIGURATION).json
    other = make()
    other.call("DELETE", PATH)
    moved = other.call("PUT", CONFIGURATION, json=document)
    assert moved.status_code == 200, moved.json
    assert other.call("GET", CONFIGURATION).json == document
    for unit in ("reader-1", "reader-2", "reader-3"):
        query = f"/v1/admin/explain?unit={unit}"
        ours, theirs = lab.call("GET", query).json, other.call("GET", query).json
        assert {**ours, "snapshot": 0} == {**theirs, "snapshot": 0}


def test_a_revert_is_made_only_from_what_if_match_names(lab):
    lab.call("PATCH", PATH, json={"owner": "ann"})
    where = f"/v1/admin/revisions/{newest(lab)['number']}/revert"
    seen = lab.call("GET", PATH).headers["ETag"]
    lab.call("PATCH", PATH, json={"hypothesis": "Another one"})
    assert lab.call("POST", where, headers={"If-Match": seen}).status_code == 412
    seen = lab.call("GET", PATH).headers["ETag"]
    assert lab.call("POST", where, headers={"If-Match": seen}).status_code == 200
    after = lab.call("GET", PATH).json
    assert (after["owner"], after["hypothesis"]) == ("", "Another one")


def test_a_revert_never_undoes_what_was_changed_later(lab):
    lab.call("PATCH", PATH, json={"owner": "ann"})
    first = newest(lab)["number"]
    lab.call("PATCH", PATH, json={"owner": "bob"})
    refused = lab.call("POST", f"/v1/admin/revisions/{first}/revert")
    assert (refused.status_code, refused.json["code"]) == (409, "conflict")
    assert "owner changed again" in refused.json["detail"]
