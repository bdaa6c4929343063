"""Lists made on the event loop: the same answers, refusals, headers and counts as by the other ways."""

import asyncio
import threading
from dataclasses import replace

import orjson
import pytest
from prometheus_client import CollectorRegistry

from asgi_calls import Answered, ask, call, scope_of
from front_stand import PATH
from lamella.errors import ModelFailed, Overloaded
from lamella.events.codec import decode
from lamella.services.guarding import PROOFS
from lamella.services.keys import CACHE_SECONDS
from lamella.web.app import create_app
from lamella.web.asgi import front
from lamella.web.bridge import Bridge
from lamella.web.front import MOST_BYTES
from lamella.web.wiring import pollers_of

FLASK = {"Origin": "https://shop.example"}
BODIES = {
    "plain": {"unit": "ann"},
    "full": {"unit": "读者", "context": {"country": "CN"}, "k": 3, "exclude": ["item-01"], "request_id": "r-1"},
    "candidates": {"unit": "ann", "candidates": ["item-03", "item-02", "unknown"]},
    "no unit": {},
    "unknown field": {"unit": "ann", "colour": "red"},
    "bad k": {"unit": "ann", "k": 0},
    "bad preview": {"unit": "ann", "preview": "token"},
}


def without_id(answered: Answered) -> dict[str, object]:
    return {name: value for name, value in orjson.loads(answered.body).items() if name != "request_id"}


def headers_of(answered: Answered) -> dict[str, str]:
    return {name: value for name, value in answered.headers.items() if name != "content-length"}


@pytest.mark.parametrize("name", BODIES)
def test_loop_and_thread_answer_alike(stand, name):
    body = orjson.dumps(BODIES[name])
    loop, flask = stand.post(body), stand.post(body, **FLASK)
    assert loop.status == flask.status
    assert without_id(loop) == without_id(flask)
    assert headers_of(loop) == headers_of(flask)
    assert int(loop.headers["content-length"]) == len(loop.body)
    assert stand.at_once == (1 if loop.status == 200 else 0)


def test_it_is_written_in_the_thread_of_the_loop_before_it_is_answered(stand):
    answered = stand.post(b'{"unit": "ann", "request_id": "r-7"}')
    assert answered.status == 200
    assert stand.together.threads[-1] is threading.current_thread()
    (slate,), _ = decode(stand.together.groups[0][0])
    shown = [(each.item, each.rank, each.score) for each in slate.impressions]
    assert [(each["item"], each["rank"], each["score"]) for each in orjson.loads(answered.body)["items"]] == shown
    assert (slate.unit, slate.request_id) == ("ann", "r-7")


def test_requests_of_a_moment_are_written_together(stand):
    async def run() -> list[Answered]:
        body = b'{"unit": "ann"}'
        scope = scope_of("POST", PATH, stand.headers().items(), length=len(body))
        return await asyncio.gather(*(ask(stand.front, scope, [body]) for _ in range(7)))

    assert [each.status for each in asyncio.run(run())] == [200] * 7
    assert [len(group) for group in stand.together.groups] == [7]


def test_models_prove_themselves_in_threads_first(stand):
    guard = stand.lab.services.recommending._cascade._guard
    guard._trusted.clear()
    guard._proofs.clear()
    assert stand.post(b'{"unit": "ann"}').status == 200
    assert stand.at_once == 0
    for _ in range(PROOFS):
        assert stand.post(b'{"unit": "ann"}').status == 200
    assert stand.at_once > 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Basic YTpi"},
        {"Authorization": f"Bearer lam_{'x' * 43}"},
        {"Content-Type": "text/plain"},
        {"Content-Encoding": "gzip"},
    ],
    ids=["no key", "basic", "unknown", "no JSON", "gzip"],
)
def test_who_may_not_is_refused_as_by_flask(stand, headers):
    loop, flask = stand.post(b'{"unit": "ann"}', **headers), stand.post(b'{"unit": "ann"}', **headers, **FLASK)
    assert (loop.status, loop.body) == (flask.status, flask.body)
    assert loop.status in (401, 415)
    assert stand.at_once == 0


def test_a_key_of_another_role_is_refused(stand):
    answered = stand.post(b'{"unit": "ann"}', **stand.lab.bearer("collector"))
    again = stand.post(b'{"unit": "ann"}', **stand.lab.bearer("collector"))
    assert [(each.status, orjson.loads(each.body)["code"]) for each in (answered, again)] == [(403, "forbidden")] * 2


def test_a_key_is_asked_for_again_after_its_time_and_not_on_the_loop(stand, monkeypatch):
    keys = stand.lab.services.keys
    now = keys._monotonic()
    monkeypatch.setattr(keys, "_monotonic", lambda: now + 2 * CACHE_SECONDS)
    threads, find = [], keys._store.find

    def watched(digest):
        threads.append(threading.current_thread())
        return find(digest)

    monkeypatch.setattr(keys._store, "find", watched)
    assert stand.post(b'{"unit": "ann"}').status == 200
    assert (stand.at_once, len(threads)) == (0, 1)
    assert threads[0] is not threading.current_thread()
    assert stand.post(b'{"unit": "ann"}').status == 200
    assert (stand.at_once, len(threads)) == (1, 1)


def test_a_key_in_use_is_renewed_beside_the_requests(stand, monkeypatch):
    keys = stand.lab.services.keys
    began = keys._monotonic()
    for number in range(4):
        monkeypatch.setattr(keys, "_monotonic", lambda passed=number * CACHE_SECONDS * 0.75: began + passed)
        assert stand.post(b'{"unit": "ann"}').status == 200
        for poller in pollers_of(stand.app):
            poller.poll()
    assert stand.at_once == 4


