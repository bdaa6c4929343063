import hashlib
from datetime import timedelta
from urllib.parse import quote

import orjson
import pytest

START = {"kind": "click", "request_id": "r", "unit": "reader-1", "item": "i"}


def event(lab, event_id, **fields):
    return {**START, "event_id": event_id, "time": lab.services.clock.now().isoformat(), **fields}


def send(lab, *events, **body):
    return lab.call("POST", "/v1/events", role="client", json={"events": events, **body})


def test_a_number_that_is_none_refuses_its_event_and_not_the_batch(lab):
    good = orjson.dumps(event(lab, "good")).decode()
    bad = (
        orjson.dumps(event(lab, "bad", kind="read", read_seconds=0))
        .decode()
        .replace('"read_seconds":0', '"read_seconds":NaN')
    )
    answer = lab.call(
        "POST", "/v1/events", role="client", data=f'{{"events":[{good},{bad}]}}', content_type="application/json"
    )
    assert (answer.status_code, answer.json["verdicts"]) == (202, ["accepted", "rejected"])
    assert answer.json["rejected"][0]["code"] == "out_of_range"


def test_exposures_and_custom_numbers_come_among_the_events(lab):
    lab.call("POST", "/v1/admin/experiments/ranking-mf/start")
    lab.services.snapshots.refresh()
    now = lab.services.clock.now().isoformat()
    told = {"kind": "exposure", "event_id": "x", "unit": "u", "time": now, "experiment": "ranking-mf", "variant": "mf"}
    custom = {"kind": "custom", "event_id": "c", "unit": "u", "time": now, "name": "revenue", "value": 3.5}
    answer = send(lab, told, custom, {**told, "event_id": "y", "variant": "none"})
    assert answer.json["verdicts"] == ["accepted", "accepted", "rejected"]
    assert answer.json["rejected"][0]["code"] == "unknown_variant"
    lab.ingest()
    counts = lab.services.record.counts()
    assert (counts["exposure"], counts["custom"]) == (1, 1)


def test_a_wrong_clock_is_set_right_by_the_time_of_sending(lab):
    wrong = lab.services.clock.now() + timedelta(hours=1)
    late = event(lab, "e", time=wrong.isoformat())
    assert send(lab, late).json["rejected"][0]["code"] == "in_future"
    assert send(lab, late, sent_at=wrong.isoformat()).json["verdicts"] == ["accepted"]
    assert send(lab, late, sent_at="now").status_code == 400


def test_what_was_refused_is_listed_with_its_reason_and_counted(lab):
    send(lab, event(lab, "orphan"), event(lab, "bad", read_seconds=3), event(lab, "worse", kind="glance"))
    lab.ingest()
    answer = lab.call("GET", "/v1/admin/record/quarantine").json
    assert answer["counts"] == {"unknown_request": 1, "unknown_field": 1, "unknown_kind": 1}
    only = lab.call("GET", "/v1/admin/record/quarantine?reason=unknown_field").json["quarantine"]
    assert [(each["key"], each["unit"], each["kind"]) for each in only] == [("bad", "reader-1", "click")]
    assert '"read_seconds":3' in only[0]["body"]
    text = lab.client().get("/metrics").get_data(as_text=True)
    assert 'lamella_events_rejected_total{reason="unknown_kind"} 1.0' in text
    assert 'lamella_quarantine_records{reason="unknown_request"} 1' in text
    assert lab.call("GET", "/v1/admin/record/quarantine", role="viewer").status_code == 403


def test_the_quarantine_is_shown_page_by_page(lab):
    send(lab, *(event(lab, f"e{number}", kind="glance") for number in range(5)))
    lab.ingest()
    seen, cursor = [], ""
    while True:
        answer = lab.call("GET", f"/v1/admin/record/quarantine?limit=2{cursor}").json
        seen += [each["key"] for each in answer["quarantine"]]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert sorted(seen) == [f"e{number}" for number in range(5)]


def test_a_unit_is_flagged_listed_and_unflagged(lab):
    made = lab.call("PUT", "/v1/admin/flags/team/eve", json={"reason": "internal", "detail": "the editor"})
    assert (made.status_code, made.json["unit"], made.json["detail"]) == (200, "team/eve", "the editor")
    assert [each["unit"] for each in lab.call("GET", "/v1/admin/flags").json["flags"]] == ["team/eve"]
    assert lab.call("DELETE", "/v1/admin/flags/team/eve").status_code == 204
    assert lab.call("DELETE", "/v1/admin/flags/team/eve").status_code == 404
    assert lab.call("PUT", "/v1/admin/flags/x", json={"reason": "boring"}).status_code == 400


@pytest.fixture
def told(lab):
    return {"path": "/v1/admin/units/reader-1", "digest": f"sha256:{hashlib.sha256(b'reader-1').hexdigest()}"}


def test_one_unit_is_exported_and_erased_and_the_audit_names_its_digest_only(lab, told):
    send(lab, event(lab, "orphan"))
    lab.ingest()
    exported = lab.call("GET", f"{told['path']}/export").json
    assert exported["unit"] == "reader-1"
    assert [each["key"] for each in exported["tables"]["quarantine"]] == ["orphan"]
    erased = lab.call("DELETE", told["path"])
    assert (erased.status_code, erased.json["unit"]) == (200, told["digest"])
    assert erased.json["tables"] == {"quarantine": 1}
    assert lab.call("GET", f"{told['path']}/export").json["tables"] == {}
    (row,) = [each for each in lab.call("GET", "/v1/admin/audit").json["audit"] if each["method"] == "DELETE"]
    assert (row["path"], row["status"]) == (f"/v1/admin/units/{told['digest']}", 200)
    assert "reader-1" not in orjson.dumps(row).decode()


@pytest.mark.parametrize(
    "unit", ["/", "//", "/x", "x/", "a//b", "export", "x/export", "..", "\u8bfb\u8005/1", "a b%2F?"]
)
def test_a_unit_of_any_text_is_exported_and_erased_and_no_other(lab, unit):
    others = {"x", "a/b", "a", unit.strip("/") or "x"} - {unit}
    send(lab, *(event(lab, f"of-{number}", unit=each) for number, each in enumerate([unit, *sorted(others)])))
    lab.ingest()
    path = f"/v1/admin/units/{quote(unit, safe='')}"
    exported = lab.call("GET", f"{path}/export")
    assert (exported.status_code, exported.json["unit"]) == (200, unit)
    assert [each["unit"] for each in exported.json["tables"]["quarantine"]] == [unit]
    assert lab.call("DELETE", path).json["tables"] == {"quarantine": 1}
    left = {each["unit"] for each in lab.call("GET", "/v1/admin/record/quarantine").json["quarantine"]}
    assert left == others
    flag = f"/v1/admin/flags/{quote(unit, safe='')}"
    assert lab.call("PUT", flag, json={"reason": "internal"}).json["unit"] == unit
    assert lab.call("DELETE", flag).status_code == 204


@pytest.mark.parametrize("role", ["viewer", "experimenter", "approver", "client"])
def test_only_an_admin_exports_or_erases_a_unit(lab, told, role):
    assert lab.call("GET", f"{told['path']}/export", role=role).status_code == 403
    assert lab.call("DELETE", told["path"], role=role).status_code == 403


def test_the_archive_is_listed(lab):
    assert lab.call("GET", "/v1/admin/record/archive", role="viewer").json == {"files": [], "next_cursor": None}
