from dataclasses import replace
from datetime import timedelta

import pytest

from lamella.errors import ConfigurationMoved
from lamella.services.model_ports import ModelVersion
from lamella.testing.fakes import START

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


def test_a_layer_is_created_listed_and_assigned_by_at_once(lab):
    answer = lab.call("POST", "/v1/admin/layers", json={"key": "presentation", "unit": "session"})
    assert answer.status_code == 201
    assert {name: answer.json[name] for name in ("key", "salt", "unit", "project")} == {
        "key": "presentation",
        "salt": "presentation",
        "unit": "session",
        "project": "default",
    }
    assert lab.call("GET", "/v1/admin/layers").json["layers"][-1] == answer.json
    assert lab.services.snapshots.current().version == lab.services.configuration.version()


def test_a_taken_key_is_a_conflict_and_changes_nothing(lab):
    before = lab.services.configuration.version()
    for path, body in (
        ("/v1/admin/layers", {"key": "ranking"}),
        ("/v1/admin/parameters", {"key": "slate.size", "type": "integer", "default": 3, "layer": "ranking"}),
        ("/v1/admin/experiments", {**EXPERIMENT, "key": "ranking-mf", "layer": "recall"}),
    ):
        assert lab.call("POST", path, json=body).status_code == 409
    assert lab.services.configuration.version() == before


def test_a_parameter_of_the_wrong_type_is_refused_with_the_law_it_breaks(lab):
    body = {"key": "rerank.diversity", "type": "float", "default": "much", "layer": "ranking"}
    answer = lab.call("POST", "/v1/admin/parameters", json=body)
    assert (answer.status_code, answer.json["code"]) == (400, "configuration_invalid")


def test_an_experiment_lives_through_its_whole_life_over_http(drafted):
    for move, status in (("start", "running"), ("pause", "paused"), ("resume", "running"), ("stop", "stopped")):
        answer = drafted.call("POST", f"{PATH}/{move}")
        assert (answer.status_code, answer.json["status"]) == (200, status), answer.json
    assert drafted.call("POST", f"{PATH}/archive").json["status"] == "archived"


def test_an_illegal_move_names_the_legal_ones(drafted):
    answer = drafted.call("POST", f"{PATH}/stop")
    assert (answer.status_code, answer.json["code"]) == (409, "illegal_transition")
    assert "start" in answer.json["detail"]


def test_a_started_experiment_assigns_in_this_process_at_once(drafted):
    drafted.call("POST", f"{PATH}/start")
    assert drafted.services.snapshots.current().version == drafted.services.configuration.version()


def test_taken_buckets_are_refused_when_the_second_experiment_starts(drafted):
    other = {**EXPERIMENT, "key": "recall-other", "ranges": [{"start": 4_000, "stop": 9_000}]}
    drafted.call("POST", "/v1/admin/experiments", json=other)
    drafted.call("POST", f"{PATH}/start")
    answer = drafted.call("POST", "/v1/admin/experiments/recall-other/start")
    assert (answer.status_code, answer.json["code"]) == (400, "buckets_taken")
    assert "recall-wide" in answer.json["detail"]


def test_every_fault_of_an_experiment_is_listed_at_once(lab):
    body = {**EXPERIMENT, "variants": [{"key": "a", "weight": "1"}, {"weight": 1}], "plan": {}, "colour": "red"}
    faults = lab.call("POST", "/v1/admin/experiments", json=body).json["faults"]
    assert [fault.split(":")[0] for fault in faults] == [
        "variants.0.weight",
        "variants.1.key",
        "plan.primary_metric",
        "colour",
    ]


def test_a_share_chooses_free_buckets(lab):
    body = {key: value for key, value in EXPERIMENT.items() if key != "ranges"}
    answer = lab.call("POST", "/v1/admin/experiments", json={**body, "share": 0.25})
    assert answer.status_code == 201
    assert sum(each["stop"] - each["start"] for each in answer.json["ranges"]) == 2_500


