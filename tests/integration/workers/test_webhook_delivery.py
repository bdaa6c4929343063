"""From a change to the receiver: the outbox is part of the change, and a worker empties it."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from configurations import draft
from lamella.adapters.http_sender import HttpSender
from lamella.adapters.sql.analysis import SqlAnalysisStore
from lamella.adapters.sql.configuration import SqlConfigurationStore
from lamella.adapters.sql.webhooks import SqlWebhookStore
from lamella.bootstrap.worker import worker_services
from lamella.config import Settings
from lamella.errors import ConfigurationMoved, Unavailable
from lamella.experiments.model import Layer, Parameter, ParameterType
from lamella.metrics.definitions import METRICS
from lamella.services.configuring import Configuring
from lamella.services.webhooks import MOST_TRIES, Delivering, Webhooks
from lamella.testing.fakes import START, FakeClock
from lamella_workers.tasks import deliver


class Receiver(HTTPServer):
    """Keeps what was sent; answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?x=1"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), body))
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(engine) -> SqlWebhookStore:
    return SqlWebhookStore(engine)


@pytest.fixture
def configuring(engine, clock) -> Configuring:
    return Configuring(SqlConfigurationStore(engine), clock, METRICS)


def delivering(store, clock, *, private=True) -> Delivering:
    return Delivering(store, HttpSender(private_addresses=private, timeout_seconds=60), clock)


def test_a_change_reaches_the_receiver_once_and_signed(store, clock, configuring, receiver):
    hook = Webhooks(store, clock).subscribe(receiver.url, ["layer.*"], by="ann")
    configuring.create_layer(Layer(key="ranking", salt="ranking"), author="ann")
    configuring.kill(author="ann")
    assert delivering(store, clock).deliver() == 1
    assert delivering(store, clock).deliver() == 0
    ((headers, body),) = receiver.got
    event = json.loads(body)
    assert (event["event"], event["key"], event["author"]) == ("layer.create", "ranking", "ann")
    assert (event["before"], event["after"]["salt"]) == (None, "ranking")
    fields = dict(part.split("=", 1) for part in headers["Lamella-Signature"].split(","))
    signed = f"{fields['t']}.".encode() + body
    assert fields["v1"] == hmac.new(hook.secret.encode(), signed, hashlib.sha256).hexdigest()
    assert int(fields["t"]) == int(START.timestamp())
    assert headers["Lamella-Delivery"] == str(event["id"])
    assert [each.status for each in store.deliveries(hook.id)] == ["delivered"]


def test_a_change_that_was_not_stored_tells_nobody(store, clock, engine, receiver):
    Webhooks(store, clock).subscribe(receiver.url, ["*"], by="ann")
    configuration = SqlConfigurationStore(engine)
    now = configuration.load()
    configuration.commit(now, author="ann", action="touch", at=START)
    with pytest.raises(ConfigurationMoved):
        configuration.commit(now, author="ann", action="touch", at=START)
    assert store.due(START, limit=10) == []


def test_a_failed_delivery_waits_longer_each_time_and_dies_in_the_end(store, clock, configuring, receiver):
    hook = Webhooks(store, clock).subscribe(receiver.url, ["*"], by="ann")
    configuring.create_layer(Layer(key="ranking", salt="ranking"), author="ann")
    receiver.status = 500
    waits = []
    for _ in range(MOST_TRIES):
        (due,) = store.due(clock.now(), limit=10)
        assert delivering(store, clock).deliver() == 1
        (after,) = store.deliveries(hook.id)
        waits.append((after.due_at - clock.now()).total_seconds())
        assert after.tries == due.tries + 1
        clock.move(max(after.due_at - clock.now(), timedelta(0)))
    assert waits[:4] == [5, 10, 20, 40]
    assert (after.status, after.answer) == ("dead", "HTTP 500")
    clock.move(timedelta(days=30))
    assert delivering(store, clock).deliver() == 0
    assert len({headers["Lamella-Delivery"] for headers, _ in receiver.got}) == 1


def test_a_receiver_that_comes_back_gets_it(store, clock, configuring, receiver):
    hook = Webhooks(store, clock).subscribe(receiver.url, ["*"], by="ann")
    configuring.create_layer(Layer(key="ranking", salt="ranking"), author="ann")
    receiver.status = 503
    delivering(store, clock).deliver()
    receiver.status = 204
    clock.move(timedelta(seconds=5))
    delivering(store, clock).deliver()
    (after,) = store.deliveries(hook.id)
    assert (after.status, after.tries, after.answer) == ("delivered", 2, "HTTP 204")


def test_redirects_are_not_followed(store, clock, configuring, receiver):
    hook = Webhooks(store, clock).subscribe(receiver.url, ["*"], by="ann")
    configuring.create_layer(Layer(key="ranking", salt="ranking"), author="ann")
    receiver.status = 302
    delivering(store, clock).deliver()
    assert [each.answer for each in store.deliveries(hook.id)] == ["HTTP 302"]
    assert len(receiver.got) == 1


