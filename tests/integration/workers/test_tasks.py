"""The tasks as shells: one use case each, one at a time, and one bad experiment never loses the others."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs

from lamella.adapters.redis.turns import Turns
from lamella.adapters.sql.journal import SqlJournal
from lamella.bootstrap.stores import stores
from lamella.bootstrap.worker import WorkerServices, worker_services
from lamella.config import Settings
from lamella.errors import StoreUnavailable
from lamella.events.codec import encode
from lamella.events.contract import Click
from lamella.experiments.model import (
    AnalysisPlan,
    BucketRange,
    Experiment,
    Layer,
    Parameter,
    ParameterType,
    Status,
    Variant,
)
from lamella.metrics.definitions import METRICS
from lamella.services.budgeting import Budget
from lamella.services.configuring import Configuring
from lamella.services.model_ports import Item, TrainingRun
from lamella.services.ports import ArmTotals, IngestReceipt
from lamella.testing.traffic import slate
from lamella_workers.process import Work
from lamella_workers.tasks import advance, analyse, ingest, train, upkeep

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    with Redis.from_url(redis_url) as client:
        client.flushdb()
    return Settings(data_dir=tmp_path, database_url=database_url, redis_url=redis_url)


@pytest.fixture
def services(settings: Settings) -> Iterator[WorkerServices]:
    services = worker_services(settings)
    yield services
    services.close()


def click(number: int) -> Click:
    return Click(event_id=f"e{number}", request_id="never-served", unit="u", item="i", time=NOW)


def configure(settings: Settings, *keys: str) -> None:
    """A layer and, over disjoint buckets of it, a running experiment for each key."""
    found = stores(settings)
    configuring = Configuring(found.configuration, found.clock, METRICS)
    configuring.create_layer(Layer(key="ranking", salt="ranking"), author="ann")
    parameter = Parameter(key="rank.model", type=ParameterType.STRING, default="mf", layer="ranking")
    configuring.create_parameter(parameter, author="ann")
    for number, key in enumerate(keys):
        experiment = Experiment(
            key=key,
            layer="ranking",
            name=key,
            hypothesis="it is better",
            variants=(
                Variant(key="control", weight=1, is_control=True, values={"rank.model": "mf"}),
                Variant(key="treatment", weight=1, values={"rank.model": "textcnn"}),
            ),
            plan=AnalysisPlan(primary_metric="ctr"),
            ranges=(BucketRange(start=number * 1000, stop=(number + 1) * 1000),),
        )
        configuring.create_experiment(experiment, author="ann")
        configuring.transition(key, "start", author="ann")
    found.engine.dispose()


class Failing:
    """An analysis store in front of another, which fails for one phase."""

    def __init__(self, inner: Any, phase: int, error: Exception) -> None:
        self._inner, self._phase, self._error = inner, phase, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def arm_totals(self, phase: int, columns: Sequence[str], **window: Any) -> Sequence[ArmTotals]:
        if phase == self._phase:
            raise self._error
        found: Sequence[ArmTotals] = self._inner.arm_totals(phase, columns, **window)
        return found


def test_drain_empties_the_inbox_and_a_second_one_changes_nothing(settings: Settings, services: WorkerServices) -> None:

    found = stores(settings)
    journal = SqlJournal(found.engine, found.clock, limit=10_000)
    for number in range(3):
        journal.append(encode([click(number)]))
    ingest.drain(services)
    after: Mapping[str, int] = found.record.counts()
    assert (after["inbox"], after["quarantine"]) == (0, 3)
    ingest.drain(services)
    assert found.record.counts() == after
    journal.close()
    found.engine.dispose()


class Counting:
    """A record whose inbox has so many groups, and then batches that came meanwhile."""

    def __init__(self, groups: int) -> None:
        self.groups, self.ingested = groups, 0

    def ingest(self, **_asked: object) -> IngestReceipt:
        self.ingested += 1
        return IngestReceipt(batches=7, stored={}, duplicate={}, quarantined={}, is_more=self.ingested < self.groups)


@pytest.mark.parametrize("groups", [1, 3])
def test_drain_ends_with_the_last_group_and_does_not_chase_what_comes_meanwhile(
    services: WorkerServices, groups: int
) -> None:
    record = Counting(groups)
    ingest.drain(replace(services, record=record))
    assert record.ingested == groups


def test_a_journal_that_is_out_of_reach_stops_no_ingest(services: WorkerServices, settings: Settings) -> None:
    folder = settings.data_dir / "journal"
    folder.mkdir()
    (folder / "loop.journal").symlink_to(folder / "loop.journal")
    record = Counting(1)
    with capture_logs() as logs:
        ingest.drain(replace(services, record=record))
    assert record.ingested == 1
    assert [each["event"] for each in logs if each["log_level"] == "warning"] == ["left where it is"]


def test_drain_leaves_the_inbox_to_the_worker_whose_turn_it_is(
    settings: Settings, services: WorkerServices, redis_url: str
) -> None:

    found = stores(settings)
    journal = SqlJournal(found.engine, found.clock, limit=10_000)
    journal.append(encode([click(1)]))
    with turns(redis_url) as other, other.take("ingest") as is_mine:
        assert is_mine
        ingest.drain(services)
        assert found.record.counts()["inbox"] == 1
    ingest.drain(services)
    assert found.record.counts()["inbox"] == 0
    journal.close()
    found.engine.dispose()


def test_every_running_experiment_gets_a_report(settings: Settings, services: WorkerServices) -> None:
    configure(settings, "one", "two", "three")
    found = stores(settings)
    Configuring(found.configuration, found.clock, METRICS).transition("three", "pause", author="ann")
    analyse.every(services)
    for key in ("one", "two"):
        document = services.analysis.latest_report(key)
        assert document is not None
        assert document["schema"] == "lamella.report/1"
    assert services.analysis.latest_report("three") is None
    found.engine.dispose()


class Timed:
    """The facts, where it takes so many seconds of `now` to look at the days."""

    def __init__(self, inner: Any, now: list[float], seconds: float) -> None:
        self._inner, self._now, self._seconds = inner, now, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def days(self, *asked: Any) -> Any:
        self._now[0] += self._seconds
        return self._inner.days(*asked)


def test_long_explorations_are_spread_over_rounds_and_every_experiment_has_its_turn(
    settings: Settings, services: WorkerServices
) -> None:
    configure(settings, "one", "two", "three")
    now = [0.0]
    budget = Budget(0.1, lambda: now[0])
    services = replace(services, facts=Timed(services.facts, now, 9.0), budget=budget)
    explored = []
    for _ in range(6):
        analyse.every(services)
        reports = {key: services.analysis.latest_report(key) or {} for key in ("one", "two", "three")}
        explored.append([key for key, report in reports.items() if "series" in report])
        now[0] += 60.0
    one, two, three = ["one"], ["one", "two"], ["one", "two", "three"]
    assert explored == [one, one, two, three, three, three]


@pytest.mark.parametrize("error", [ArithmeticError("a fault of ours")])
def test_one_bad_experiment_never_loses_the_others(
    settings: Settings, services: WorkerServices, error: Exception
) -> None:
    configure(settings, "bad", "good")
    bad = next(each for each in services.configuration.load().experiments if each.key == "bad").phases[-1].id
    with capture_logs() as logs:
        analyse.every(replace(services, analysis=Failing(services.analysis, bad, error)))
    assert services.analysis.latest_report("good") is not None
    assert services.analysis.latest_report("bad") is None
    assert [(log["event"], log["experiment"]) for log in logs if log["log_level"] == "error"] == [
        ("not analysed", "bad")
    ]


def test_a_store_that_is_away_ends_the_round(settings: Settings, services: WorkerServices) -> None:
    configure(settings, "one")
    phase = services.configuration.load().experiments[0].phases[-1].id
    away = replace(services, analysis=Failing(services.analysis, phase, StoreUnavailable("the store is away")))
    with pytest.raises(StoreUnavailable):
        analyse.every(away)


def test_a_report_without_data_decides_nothing(settings: Settings, services: WorkerServices) -> None:
    configure(settings, "one")
    analyse.one(services, "one")
    assert services.configuration.load().experiments[0].status is Status.RUNNING


def test_keeping_house_can_be_repeated(services: WorkerServices) -> None:
    upkeep.keep_house(services)
    upkeep.keep_house(services)


@pytest.mark.parametrize(
    ("status", "left", "version"),
    [("cancelled", "cancelled", None), ("cancelling", "cancelled", None), ("queued", "done", "newest@1")],
)
def test_a_training_that_was_cancelled_is_not_carried_out(
    services: WorkerServices, status: str, left: str, version: str | None
) -> None:
    services.trainings.put(
        TrainingRun(
            id="run-1",
            kind="newest",
            name="newest",
            hyperparameters={},
            seed=0,
            status=status,
            progress=0.0,
            message="",
            requested_at=NOW,
            requested_by="ann",
        )
    )
    found = stores(services.settings)
    found.catalogue.put([Item(key="i", title="I", published_at=NOW, attributes={})])
    found.engine.dispose()
    for _ in range(2):
        train.carry_out(services, "run-1")
        run = services.trainings.find("run-1")
        assert (run.status, run.reference) == (left, version)


def test_a_task_says_in_one_line_what_it_could_not_do(settings: Settings) -> None:
    def body(_services: WorkerServices, experiment: str) -> None:
        analyse.one(_services, experiment)

    with capture_logs() as logs:
        work = Work(settings)
        work.task(body)("nothing")
        work.services().close()
    assert [log["reason"] for log in logs] == ["no experiment 'nothing'; there is none yet"]


@contextmanager
def turns(url: str) -> Iterator[Turns]:
    opened = Turns(url)
    yield opened
    opened.close()


def test_a_turn_is_one_at_a_time_and_free_when_it_ends(redis_url: str) -> None:
    with turns(redis_url) as first, turns(redis_url) as second:
        with first.take("test") as mine, second.take("test") as theirs:
            assert (mine, theirs) == (True, False)
        with second.take("test") as mine:
            assert mine


def test_a_turn_is_taken_where_the_broker_is_away() -> None:
    with turns("redis://127.0.0.1:1/0") as away, away.take("test") as mine:
        assert mine


def test_what_is_due_is_done_in_a_revision_of_lamella(settings: Settings, services: WorkerServices) -> None:
    configure(settings, "bold")
    found = stores(settings)
    configuring = Configuring(found.configuration, found.clock, METRICS)
    bold = found.configuration.load().experiments[0]
    configuring.update_experiment(replace(bold, ends_at=found.clock.now()), author="ann")
    with capture_logs() as logs:
        advance.advance(services)
        advance.advance(services)
    assert [each["move"] for each in logs if each["event"] == "advanced"] == ["stop"]
    assert found.configuration.load().experiments[0].status is Status.STOPPED
    assert found.configuration.revisions(limit=1)[0].author == "lamella"
    found.engine.dispose()


def test_housekeeping_flags_heavy_units_archives_old_months_and_clears_old_quarantine(settings: Settings) -> None:
    busy = settings.model_copy(update={"retention_days": 1, "bot_slates_per_day": 2, "quarantine_days": 1})
    services, found = worker_services(busy), stores(busy)
    now = services.clock.now()
    journal = SqlJournal(found.engine, found.clock, limit=10)
    old = now - timedelta(days=70)
    journal.append(encode([slate(f"now-{n}", unit="busy", time=now) for n in range(3)]))
    journal.append(encode([slate("old", time=old), click(1)]))
    journal.close()
    services.record.ingest(limit=10, now=now - timedelta(days=2))
    with capture_logs() as logs:
        upkeep.keep_house(services)
    assert [each.unit for each in found.flags.all()] == ["busy"]
    assert {file.month.fact for file in found.old_facts.files()} == {"slate", "impression"}
    counts = services.record.counts()
    assert (counts["slate"], counts["quarantine"]) == (3, 0)
    assert {"units flagged", "quarantine cleared", "archived"} <= {line["event"] for line in logs}
    assert (busy.archive / "slate" / f"year={old:%Y}" / f"month={old:%m}" / "part-0.parquet").is_file()
    services.close()
    found.engine.dispose()