def test_what_get_shows_can_be_put_back_and_changes_nothing(drafted):
    drafted.call("POST", f"{PATH}/start")
    before = drafted.services.configuration.version()
    shown = drafted.call("GET", PATH)
    answer = drafted.call("PUT", PATH, json=shown.json)
    assert answer.status_code == 200
    assert answer.json == shown.json
    assert drafted.services.configuration.version() == before


def test_a_change_with_the_right_etag_is_made_and_with_an_old_one_is_412(drafted):
    etag = drafted.call("GET", PATH).headers["ETag"]
    changed = drafted.call("PUT", PATH, json={**EXPERIMENT, "owner": "ann"}, headers={"If-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != etag
    again = drafted.call("PUT", PATH, json={**EXPERIMENT, "owner": "bob"}, headers={"If-Match": etag})
    assert (again.status_code, again.json["code"]) == (412, "precondition_failed")
    assert drafted.call("POST", f"{PATH}/start", headers={"If-Match": etag}).status_code == 412
    assert drafted.call("GET", PATH).json["owner"] == "ann"


def test_a_change_elsewhere_is_no_reason_to_refuse_a_right_etag(drafted, monkeypatch):
    etag = drafted.call("GET", PATH).headers["ETag"]
    perform = drafted.services.changes.perform
    calls = []

    def overtaken_once(change, **options):
        calls.append(options["expected"])
        if len(calls) == 1:
            raise ConfigurationMoved(1, 2)
        return perform(change, **options)

    monkeypatch.setattr(drafted.services.changes, "perform", overtaken_once)
    assert drafted.call("POST", f"{PATH}/start", headers={"If-Match": etag}).status_code == 200
    assert len(calls) == 2


def test_the_key_in_the_body_is_the_key_in_the_path(drafted):
    answer = drafted.call("PUT", PATH, json={**EXPERIMENT, "key": "other"})
    assert answer.status_code == 400
    assert "never changes" in answer.json["detail"]


@pytest.mark.parametrize("path", ["", "/report", "/reports"])
def test_an_unknown_experiment_is_not_found_and_what_is_near_is_named(drafted, path):
    answer = drafted.call("GET", f"/v1/admin/experiments/recal-wide{path}")
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert "'recall-wide'" in answer.json["detail"]


def test_experiments_are_filtered_by_layer_and_status(drafted):
    def keys(query):
        return [each["key"] for each in drafted.call("GET", f"/v1/admin/experiments{query}").json["experiments"]]

    assert keys("") == ["ranking-mf", "recall-wide"]
    assert keys("?layer=recall") == ["recall-wide"]
    assert keys("?status=running") == []
    assert drafted.call("GET", "/v1/admin/experiments?status=asleep").status_code == 400


def test_revisions_say_who_changed_what(drafted):
    drafted.call("POST", f"{PATH}/start", role="experimenter")
    found = drafted.call("GET", "/v1/admin/revisions?kind=experiment&key=recall-wide&limit=1").json["revisions"]
    assert len(found) == 1
    assert (found[0]["author"], found[0]["action"]) == ("experimenter", "start")
    assert (found[0]["before"]["status"], found[0]["after"]["status"]) == ("draft", "running")


def test_the_kill_switch_gives_everybody_the_defaults_until_it_is_lifted(drafted):
    drafted.call("POST", f"{PATH}/start")
    assert drafted.call("PUT", "/v1/admin/kill-switch", json={"killed": True}).json == {"killed": True}
    layers = drafted.call("GET", "/v1/admin/explain?unit=ann").json["layers"]
    assert {each["reason"] for each in layers} == {"DISABLED"}
    drafted.call("PUT", "/v1/admin/kill-switch", json={"killed": False})
    assert drafted.call("GET", "/v1/admin/kill-switch").json == {"killed": False}


def test_explain_tells_each_step_and_records_nothing(drafted):
    drafted.call("POST", f"{PATH}/start")
    answer = drafted.call("GET", "/v1/admin/explain", query_string={"unit": "ann", "context": '{"device": "phone"}'})
    assert answer.status_code == 200
    assert [each["layer"] for each in answer.json["layers"]] == ["recall", "ranking"]
    assert drafted.record.inbox == ()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, "unit: is missing"),
        ({"unit": ""}, "unit: is empty"),
        ({"unit": "a\nb"}, "control character"),
        ({"unit": "x" * 300}, "300 characters"),
        ({"unit": "ann", "context": "{"}, "context: is not JSON"),
        ({"unit": "ann", "context": "[]"}, "send an object"),
        ({"unit": "ann", "colour": "red"}, "not a known field"),
    ],
)
def test_a_bad_question_to_explain_is_refused_in_words(lab, query, words):
    answer = lab.call("GET", "/v1/admin/explain", query_string=query)
    assert answer.status_code == 400
    assert words in answer.json["detail"]


