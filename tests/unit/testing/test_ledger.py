import http.server
import threading

import pytest

from lamella.testing.ledger import Caller, Ledger
from lamella.testing.proxies import Mode, proxy

ANSWER = {
    "unit": "u1",
    "items": [{"item": "a"}, {"item": "b"}, {"item": "c"}],
    "assignments": [
        {"experiment": "sizes", "variant": "three"},
        {"experiment": None, "variant": None},
    ],
}


def event(kind, event_id, **more):
    return {"kind": kind, "event_id": event_id, "request_id": "r1", "unit": "u1", "item": "a", **more}


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers each POST with what it got; the first `refusals` are 503."""

    protocol_version = "HTTP/1.1"
    refusals = 0
    seen: list[bytes] = []  # noqa: RUF012 - one list for the server's life

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(body)
        status = 503 if type(self).refusals else 202
        type(self).refusals = max(0, type(self).refusals - 1)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Silence."""


@pytest.fixture
def echo():
    Echo.seen, Echo.refusals = [], 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def caller_of():
    made = []

    def make(port, repeats, *, timeout_seconds=30):
        url = f"http://127.0.0.1:{port}"
        made.append(Caller(url, "key", timeout_seconds=timeout_seconds, on_repeat=lambda: repeats.append(1)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_the_ledger_counts_each_unit_under_its_variant():
    ledger = Ledger()
    ledger.shown("r1", ANSWER)
    events = [
        event("click", "c1"),
        event("read", "d1", read_seconds=2.5, completion=0.25),
        event("interaction", "i1", action="share"),
        event("interaction", "i2", action="like"),
        event("click", "late"),
    ]
    ledger.acknowledged(events, {"rejected": [{"index": 4, "code": "too_late"}]})
    assert ledger.ids("click") == {"c1"}
    assert ledger.refused == {"late": "too_late"}
    (unit,) = ledger.totals("sizes")["three"].values()
    assert unit == {
        "slates": 1,
        "impressions": 3,
        "clicks": 1,
        "reads": 1,
        "completion_reads": 1,
        "read_micros": 2_500_000,
        "completion_micros": 250_000,
        "interactions": 2,
        "shares": 1,
    }


def test_an_event_that_was_refused_and_then_taken_is_acknowledged():
    ledger = Ledger()
    ledger.acknowledged([event("click", "c1")], {"rejected": [{"index": 0, "code": "in_future"}]})
    ledger.acknowledged([event("click", "c1")], {"rejected": []})
    assert (ledger.refused, set(ledger.events)) == ({}, {"c1"})


def test_a_caller_sends_the_same_again_until_it_is_answered(echo, caller_of):
    Echo.refusals, repeats = 2, []
    assert caller_of(echo, repeats).post("/x", {"a": 1}) == {"a": 1}
    assert (len(repeats), Echo.seen) == (2, [b'{"a":1}'] * 3)


@pytest.mark.parametrize(("mode", "arrives"), [(Mode.CUT, True), (Mode.HANG, True), (Mode.REFUSE, False)])
def test_a_proxy_keeps_back_what_its_mode_says_and_lets_everything_through_again(echo, caller_of, mode, arrives):
    repeats = []
    with proxy("127.0.0.1", echo) as between:
        between.mode = mode
        answers = []
        caller = caller_of(between.port, repeats, timeout_seconds=2 if mode is Mode.HANG else 30)
        thread = threading.Thread(target=lambda: answers.append(caller.post("/x", {"a": 1})))
        thread.start()
        for _ in range(2_000):
            if repeats and (between.lost or not arrives):
                break
            thread.join(0.05)
        assert bool(Echo.seen) is arrives
        assert (between.lost > 0) is arrives
        between.mode = Mode.OPEN
        thread.join(100)
        assert answers == [{"a": 1}]
