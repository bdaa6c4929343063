"""The short way beside Flask: the same answers, refusals, headers and counts, whichever way a request takes."""

import orjson
import pytest

from lamella.errors import Overloaded
from lamella.web.app import EVALUATION_BYTES

PATH = "/v1/recommendations"
EVENTS = "/v1/events"
# Flask's own way: the lane leaves requests with an Origin to it.
FLASK = {"Origin": "https://shop.example"}
BODIES = {
    "plain": {"unit": "ann"},
    "full": {"unit": "读者", "context": {"country": "CN"}, "k": 3, "exclude": ["item-01"], "request_id": "r-1"},
    "no unit": {},
    "unknown field": {"unit": "ann", "colour": "red"},
    "bad k": {"unit": "ann", "k": 0},
    "control character": {"unit": "a\nb"},
}


NOW = "2026-03-02T08:00:00Z"
CLICK = {"kind": "click", "event_id": "e-1", "unit": "ann", "request_id": "r-1", "item": "item-01", "time": NOW}
CALLS = {
    "one": {"events": [CLICK]},
    "good and bad": {"events": [CLICK, {**CLICK, "event_id": "e-2", "kind": "glance"}, 7, CLICK], "sent_at": NOW},
    "none": {"events": []},
    "no list": {"events": {}},
    "unknown field": {"events": [], "colour": "red"},
    "bad sent_at": {"events": [CLICK], "sent_at": "noon"},
    "too many": {"events": [CLICK] * 1_001},
}


def post(lab, *, data: bytes, path: str = PATH, role: str = "client", **headers: str):
    wanted = {**lab.bearer(role), "Content-Type": "application/json", "X-Request-Id": "same", **headers}
    return lab.client().post(path, data=data, headers=wanted)


def both(lab, *, data: bytes, path: str = PATH, **headers: str):
    """The same request by the lane and by Flask."""
    return post(lab, data=data, path=path, **headers), post(lab, data=data, path=path, **{**headers, **FLASK})


def without_id(body: bytes) -> dict[str, object]:
    return {name: value for name, value in orjson.loads(body).items() if name != "request_id"}


@pytest.mark.parametrize("name", BODIES)
def test_both_ways_answer_alike(lab, name):
    lane, flask = both(lab, data=orjson.dumps(BODIES[name]))
    assert lane.status_code == flask.status_code
    assert without_id(lane.data) == without_id(flask.data)
    assert dict(lane.headers) == {**flask.headers, "Content-Length": lane.headers["Content-Length"]}


@pytest.mark.parametrize("role", ["client", "collector"])
@pytest.mark.parametrize("name", CALLS)
def test_both_ways_take_events_alike(make, name, role):
    """Each in an installation of its own: the second of two would be told that the first was there."""
    data = orjson.dumps(CALLS[name])
    lane = post(make(), data=data, path=EVENTS, role=role)
    flask = post(make(), data=data, path=EVENTS, role=role, **FLASK)
    assert lane.status_code == flask.status_code
    assert lane.json == flask.json
    assert dict(lane.headers) == {**flask.headers, "Content-Length": lane.headers["Content-Length"]}


def test_events_are_counted_whichever_way_they_come(lab):
    both(lab, data=orjson.dumps(CALLS["good and bad"]), path=EVENTS)
    numbers = lab.client().get("/metrics").text
    assert 'lamella_events_total{outcome="accepted"} 1.0' in numbers
    assert 'lamella_events_total{outcome="duplicate"} 3.0' in numbers
    assert 'lamella_events_total{outcome="rejected"} 4.0' in numbers
    assert 'lamella_events_rejected_total{reason="unknown_kind"} 2.0' in numbers
    assert f'lamella_requests_total{{method="POST",route="{EVENTS}",status="202"}} 2.0' in numbers


@pytest.mark.parametrize("path", [PATH, EVENTS])
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"unit": NaN}', b"\xff"])
def test_both_ways_refuse_a_malformed_body_alike(lab, data, path):
    lane, flask = both(lab, data=data, path=path)
    assert (lane.status_code, lane.data) == (flask.status_code, flask.data) == (400, flask.data)


@pytest.mark.parametrize("key", ["", "Bearer nonsense", f"Bearer lam_{'x' * 43}", "Basic YTpi"])
def test_both_ways_refuse_a_bad_key_alike(lab, key):
    lane, flask = both(lab, data=b'{"unit": "ann"}', Authorization=key)
    assert (lane.status_code, lane.data) == (flask.status_code, flask.data) == (401, flask.data)
    assert lane.headers["WWW-Authenticate"] == 'Bearer realm="lamella"'


def test_a_failure_after_the_key_was_checked_is_one_problem_and_is_done_once(lab, monkeypatch):
    calls = []

    def full(batch: bytes) -> None:
        calls.append(batch)
        raise Overloaded("the inbox")

    monkeypatch.setattr(lab.record, "append", full)
    answer = lab.call("POST", PATH, role="client", json={"unit": "ann"})
    assert (answer.status_code, answer.json["code"]) == (429, "overloaded")
    assert "Retry-After" in answer.headers
    assert len(calls) == 1


def test_what_nobody_foresaw_is_a_500_that_tells_nothing(lab, monkeypatch):
    monkeypatch.setattr(lab.services.recommending, "recommend", lambda *_, **__: 1 / 0)
    answer = lab.call("POST", PATH, role="client", json={"unit": "ann"})
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    assert "division" not in answer.text


def test_both_ways_are_counted_under_the_same_route(lab):
    for headers in ({}, FLASK):
        assert lab.call("POST", PATH, role="client", json={"unit": "ann"}, headers=headers).status_code == 200
    lab.client().post(PATH, json={"unit": "ann"})
    numbers = lab.client().get("/metrics").text
    assert f'lamella_requests_total{{method="POST",route="{PATH}",status="200"}} 2.0' in numbers
    assert f'lamella_requests_total{{method="POST",route="{PATH}",status="401"}} 1.0' in numbers
    assert f'lamella_request_seconds_count{{route="{PATH}"}} 3.0' in numbers


def test_a_body_over_the_limit_is_refused(lab):
    answer = lab.call("POST", PATH, role="client", json={"unit": "a" * EVALUATION_BYTES})
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")


def test_the_lane_answers_by_itself(lab, monkeypatch):
    """Guards the tests above: were every request left to Flask, they would all pass."""
    monkeypatch.setattr(lab.app, "full_dispatch_request", lambda *_: 1 / 0)
    assert lab.call("POST", PATH, role="client", json={"unit": "ann"}).status_code == 200
    assert lab.call("POST", EVENTS, role="collector", json={"events": [CLICK]}).status_code == 202


@pytest.mark.parametrize("path", [PATH, EVENTS])
def test_a_strangers_body_is_not_waited_for(lab, path):
    class Silent:
        def read(self, *_):
            raise AssertionError("read")

    environ = {"wsgi.input": Silent(), "CONTENT_LENGTH": "300000"}
    headers = {"Authorization": "Bearer nobody", "Content-Type": "application/json"}
    assert lab.client().post(path, environ_overrides=environ, headers=headers).status_code == 401