def test_items_are_stored_and_replaced_by_key(lab):
    item = {
        "key": "h-1",
        "title": "A headline",
        "published_at": "2026-03-01T00:00:00+02:00",
        "attributes": {"topic": "x"},
    }
    answer = lab.call("PUT", "/v1/admin/items", json={"items": [item, {"key": "h-2", "title": "Another"}]})
    assert answer.json == {"stored": 2}
    first, second = lab.services.catalogue.all()
    assert first.published_at.utcoffset() == timedelta(hours=2)
    assert second.published_at == START


@pytest.mark.parametrize("published_at", ["yesterday", "2026-03-01T00:00:00", 1_700_000_000, ""])
def test_one_bad_item_refuses_all_of_them(lab, published_at):
    items = [{"key": "h-1", "title": "Good"}, {"key": "h-2", "title": "Bad", "published_at": published_at}]
    answer = lab.call("PUT", "/v1/admin/items", json={"items": items})
    assert answer.status_code == 400
    assert answer.json["faults"][0].startswith("items.1.published_at")
    assert lab.services.catalogue.all() == []


def test_a_training_is_queued_followed_and_listed(lab):
    answer = lab.call(
        "POST", "/v1/admin/trainings", json={"kind": "mf", "name": "mf", "hyperparameters": {"epochs": 3}}
    )
    assert answer.status_code == 202
    assert lab.tasks.asked == [("train", answer.json["id"])]
    followed = lab.call("GET", answer.headers["Location"])
    assert followed.json == answer.json
    assert (followed.json["status"], followed.json["requested_by"]) == ("queued", "admin")
    assert lab.call("GET", "/v1/admin/trainings").json["trainings"] == [answer.json]
    assert lab.call("GET", "/v1/admin/trainings/nothing").status_code == 404


def test_a_training_that_could_not_be_queued_does_not_look_as_if_it_waited(lab):
    lab.tasks.down = True
    answer = lab.call("POST", "/v1/admin/trainings", json={"kind": "mf", "name": "mf"})
    assert (answer.status_code, answer.json["code"]) == (503, "broker_unavailable")
    assert [run.status for run in lab.services.trainings.all()] == ["failed"]


def test_a_training_of_an_unknown_kind_is_refused_and_not_stored(lab):
    answer = lab.call("POST", "/v1/admin/trainings", json={"kind": "oracle", "name": "mf"})
    assert answer.status_code == 400
    assert "there are mf" in answer.json["detail"]
    assert lab.services.trainings.all() == []


def test_a_training_is_cancelled_at_once_or_by_its_worker_and_only_once(lab):
    waiting = lab.call("POST", "/v1/admin/trainings", json={"kind": "mf", "name": "mf"}).json
    path = f"/v1/admin/trainings/{waiting['id']}"
    answer = lab.call("POST", f"{path}/cancel", role="experimenter")
    assert (answer.status_code, answer.json["status"]) == (200, "cancelled")
    assert lab.call("GET", path).json == answer.json
    refused = lab.call("POST", f"{path}/cancel")
    assert (refused.status_code, refused.json["code"]) == (409, "conflict")
    assert "is cancelled already" in refused.json["detail"]
    lab.services.trainings.put(replace(lab.services.trainings.find(waiting["id"]), status="running", progress=0.4))
    for _ in range(2):
        answer = lab.call("POST", f"{path}/cancel")
        assert (answer.status_code, answer.json["status"], answer.json["progress"]) == (200, "cancelling", 0.4)
    assert lab.call("POST", "/v1/admin/trainings/nothing/cancel").status_code == 404