def test_a_private_address_is_refused_unless_it_is_allowed(store, clock, configuring, receiver):
    hook = Webhooks(store, clock).subscribe(receiver.url, ["*"], by="ann")
    configuring.create_layer(Layer(key="ranking", salt="ranking"), author="ann")
    delivering(store, clock, private=False).deliver()
    assert receiver.got == []
    assert "no public address" in store.deliveries(hook.id)[0].answer


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "10.0.0.8", "169.254.169.254", "192.168.1.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"],
)
def test_no_private_address_is_reached_by_any_spelling(host):
    with pytest.raises(Unavailable, match="no public address"):
        HttpSender().send(f"http://{host}:9/x", b"{}", {})


def test_a_removed_webhook_takes_its_outbox_along(store, clock, configuring, receiver):
    webhooks = Webhooks(store, clock)
    hook = webhooks.subscribe(receiver.url, ["*"], by="ann")
    configuring.create_layer(Layer(key="ranking", salt="ranking"), author="ann")
    webhooks.cancel(hook.id)
    assert delivering(store, clock).deliver() == 0


@pytest.fixture
def settings(database_url, redis_url, tmp_path) -> Settings:
    return Settings(data_dir=tmp_path, database_url=database_url, redis_url=redis_url, webhook_private_addresses=True)


def test_the_task_of_the_schedule_empties_the_outbox(settings, store, clock, receiver):
    Webhooks(store, clock).subscribe(receiver.url, ["*"], by="ann")
    services = worker_services(settings)
    configuring = Configuring(services.configuration, services.clock, METRICS)
    for number in range(25):
        configuring.create_layer(Layer(key=f"layer-{number}", salt=f"layer-{number}"), author="ann")
    deliver.empty_outbox(services)
    services.close()
    assert len(receiver.got) == 25


def test_a_verdict_is_told_by_the_transaction_of_its_report(store, clock, engine):
    hook = Webhooks(store, clock).subscribe("https://example.org/hook", ["verdict.*"], by="ann")
    analysis = SqlAnalysisStore(engine)

    def keep(decision: str, phase: int = 1) -> None:
        verdict = {"decision": decision, "variant": "b", "reason": "Because."}
        document = {"experiment": {"key": "bold", "phase": phase}, "verdict": verdict, "as_of": START.isoformat()}
        analysis.save_report("bold", phase, START, document)

    for decision in ("keep_running", "keep_running", "stop_for_harm", "stop_for_harm"):
        keep(decision)
    keep("ship", phase=2)
    told = [(each.event, each.body["after"]["decision"]) for each in store.deliveries(hook.id)][::-1]
    assert told == [
        ("verdict.changed", "stop_for_harm"),
        ("verdict.harm", "stop_for_harm"),
        ("verdict.changed", "ship"),
    ]


def test_a_step_of_a_ramp_is_told(store, clock, configuring):
    hook = Webhooks(store, clock).subscribe("https://example.org/hook", ["experiment.ramp"], by="ann")
    for layer in ("recall", "ranking"):
        configuring.create_layer(Layer(key=layer, salt=layer), author="ann")
    rank = Parameter(key="rank.model", type=ParameterType.STRING, default="mf", layer="ranking")
    configuring.create_parameter(rank, author="ann")
    configuring.create_experiment(draft(ranges=((0, 100),)), author="ann")
    configuring.transition("textcnn", "start", author="ann")
    configuring.ramp("textcnn", 0.5, author="lamella")
    (told,) = store.deliveries(hook.id)
    assert (told.event, told.body["key"], told.body["author"]) == ("experiment.ramp", "textcnn", "lamella")


def test_what_ended_long_ago_is_forgotten_and_what_is_under_way_is_not(store, clock, configuring, receiver):
    hook = Webhooks(store, clock).subscribe(receiver.url, ["*"], by="ann")
    configuring.create_layer(Layer(key="ranking", salt="ranking"), author="ann")
    delivering(store, clock).deliver()
    configuring.create_layer(Layer(key="recall", salt="recall"), author="ann")
    clock.move(timedelta(days=29))
    assert delivering(store, clock).forget() == 0
    clock.move(timedelta(days=2))
    assert delivering(store, clock).forget() == 1
    assert [each.status for each in store.deliveries(hook.id)] == ["pending"]


def test_a_webhook_that_is_not_active_gets_nothing(store, clock, configuring):
    webhooks = Webhooks(store, clock)
    hook = webhooks.subscribe("https://example.org/hook", ["*"], by="ann")
    webhooks.change(hook.id, is_active=False)
    configuring.create_layer(Layer(key="ranking", salt="ranking"), author="ann")
    assert store.deliveries(hook.id) == []
