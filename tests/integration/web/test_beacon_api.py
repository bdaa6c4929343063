"""Events as a page in a browser sends them: plain text, a collector's key in the query, from another origin."""

import re
from datetime import timedelta

import orjson
import pytest

from lamella.config import Settings
from lamella.errors import InvalidSettings
from lamella.testing.fakes import FakeClock
from lamella.web.api.collecting import SCRIPT

ORIGIN = "https://www.example.org"
NOW = FakeClock().now()
KEYS_IN_QUERY = ("client", "viewer", "experimenter", "approver", "admin")


def beacon(lab, body, *, role="collector", content_type="text/plain;charset=UTF-8", **headers):
    path = f"/v1/events?key={lab.keys[role]}"
    return lab.client().post(path, data=body, content_type=content_type, headers=headers)


def batch(name="visible", **more):
    event = {"kind": "custom", "event_id": "e1", "unit": "u1", "time": NOW.isoformat(), "name": name, "value": 1.2}
    return orjson.dumps({"events": [{**event, **more}]})


def preflight(lab, path="/v1/events", origin=ORIGIN):
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    return lab.client().options(path, headers={"Origin": origin, **asked})


def test_a_beacon_is_accepted_and_recorded_once_however_often_it_is_sent(lab):
    for _ in range(2):
        answer = beacon(lab, batch())
        assert answer.status_code == 202
        assert answer.json["rejected"] == []
    lab.ingest()
    assert [(each.name, each.value) for each in lab.record.customs] == [("visible", 1.2)]


def test_a_bad_event_of_a_beacon_never_sinks_the_others(lab):
    events = [*orjson.loads(batch())["events"], {"kind": "click"}, 7]
    answer = beacon(lab, orjson.dumps({"events": events}))
    assert (answer.status_code, answer.json["accepted"]) == (202, 1)
    assert [each["index"] for each in answer.json["rejected"]] == [1, 2]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"events": {}}', "é".encode("latin-1")])
def test_a_beacon_that_is_no_batch_is_a_problem(lab, body):
    answer = beacon(lab, body)
    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")


@pytest.mark.parametrize("role", KEYS_IN_QUERY)
def test_no_key_that_may_read_or_change_anything_is_taken_from_the_query(lab, role):
    answer = beacon(lab, batch(), role=role)
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert lab.keys[role] not in answer.get_data(as_text=True)


def test_an_unknown_key_in_the_query_is_refused(lab):
    answer = lab.client().post(f"/v1/events?key=lam_{'A' * 43}", data=batch(), content_type="text/plain")
    assert (answer.status_code, answer.json["code"]) == (401, "unauthenticated")


def test_a_key_in_the_query_opens_no_other_route(lab):
    for path in ("/v1/recommendations", "/v1/exposures", "/ofrep/v1/evaluate/flags"):
        answer = lab.client().post(f"{path}?key={lab.keys['collector']}", json={})
        assert answer.status_code == 401, path
    assert lab.client().get(f"/v1/admin/layers?key={lab.keys['collector']}").status_code == 401


def test_a_collector_only_sends_events(lab):
    assert lab.call("POST", "/v1/events", role="collector", json=orjson.loads(batch())).status_code == 202
    for method, path in (("POST", "/v1/recommendations"), ("POST", "/v1/exposures"), ("GET", "/v1/snapshot")):
        options = {"json": {}} if method == "POST" else {}
        assert lab.call(method, path, role="collector", **options).status_code == 403, path


def test_a_header_goes_before_the_query(lab):
    answer = lab.client().post(
        f"/v1/events?key=lam_{'A' * 43}", data=batch(), content_type="text/plain", headers=lab.bearer("client")
    )
    assert answer.status_code == 202


def test_plain_text_is_taken_for_events_only(lab):
    answer = lab.call("POST", "/v1/recommendations", data=b"{}", content_type="text/plain")
    assert answer.status_code == 415


def test_a_preflight_of_a_configured_origin_needs_no_key(make):
    lab = make(settings=Settings(cors_origins=f"https://other.example, {ORIGIN}"))
    answer = preflight(lab)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Access-Control-Allow-Methods"] == "POST"
    assert "Content-Type" in answer.headers["Access-Control-Allow-Headers"]
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("path", ["/v1/recommendations", "/v1/exposures", "/ofrep/v1/evaluate/flags/slate.size"])
def test_what_serves_is_open_to_configured_origins(make, path):
    lab = make(settings=Settings(cors_origins=ORIGIN))
    assert preflight(lab, path).headers["Access-Control-Allow-Origin"] == ORIGIN


def test_the_admin_api_and_the_pages_are_open_to_no_origin(make):
    lab = make(settings=Settings(cors_origins="*"))
    for path in ("/v1/admin/layers", "/v1/snapshot", "/login", "/metrics"):
        assert "Access-Control-Allow-Origin" not in preflight(lab, path).headers
        assert "Access-Control-Allow-Origin" not in lab.client().get(path, headers={"Origin": ORIGIN}).headers


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{ORIGIN}.evil.example", "http://www.example.org"])
def test_another_origin_is_told_nothing(make, origin):
    lab = make(settings=Settings(cors_origins=ORIGIN))
    assert "Access-Control-Allow-Origin" not in preflight(lab, origin=origin).headers
    assert "Access-Control-Allow-Origin" not in beacon(lab, batch(), Origin=origin).headers


def test_answers_and_errors_can_be_read_by_a_configured_origin(make):
    lab = make(settings=Settings(cors_origins=ORIGIN))
    for answer in (
        beacon(lab, batch(), Origin=ORIGIN),
        beacon(lab, b"{", Origin=ORIGIN),
        lab.client().post("/v1/events", data=b"", headers={"Origin": ORIGIN}),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


def test_every_origin_may_be_let_in(make):
    lab = make(settings=Settings(cors_origins="*"))
    assert preflight(lab).headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("origins", ["www.example.org", "https://www.example.org/", "https://", "ftp://x", "a,*"])
def test_an_origin_that_no_browser_sends_is_refused_at_start(origins):
    with pytest.raises(InvalidSettings, match="LAMELLA_CORS_ORIGINS"):
        Settings.from_environment({"LAMELLA_CORS_ORIGINS": origins})


def test_the_script_is_small_and_served_to_every_origin_with_an_etag(lab):
    answer = lab.client().get("/v1/lamella.js")
    assert answer.status_code == 200
    assert answer.content_type == "text/javascript; charset=utf-8"
    assert answer.data == SCRIPT.read_bytes()
    assert len(answer.data) < 6_000
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "max-age" in answer.headers["Cache-Control"]
    again = lab.client().get("/v1/lamella.js", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_the_script_needs_nothing_from_elsewhere(lab):
    text = SCRIPT.read_text("utf-8")
    assert not re.search(r"\bimport\b|\brequire\(|https?://|\?\.|\?\?|#\w+\(", text)


def test_the_time_of_a_wrong_clock_is_set_right_by_the_time_of_sending(lab):
    ahead = (NOW + timedelta(hours=1)).isoformat()
    body = orjson.loads(batch(time=ahead))
    answer = beacon(lab, orjson.dumps({**body, "sent_at": ahead}))
    assert answer.json["rejected"] == []
