"""A whole installation to be broken: every process apart, so that each can be killed, and an audit of what is left."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from lamella.adapters import lifeline
from lamella.adapters.clock import set_clock
from lamella.adapters.redis.embedded import EmbeddedBroker
from lamella.adapters.sql import migrations
from lamella.adapters.sql.schema import click, interaction, quarantine, read, slate
from lamella.bootstrap.journals import leftovers_of
from lamella.bootstrap.stores import Stores, stores
from lamella.config import Settings
from lamella.errors import StoreUnavailable
from lamella.experiments.document import experiment_from_document, layer_from_document, parameter_from_document
from lamella.metrics.definitions import METRICS
from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.registry import FolderRegistry, TrainedModel
from lamella.services.analysing import analyse
from lamella.services.configuring import Configuring
from lamella.services.keys import Keys
from lamella.testing.cluster import Cluster, tree
from lamella.testing.ledger import Ledger, Reader

EXPERIMENT = "sizes"
STARTED_BEFORE = timedelta(hours=3)
"""How long before the first request the experiment starts: events of a slow clock lie in it."""

EVENTS = {"click": click, "read": read, "interaction": interaction}
RATIOS = {
    "ctr": (("clicks",), "impressions", 1),
    "reading_depth": (("completion_micros",), "completion_reads", 1e6),
    "dwell_per_read": (("read_micros",), "reads", 1e6),
    "interaction_rate": (("comments", "shares"), "impressions", 1),
    "articles_per_user": (("clicks",), "units", 1),
}
_PATIENCE_SECONDS = 90.0


@dataclass
class Program:
    """A command as a tree of processes."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    kills: int = 0
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                lifeline.command(list(self.command)),
                env={**foreign_environment(), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def heal(self) -> None:
        """Starts it again where it has ended."""
        if self.process is None or self.process.poll() is not None:
            self.start()

    def kill(self, rng: random.Random) -> None:
        """kill -9 of one process of the tree; the first, whose end ends the others, every second time."""
        assert self.process is not None
        pids = tree(self.process.pid)
        victim = pids[0] if rng.random() < 0.5 else rng.choice(pids)
        _signal(victim, signal.SIGKILL)
        self.kills += 1

    def ask_to_stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def stop(self) -> None:
        self.ask_to_stop()
        if self.process is not None:
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@dataclass
class Lab:
    """The installation under test. `offset` is how wrong the clock of the servers is."""

    settings: Settings
    stores: Stores
    key: str
    cluster: Cluster | None
    programs: dict[str, Program]
    ledger: Ledger = field(default_factory=Ledger)
    offset: timedelta = timedelta()
    kills: int = 0
    ingested: int = 0

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{each.environment['LAMELLA_PORT']}" for each in self.webs]

    @property
    def webs(self) -> list[Program]:
        return [each for name, each in self.programs.items() if name.startswith("web")]

    def reader(self, seed: int, stop: threading.Event, **options) -> Reader:
        """A client of one of the web processes."""
        url = options.pop("url", None) or self.urls[seed % len(self.urls)]
        return Reader(self.ledger, url, self.key, rng=random.Random(seed), stop=stop, **options)

    @contextmanager
    def load(self, readers: int = 4, **options) -> Iterator[None]:
        """Readers that read while the block runs; at its end each brings its visit to an end."""
        stop = threading.Event()
        crowd = [self.reader(1000 * len(self.ledger.slates) + n, stop, **options) for n in range(readers)]
        for each in crowd:
            each.start()
        try:
            yield
        finally:
            stop.set()
            self.heal_until(lambda: not any(each.is_alive() for each in crowd), "the readers to end")
        assert not self.ledger.failures, self.ledger.failures

    def progress(self, slates: int = 20) -> None:
        """Returns when so many more lists were acknowledged, with what died started again meanwhile."""
        wanted = len(self.ledger.slates) + slates
        self.heal_until(lambda: len(self.ledger.slates) >= wanted or bool(self.ledger.failures), "the load to go on")
        assert not self.ledger.failures, self.ledger.failures

    def heal_until(self, claim: Callable[[], object], what: str, seconds: float = _PATIENCE_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not claim():
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            self.heal()
            time.sleep(0.05)

    def heal(self) -> None:
        if self.cluster is not None:
            self.cluster.heal()
        for each in self.programs.values():
            each.heal()

    def kill(self, name: str, rng: random.Random) -> None:
        """kill -9 of a process of web, worker, beat, broker or the store; a worker has stored something before."""
        if name == "store":
            assert self.cluster is not None
            self.cluster.kill(rng)
        else:
            if name == "worker":
                self.heal_until(lambda: self.counts().get("slate", 0) > self.ingested, "the worker to ingest")
                self.ingested = self.counts().get("slate", 0)
            self.programs[name].kill(rng)
        self.kills += 1

    def counts(self) -> Mapping[str, int]:
        try:
            return self.stores.record.counts()
        except StoreUnavailable:
            return {}

    def drained(self) -> None:
        left = leftovers_of(self.settings, self.stores)
        self.heal_until(lambda: left.waiting() == 0, "the journal to be forwarded")
        self.heal_until(lambda: self.counts().get("inbox") == 0, "the inbox to be ingested")

    def scalar(self, statement: sa.Select) -> int:
        with self.stores.engine.connect() as connection:
            return int(connection.execute(statement).scalar_one())

    def audit(self, fault: str, *, quarantined: Mapping[str, int] | None = None) -> None:
        """Holds the record to the client's own log, and prints the figures."""
        self.drained()
        stored = Audit(self).run(quarantined or {})
        ledger = self.ledger
        print(  # noqa: T201 - the figures are what a long run is for
            f"\n{fault}: {len(ledger.slates)} lists and {len(ledger.events)} events acknowledged, {stored} "
            f"stored; {ledger.repeats} requests sent again, {len(ledger.refused)} events refused; none lost or doubled"
        )


class Audit:
    """Acknowledged equals stored, nothing twice, and the metrics equal a recount from the ledger."""

    def __init__(self, lab: Lab) -> None:
        self._lab, self._ledger = lab, lab.ledger

    def run(self, quarantined: Mapping[str, int]) -> int:
        stored = self._same(slate, "request_id", set(self._ledger.slates))
        for kind, table in EVENTS.items():
            stored += self._same(table, "event_id", self._ledger.ids(kind))
        with self._lab.stores.engine.connect() as connection:
            rows = connection.execute(
                sa.select(quarantine.c.reason, sa.func.count().label("number")).group_by(quarantine.c.reason)
            )
            assert {row.reason: row.number for row in rows} == dict(quarantined)
        self._metrics()
        return stored

    def _same(self, table: sa.Table, column: str, acknowledged: set[str]) -> int:
        with self._lab.stores.engine.connect() as connection:
            stored = list(connection.execute(sa.select(table.c[column])).scalars())
        lost, extra = acknowledged - set(stored), set(stored) - acknowledged
        assert not lost, f"{len(lost)} acknowledged and not in {table.name}, such as {sorted(lost)[:3]}"
        assert not extra, f"{len(extra)} in {table.name} that the client never heard of, such as {sorted(extra)[:3]}"
        assert len(stored) == len(acknowledged), f"{len(stored) - len(acknowledged)} rows twice in {table.name}"
        return len(stored)

    def _metrics(self) -> None:
        lab = self._lab
        report = analyse(EXPERIMENT, lab.stores.configuration, lab.stores.analysis, lab.stores.clock)
        totals = self._ledger.totals(EXPERIMENT)
        units = {each["variant"]: each["units"] for each in report["variants"]}
        assert units == {variant: len(found) for variant, found in totals.items()}
        arms = {(m["metric"], arm["variant"]): arm["value"] for m in report["metrics"] for arm in m["arms"]}
        for metric, (numerators, denominator, scale) in RATIOS.items():
            for variant, found in totals.items():
                above = sum(unit[name] for unit in found.values() for name in numerators) / scale
                below = len(found) if denominator == "units" else sum(unit[denominator] for unit in found.values())
                assert np.isclose(arms[metric, variant], above / below, rtol=1e-9), (metric, variant)


@contextmanager
def laboratory(folder: Path, *, cluster: Cluster | None = None, webs: int = 1) -> Iterator[Lab]:
    """An installation over the cluster, or over SQLite, with an experiment that runs; it ends with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    broker = EmbeddedBroker(folder / "broker")
    settings = Settings(
        data_dir=folder,
        database_url=cluster.url if cluster else f"sqlite:///{folder / 'lamella.db'}",
        redis_url=broker.url,
        worker_processes=1,
        ingest_seconds=0.1,
        analyse_seconds=2.0,
        stage_deadline_ms=5000,
        log_level="warning",
        clock_file=folder / "clock",
    )
    set_clock(folder / "clock", datetime.now(UTC) - STARTED_BEFORE)
    migrations.upgrade(settings.sql_url)
    found = stores(settings, pool_size=2)
    lab = Lab(settings, found, _configure(settings, found), cluster, _programs(settings, broker, webs))
    ended = threading.Event()
    clock = threading.Thread(target=_tick, args=(lab, ended), daemon=True)
    clock.start()
    try:
        for each in lab.programs.values():
            each.start()
        lab.heal_until(lambda: all(_is_up(url) for url in lab.urls), "the web processes to answer")
        yield lab
    finally:
        ended.set()
        served = [each for each in lab.programs.values() if each.name != "broker"]
        for each in served:
            each.ask_to_stop()
        for each in [*served, lab.programs["broker"]]:
            each.stop()
        clock.join()
        found.engine.dispose()


def foreign_environment() -> dict[str, str]:
    """The environment without the settings of the person who runs the tests."""
    return {name: text for name, text in os.environ.items() if not name.startswith("LAMELLA_")}


def _programs(settings: Settings, broker: EmbeddedBroker, webs: int) -> dict[str, Program]:
    logs = settings.data_dir / "logs"
    logs.mkdir()
    environment = {name: text for name, text in settings.to_environment().items() if name != "LAMELLA_PORT"}
    module = [sys.executable, "-m", "lamella"]
    made = [
        Program("broker", broker.command(), {}, logs / "broker"),
        Program("beat", [*module, "beat"], environment, logs / "beat"),
        Program("worker", [*module, "worker", "--queue", "default"], environment, logs / "worker"),
    ]
    for number in range(1, webs + 1):
        name = "web" if webs == 1 else f"web{number}"
        own = {**environment, "LAMELLA_PORT": str(_free_port())}
        made.append(Program(name, [*module, "web"], own, logs / name))
    return {each.name: each for each in made}


def _configure(settings: Settings, found: Stores) -> str:
    """An experiment in which everybody is, over a model of fifty items; a client's key."""
    items, now = tuple(f"item-{number}" for number in range(50)), found.clock.now()
    model = FactorModel(
        user_ids=(),
        user_vectors=np.zeros((0, 0), dtype=np.float32),
        user_bias=np.zeros(0, dtype=np.float32),
        item_ids=items,
        item_vectors=np.zeros((len(items), 0), dtype=np.float32),
        item_bias=-np.arange(len(items), dtype=np.float32) / 10,
        intercept=0.0,
        unknown_item_bias=-9.0,
        rank_bias=np.zeros(1, dtype=np.float32),
    )
    trained = TrainedModel(
        kind="popularity", factors=model, files={}, probe_error=0.0, hyperparameters={}, metrics={}, stamp={}
    )
    FolderRegistry(settings.models, found.models).publish(trained, name="popularity", at=now)
    configuring = Configuring(found.configuration, found.clock, METRICS)
    configuring.create_layer(layer_from_document({"key": "list"}), author="lab")
    size = {"key": "slate.size", "type": "integer", "default": 5, "layer": "list"}
    configuring.create_parameter(parameter_from_document(size), author="lab")
    experiment = {
        "key": EXPERIMENT,
        "layer": "list",
        "name": "How long a list",
        "hypothesis": "Shorter lists are read",
        "ranges": [{"start": 0, "stop": 10_000}],
        "variants": [
            {"key": "five", "weight": 1, "is_control": True, "values": {}},
            {"key": "three", "weight": 1, "values": {"slate.size": 3}},
        ],
        "plan": {"primary_metric": "ctr"},
    }
    configuring.create_experiment(experiment_from_document(experiment), author="lab")
    configuring.transition(EXPERIMENT, "start", author="lab")
    return Keys(found.keys, found.clock).create("reader", "client")


def _tick(lab: Lab, ended: threading.Event) -> None:
    while not ended.wait(0.01):
        set_clock(lab.settings.data_dir / "clock", datetime.now(UTC) + lab.offset)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
