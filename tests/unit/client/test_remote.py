import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lamella.client import RemoteClient
from lamella.errors import (
    ConfigurationInvalid,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    Overloaded,
    Unauthenticated,
    Unavailable,
)
from lamella.events.contract import Click, Interaction, Read

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
SLATE = {
    "request_id": "r1",
    "unit": "u1",
    "items": [{"item": "b", "rank": 1}, {"item": "a", "rank": 2}],
    "parameters": {"rank.model": "mf"},
    "assignments": [
        {"layer": "ranking", "experiment": "e", "variant": "treatment", "phase": 7, "reason": "SPLIT"},
        {"layer": "recall", "experiment": None, "variant": None, "phase": None, "reason": "STATIC"},
    ],
    "snapshot": 3,
    "models": {},
    "fallbacks": {"rank": "late"},
}


class Service:
    """A scripted HTTP service: answers in turn, the last one for ever, and keeps what it was asked."""

    def __init__(self) -> None:
        self.script: list[tuple[int, object]] = [(200, {})]
        self.asked: list[tuple[str, str, object, str]] = []
        self.connections = 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                service.connections += 1
                super().setup()

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                raw = self.rfile.read(length)
                service.asked.append(
                    (self.command, self.path, json.loads(raw) if raw else None, self.headers["Authorization"])
                )
                status, body = service.script.pop(0) if len(service.script) > 1 else service.script[0]
                if status == 0:
                    self.close_connection = True
                    return
                payload = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *args: object) -> None:
                """Says nothing."""

        for method in ("GET", "POST", "PUT"):
            setattr(Handler, f"do_{method}", Handler.answer)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.stop()


@pytest.fixture
def client(service: Service) -> Iterator[RemoteClient]:
    made = RemoteClient(service.url, "lam_key", timeout_seconds=60, patience_seconds=60)
    yield made
    made.close()


def problem(code: str, detail: str, **more: object) -> dict[str, object]:
    return {"type": "/docs", "title": "t", "status": 0, "code": code, "detail": detail, **more}


def test_a_slate_comes_back_in_rank_order_with_what_decided_it(service, client):
    service.script = [(200, SLATE)]
    slate = client.recommend("u1", context={"device": "tv"}, k=2, exclude=["z"], request_id="r1")
    assert slate.items == ("b", "a")
    assert [(each.phase, each.variant) for each in slate.assignments] == [(7, "treatment"), (None, None)]
    assert slate.fallbacks == {"rank": "late"}
    assert service.asked == [
        (
            "POST",
            "/v1/recommendations",
            {"unit": "u1", "request_id": "r1", "context": {"device": "tv"}, "k": 2, "exclude": ["z"]},
            "Bearer lam_key",
        )
    ]


def test_a_client_that_does_not_choose_a_request_id_still_sends_one(service, client):
    service.script = [(200, SLATE)]
    client.recommend("u1")
    client.recommend("u1")
    first, second = (asked[2]["request_id"] for asked in service.asked)
    assert first != second


@pytest.mark.parametrize("failure", [(503, problem("store_unavailable", "down")), (429, problem("overloaded", "full"))])
def test_a_repeatable_request_is_repeated_with_the_same_ids(service, client, failure):
    service.script = [failure, failure, (200, SLATE)]
    client.recommend("u1")
    assert len(service.asked) == 3
    assert len({asked[2]["request_id"] for asked in service.asked}) == 1


def test_a_request_whose_connection_broke_is_repeated(service, client):
    service.script = [(0, None), (200, SLATE)]
    assert client.recommend("u1", request_id="r9").items == ("b", "a")
    assert [asked[2]["request_id"] for asked in service.asked] == ["r9", "r9"]


def test_what_may_not_be_repeated_is_sent_once(service, client):
    service.script = [(503, problem("store_unavailable", "the store is down"))]
    with pytest.raises(Unavailable, match="the store is down"):
        client.create_layer({"key": "home"})
    assert len(service.asked) == 1


def test_requests_of_a_thread_share_one_connection(service, client):
    service.script = [(200, SLATE)]
    for _ in range(5):
        client.recommend("u1")
    assert service.connections == 1


def test_patience_ends(service):
    service.script = [(503, problem("unavailable", "not yet"))]
    client = RemoteClient(service.url, "k", patience_seconds=0.1)
    with pytest.raises(Unavailable, match="not yet"):
        client.recommend("u1")
    client.close()


def test_nobody_there_is_one_sentence_with_the_address():
    client = RemoteClient("http://127.0.0.1:9", "k", patience_seconds=0)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9 does not answer .* is the service up"):
        client.counts()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "invalid_input", InvalidInput),
        (400, "buckets_taken", ConfigurationInvalid),
        (401, "unauthenticated", Unauthenticated),
        (403, "forbidden", Forbidden),
        (404, "not_found", NotFound),
        (409, "illegal_transition", Conflict),
        (429, "overloaded", Overloaded),
        (500, "internal_error", Unavailable),
        (418, "teapot", InvalidInput),
    ],
)
def test_a_problem_becomes_our_error_with_its_own_sentence_and_code(service, client, status, code, kind):
    service.script = [(status, problem(code, "because of that"))]
    with pytest.raises(kind) as caught:
        client.move_experiment("e/1", "start")
    assert str(caught.value) == "because of that"
    assert caught.value.code == code
    assert service.asked[0][1] == "/v1/admin/experiments/e%2F1/start"


def test_every_fault_of_an_invalid_input_arrives(service, client):
    service.script = [(400, problem("invalid_input", "a; b", faults=["a", "b"]))]
    with pytest.raises(InvalidInput) as caught:
        client.create_parameter({})
    assert caught.value.faults == ("a", "b")


@pytest.mark.parametrize("answer", [b"<html>", [], {"items": []}])
def test_an_answer_of_something_else_is_said_to_be_none_of_ours(service, client, answer):
    service.script = [(200, answer)]
    with pytest.raises(Unavailable, match="is this a lamella service"):
        client.recommend("u1")


def test_events_go_in_batches_of_a_thousand_and_their_receipts_add_up(service, client):
    click = Click(event_id="e", request_id="r", unit="u", item="i", time=NOW)
    rejected = [{"index": 0, "event_id": "e", "code": "too_late", "reason": "too old"}]
    service.script = [(202, {"accepted": 1000, "rejected": []}), (202, {"accepted": 499, "rejected": rejected})]
    receipt = client.send_events([click] * 1_500)
    assert receipt.accepted == 1_499
    assert receipt.rejected == ("e: too old",)
    assert [len(asked[2]["events"]) for asked in service.asked] == [1_000, 500]


def test_each_kind_of_event_is_sent_with_its_own_fields(service, client):
    common = {"request_id": "r", "unit": "u", "item": "i", "time": NOW}
    service.script = [(202, {"accepted": 3, "rejected": []})]
    client.send_events(
        [
            Click(event_id="1", **common),
            Read(event_id="2", read_seconds=3.5, completion=None, **common),
            Interaction(event_id="3", action="share", **common),
        ]
    )
    click, read, interaction = service.asked[0][2]["events"]
    assert click["kind"] == "click"
    assert datetime.fromisoformat(click["time"]) == NOW
    assert (read["kind"], read["read_seconds"], read["completion"]) == ("read", 3.5, None)
    assert (interaction["kind"], interaction["action"]) == ("interaction", "share")


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", ""])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(InvalidInput, match="is not an address"):
        RemoteClient(url, "k")
