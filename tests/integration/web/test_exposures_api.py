"""POST /v1/exposures and GET /v1/snapshot: what those need that evaluate in a process of their own."""

from datetime import timedelta

import pytest

from lamella.errors import Overloaded
from lamella.experiments.snapshot import compile_snapshot
from lamella.experiments.snapshot_document import configuration_of


@pytest.fixture
def running(lab):
    assert lab.call("POST", "/v1/admin/experiments/ranking-mf/start", json={}).status_code == 200
    return lab


def tell(lab, *exposures):
    answer = lab.call("POST", "/v1/exposures", role="client", json={"exposures": list(exposures)})
    assert answer.status_code == 202, answer.get_data(as_text=True)
    return answer.json


def exposure(**fields):
    return {"exposure_id": "x-1", "unit": "reader-1", "experiment": "ranking-mf", "variant": "mf", **fields}


def exposed(lab):
    lab.ingest()
    return {unit: first.variant for unit, first in lab.record.exposed(1).items()}


def test_an_exposure_is_recorded_as_it_states(running):
    assert tell(running, exposure(), exposure(exposure_id="x-2", unit="读者-2", variant="popularity")) == {
        "accepted": 2,
        "rejected": [],
    }
    assert exposed(running) == {"reader-1": "mf", "读者-2": "popularity"}
    assert running.record.counts()["slate"] == 0


def test_sending_it_again_changes_nothing(running):
    for _ in range(3):
        assert tell(running, exposure())["accepted"] == 1
    assert exposed(running) == {"reader-1": "mf"}


@pytest.mark.parametrize(
    "named",
    [
        {"experiment": None, "parameter": "rank.model"},
        {"experiment": None, "parameter": "rank.model", "variant": "ranking-mf/mf"},
        {"experiment": None, "phase": 1},
        {"phase": 1},
        {"parameter": "rank.model"},
    ],
    ids=str,
)
def test_it_may_name_the_parameter_or_the_phase(running, named):
    assert tell(running, exposure(**named)) == {"accepted": 1, "rejected": []}
    assert exposed(running) == {"reader-1": "mf"}


@pytest.mark.parametrize("named", [{"experiment": "ranking-mf"}, {"parameter": "rank.model"}], ids=str)
def test_one_without_a_variant_is_assigned_as_it_arrives(running, named):
    units = [f"reader-{i}" for i in range(20)]
    tell(running, *[{"exposure_id": f"x-{unit}", "unit": unit, **named} for unit in units])
    snapshot = running.services.snapshots.current()
    assert exposed(running) == {unit: snapshot.assign(unit).assignments[1].variant for unit in units}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"experiment": "nothing"}, "unknown_experiment"),
        ({"experiment": None, "parameter": "nothing"}, "unknown_parameter"),
        ({"experiment": None}, "no_target"),
        ({"variant": "nothing"}, "unknown_variant"),
        ({"experiment": None, "parameter": "rank.model", "variant": "default"}, "unknown_variant"),
        ({"phase": 99}, "unknown_phase"),
        ({"experiment": None, "phase": 99}, "unknown_phase"),
        ({"phase": "1"}, "wrong_type"),
        ({"counted": 1}, "wrong_type"),
        ({"unit": ""}, "empty"),
        ({"unit": "x" * 10_000}, "too_long"),
        ({"unit": "a\u0007"}, "control_character"),
        ({"unit": 7}, "wrong_type"),
        ({"exposure_id": ""}, "empty"),
        ({"surprise": 1}, "unknown_field"),
        ({"time": "yesterday"}, "bad_time"),
        ({"time": "2026-03-02T08:00:00"}, "naive_time"),
        ({"time": "2001-03-02T08:00:00Z"}, "too_late"),
        ({"time": "2101-03-02T08:00:00Z"}, "in_future"),
        ({"variant": None, "context": 7}, "bad_context"),
        ({"variant": None, "experiment": None, "parameter": "recall.model"}, "not_assigned"),
    ],
    ids=str,
)
def test_a_bad_one_is_rejected_with_its_reason_and_sinks_nobody(running, fields, code):
    answer = tell(running, exposure(exposure_id="good"), exposure(**fields), 7)
    assert answer["accepted"] == 1
    bad, worse = answer["rejected"]
    assert (bad["index"], bad["code"]) == (1, code)
    assert bad["reason"]
    assert (worse["index"], worse["code"], worse["exposure_id"]) == (2, "not_an_object", "")
    assert exposed(running) == {"reader-1": "mf"}