def test_a_cancel_is_for_experimenters_of_the_whole_installation_and_is_audited(lab):
    run = lab.call("POST", "/v1/admin/trainings", json={"kind": "mf", "name": "mf"}).json
    path = f"/v1/admin/trainings/{run['id']}/cancel"
    key = lab.services.keys.create("team", "admin", projects=["default"])
    assert lab.call("POST", path, role="viewer").status_code == 403
    assert lab.client().post(path, headers={"Authorization": f"Bearer {key}"}).status_code == 403
    assert lab.services.trainings.find(run["id"]).status == "queued"
    first, again = (lab.call("POST", path, headers={"Idempotency-Key": "stop"}) for _ in range(2))
    assert (first.status_code, again.status_code, again.json) == (200, 200, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"
    rows = [row for row in lab.call("GET", "/v1/admin/audit").json["audit"] if row["path"] == path]
    assert [(row["actor"], row["status"]) for row in rows] == [
        ("admin", 200),
        ("admin", 200),
        ("team", 403),
        ("viewer", 403),
    ]


def test_models_are_listed_with_their_offline_metrics(lab):
    lab.services.models.add(
        ModelVersion(
            name="mf",
            number=1,
            kind="mf",
            created_at=START,
            digest="0" * 64,
            size_bytes=12,
            hyperparameters={"epochs": 3},
            metrics={"auc": 0.7},
            stamp={"rows": 10},
        )
    )
    (model,) = lab.call("GET", "/v1/admin/models").json["models"]
    assert (model["reference"], model["metrics"]) == ("mf@1", {"auc": 0.7})


def test_reports_are_shown_once_there_are_some(drafted):
    assert drafted.call("GET", f"{PATH}/report").status_code == 404
    assert drafted.call("GET", f"{PATH}/reports").json == {"reports": []}
    drafted.call("POST", f"{PATH}/start")
    phase = drafted.call("GET", PATH).json["phases"][-1]["id"]
    for look in (1, 2):
        drafted.services.analysis.save_report("recall-wide", phase, START, {"look": look})
    assert drafted.call("GET", f"{PATH}/report").json == {"look": 2}
    assert drafted.call("GET", f"{PATH}/reports").json == {"reports": [{"look": 1}, {"look": 2}]}


def test_an_analysis_is_asked_of_the_workers(drafted):
    answer = drafted.call("POST", f"{PATH}/analyse")
    assert answer.status_code == 202
    assert drafted.tasks.asked == [("analyse", "recall-wide")]


def test_a_new_key_is_shown_once_and_works(lab):
    answer = lab.call("POST", "/v1/admin/keys", json={"name": "app", "role": "client"})
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    listed = {"name": "app", "role": "client", "projects": None, "expires_at": None}
    assert listed in lab.call("GET", "/v1/admin/keys").json["keys"]
    assert answer.json["key"] not in lab.call("GET", "/v1/admin/keys").get_data(as_text=True)
    refused = lab.client().get("/v1/admin/keys", headers={"Authorization": f"Bearer {answer.json['key']}"})
    assert refused.status_code == 403


@pytest.mark.parametrize("body", [{"name": "App", "role": "client"}, {"name": "app", "role": "root"}, {"name": "app"}])
def test_a_bad_key_is_refused(lab, body):
    assert lab.call("POST", "/v1/admin/keys", json=body).status_code == 400


def test_an_unknown_key_name_is_not_found(lab):
    assert lab.call("DELETE", "/v1/admin/keys/nobody").status_code == 404


def test_the_record_is_counted(lab):
    counts = lab.call("GET", "/v1/admin/record/counts").json
    assert counts.keys() == {
        "slate",
        "impression",
        "click",
        "read",
        "interaction",
        "custom",
        "exposure",
        "quarantine",
        "inbox",
    }