@pytest.mark.parametrize("error", [Overloaded("the inbox"), ZeroDivisionError()])
def test_what_cannot_be_written_is_said_by_flask(stand, monkeypatch, error):
    stand.together.error = error

    def full(_batch: bytes) -> None:
        raise error

    monkeypatch.setattr(stand.lab.record, "append", full)
    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.call_exception_handler", lambda *_: None)
    answered = stand.post(b'{"unit": "ann"}')
    code = orjson.loads(answered.body)["code"]
    wanted = (429, "overloaded") if isinstance(error, Overloaded) else (500, "internal_error")
    assert (answered.status, code) == wanted
    if answered.status == 429:
        assert "retry-after" in answered.headers


def test_a_list_that_is_recorded_is_answered_though_it_cannot_be_counted(stand, monkeypatch):
    monkeypatch.setattr(stand.app.extensions["lamella"].telemetry, "served", lambda _: 1 / 0)
    slates = len(stand.lab.record.inbox)
    assert stand.post(b'{"unit": "ann"}').status == 200
    assert (stand.at_once, len(stand.lab.record.inbox)) == (1, slates + 1)


def test_a_model_that_fails_is_stood_in_for_and_leaves_the_loop(stand, monkeypatch):
    recommender = stand.lab.recommender
    rank = recommender.rank

    def broken(model, *rest):
        if model == "popularity@1":
            raise ModelFailed("popularity@1 answered with NaN")
        return rank(model, *rest)

    monkeypatch.setattr(recommender, "rank", broken)
    found = [orjson.loads(stand.post(b'{"unit": "ann"}').body) for _ in range(3)]
    assert [each["fallbacks"]["rank"] for each in found] == ["failed"] * 3
    assert stand.at_once == 0


def test_both_ways_are_counted_alike(stand):
    def counts() -> dict[str, float]:
        lines = call(stand.front, "GET", "/metrics").body.decode().splitlines()
        named = (line for line in lines if not line.startswith("#") and (PATH in line or "inbox_appends" in line))
        told = (line.rpartition(" ") for line in named)
        return {name: float(value) for name, _, value in told if "_sum" not in name and "_created" not in name}

    before = counts()
    stand.post(b'{"unit": "ann"}')
    between = counts()
    stand.post(b'{"unit": "ann"}', **FLASK)
    after = counts()
    assert stand.at_once == 1
    first = {name: value - before.get(name, 0) for name, value in between.items() if "bucket" not in name}
    second = {name: value - between.get(name, 0) for name, value in after.items() if "bucket" not in name}
    assert first == second
    assert sum(first.values()) >= 3


def test_a_long_body_and_other_routes_run_in_threads(stand):
    body = orjson.dumps({"unit": "ann", "context": {"padding": "x" * MOST_BYTES}})
    assert stand.post(body).status == 400
    assert call(stand.front, "GET", "/healthz").status == 200
    assert call(stand.front, "GET", f"{PATH}?unit=ann", headers=stand.headers()).status == 200
    assert call(stand.front, "GET", "/nowhere").status == 404
    assert stand.at_once == 0


def test_where_too_much_waits_for_a_thread_the_next_is_told_when_to_come_back(stand, monkeypatch):
    monkeypatch.setattr(Bridge, "is_full", True)
    assert call(stand.front, "GET", "/healthz").status == 200
    refused = call(stand.front, "GET", "/v1/admin/experiments", headers=stand.headers())
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert refused.headers["content-type"] == "application/problem+json"
    assert orjson.loads(refused.body)["code"] == "overloaded"
    assert stand.post(b'{"unit": "ann"}').status == 200
    assert stand.post(b'{"unit": "ann"}', **FLASK).status == 429
    assert stand.at_once == 1
    text = stand.app.test_client().get("/metrics").text
    assert 'lamella_requests_total{method="GET",route="none",status="429"} 1.0' in text


def test_the_process_says_that_it_lives_without_a_thread_and_like_flask(stand):
    flask = stand.app.test_client().get("/healthz", headers={"X-Request-Id": "same"})
    loop = call(stand.front, "GET", "/healthz", headers={"X-Request-Id": "same"})
    assert (loop.status, orjson.loads(loop.body)) == (flask.status_code, flask.json)
    said = {name.lower(): value for name, value in flask.headers.items()}
    assert {name: value for name, value in loop.headers.items() if name not in {"vary", "content-length"}} == {
        name: value for name, value in said.items() if name != "content-length"
    }
    text = stand.app.test_client().get("/metrics").text
    assert 'lamella_requests_total{method="GET",route="/healthz",status="200"} 2.0' in text


def test_a_client_that_goes_away_in_the_middle_is_no_request(stand):
    answered = call(stand.front, "POST", PATH, b'{"unit": "ann"}', headers=stand.headers(), is_whole=False)
    assert (answered.status, stand.at_once) == (0, 0)


def test_where_the_store_is_the_journal_nothing_runs_on_the_loop(lab):
    app = front(create_app(replace(lab.services, groups=None, metrics=CollectorRegistry()), secret=b"0" * 32))
    headers = {"Content-Type": "application/json", **lab.bearer("client")}
    for _ in range(2 * PROOFS):
        assert call(app, "POST", PATH, b'{"unit": "ann"}', headers=headers).status == 200
    assert app._routes == {}


def test_what_waits_is_brought_on_before_it_ends(stand):
    told, said = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}], []

    async def run() -> None:
        async def receive():
            return told.pop(0)

        async def send(message):
            said.append((message["type"], stand.together.is_closed))

        await stand.front({"type": "lifespan"}, receive, send)

    asyncio.run(run())
    assert said == [("lifespan.startup.complete", False), ("lifespan.shutdown.complete", True)]