def test_an_experiment_that_does_not_run_needs_its_phase(lab):
    (rejected,) = tell(lab, exposure())["rejected"]
    assert rejected["code"] == "not_running"
    lab.call("POST", "/v1/admin/experiments/ranking-mf/start", json={})
    lab.call("POST", "/v1/admin/experiments/ranking-mf/stop", json={})
    assert tell(lab, exposure())["rejected"][0]["code"] == "not_running"
    assert tell(lab, exposure(phase=1))["accepted"] == 1


def test_a_unit_on_the_allow_list_is_recorded_and_not_counted(running):
    body = running.call("GET", "/v1/admin/experiments/ranking-mf").json
    changed = running.call("PUT", "/v1/admin/experiments/ranking-mf", json={**body, "forced": {"editor": "mf"}})
    assert changed.status_code == 200, changed.json
    tell(running, exposure(unit="editor"))
    running.ingest()
    assert not running.record.exposed(1)["editor"].counted


def test_the_time_is_the_stated_one_and_now_where_none_is(running):
    now = running.services.clock.now()
    tell(running, exposure(time=(now - timedelta(hours=3)).isoformat()), exposure(exposure_id="y", unit="other"))
    running.ingest()
    firsts = running.record.exposed(1)
    assert firsts["reader-1"].first_at == now - timedelta(hours=3)
    assert firsts["other"].first_at == now


def test_a_full_inbox_is_429_and_nothing_is_kept(running):
    running.record.down = Overloaded("the inbox")
    answer = running.call("POST", "/v1/exposures", role="client", json={"exposures": [exposure()]})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")


@pytest.mark.parametrize("body", [{}, {"exposures": 7}, {"exposures": []}, {"exposures": [{}] * 1_001}, {"events": []}])
def test_what_is_no_batch_is_refused_whole(running, body):
    answer = running.call("POST", "/v1/exposures", role="client", json=body)
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_input")


def test_the_snapshot_document_assigns_what_the_service_assigns(running):
    answer = running.call("GET", "/v1/snapshot", role="client")
    here = compile_snapshot(configuration_of(answer.json))
    there = running.services.snapshots.current()
    assert here.version == there.version == answer.json["version"]
    assert [here.assign(f"reader-{i}") for i in range(50)] == [there.assign(f"reader-{i}") for i in range(50)]


@pytest.mark.parametrize("path", ["/v1/snapshot", "/flagd/flags.json"])
def test_a_document_that_the_caller_has_is_304_until_the_configuration_changes(running, path):
    first = running.call("GET", path, role="client")
    tag = first.headers["ETag"]
    again = running.call("GET", path, role="client", headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    running.call("POST", "/v1/admin/experiments/ranking-mf/stop", json={})
    changed = running.call("GET", path, role="client", headers={"If-None-Match": tag})
    assert (changed.status_code, changed.headers["ETag"] == tag) == (200, False)


def test_the_flagd_document_says_what_it_hashes_and_has_every_parameter(running):
    document = running.call("GET", "/flagd/flags.json", role="client").json
    assert document["metadata"]["hashVersion"] == 2
    assert list(document["flags"]) == ["recall.model", "recall.count", "rank.model", "slate.size"]
    assert "fractional" in str(document["flags"]["rank.model"]["targeting"])
