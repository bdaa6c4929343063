"""What the worker does about a verdict by itself, from the report to the revision, over real stores."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from lamella.bootstrap.worker import WorkerServices, worker_services
from lamella.config import Settings
from lamella.experiments.model import (
    AnalysisPlan,
    BucketRange,
    Experiment,
    Guardrail,
    Json,
    Layer,
    Parameter,
    ParameterType,
    Status,
    Variant,
)
from lamella.metrics.definitions import METRICS
from lamella.services.configuring import Configuring
from lamella.services.ports import ArmTotals
from lamella.stats.moments import Moments
from lamella_workers.tasks import analyse

UNITS = 4_000


class Measured:
    """An analysis store whose arms have these shares of clicked impressions and of articles read to the end."""

    def __init__(self, inner: Any, arms: dict[str, tuple[float, float]]) -> None:
        self._inner, self._arms = inner, arms

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def arm_totals(self, _phase: int, columns: Sequence[str], **_window: Any) -> Sequence[ArmTotals]:
        return [self._arm(number, variant, columns) for number, variant in enumerate(self._arms)]

    def _arm(self, number: int, variant: str, columns: Sequence[str]) -> ArmTotals:
        rng, (click_share, depth) = np.random.default_rng(number), self._arms[variant]
        clicks = rng.binomial(10, click_share, UNITS).astype(float)
        known = {
            "slates": np.ones(UNITS),
            "impressions": np.full(UNITS, 10.0),
            "clicks": clicks,
            "completion": np.clip(rng.normal(depth, 0.05, UNITS), 0, 1),
            "completion_reads": np.ones(UNITS),
        }
        rows = np.column_stack([known.get(column, np.zeros(UNITS)) for column in columns])
        moments = Moments.from_rows(columns, rows)
        return ArmTotals(variant=variant, moments=moments, crossed=0, slates=UNITS, fallback_slates=0)


@pytest.fixture
def services(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[WorkerServices]:
    found = worker_services(Settings(data_dir=tmp_path, database_url=database_url, redis_url=redis_url))
    yield found
    found.close()


def start(services: WorkerServices, on_verdict: str) -> None:
    configuring = Configuring(services.configuration, services.clock, METRICS)
    configuring.create_layer(Layer(key="ranking", salt="ranking"), author="ann")
    parameter = Parameter(key="rank.model", type=ParameterType.STRING, default="mf", layer="ranking")
    configuring.create_parameter(parameter, author="ann")
    experiment = Experiment(
        key="bold",
        layer="ranking",
        name="Bold",
        hypothesis="it is better",
        variants=(
            Variant(key="control", weight=1, is_control=True, values={"rank.model": "mf"}),
            Variant(key="treatment", weight=1, values={"rank.model": "textcnn"}),
        ),
        plan=AnalysisPlan(
            primary_metric="ctr",
            guardrails=(Guardrail(metric="reading_depth", margin=0.02),),
            method="always_valid",
            planned_days=None,
            minimum_days=0,
            on_verdict=on_verdict,
        ),
        ranges=(BucketRange(start=0, stop=10_000),),
    )
    configuring.create_experiment(experiment, author="ann")
    configuring.transition("bold", "start", author="ann")


def outcome(services: WorkerServices, *, treatment: tuple[float, float]) -> str:
    measured = Measured(services.analysis, {"control": (0.1, 0.6), "treatment": treatment})
    with capture_logs() as logs:
        analyse.one(replace(services, analysis=measured), "bold")  # type: ignore[arg-type]  # it stands for the store
    return str(logs[-1].get("outcome", logs[-1]["event"]))


def state(services: WorkerServices) -> tuple[Status, Json]:
    now = services.configuration.load()
    return now.experiments[0].status, now.parameters[0].default


def test_a_winner_becomes_the_default_in_one_audited_change(services: WorkerServices) -> None:
    start(services, "promote")
    before = services.configuration.version()
    assert outcome(services, treatment=(0.15, 0.6)) == "promoted"
    assert state(services) == (Status.STOPPED, "textcnn")
    made = services.configuration.revisions(limit=2)
    assert {(each.version, each.author, each.action, each.kind) for each in made} == {
        (before + 1, "lamella", "promote", "experiment"),
        (before + 1, "lamella", "promote", "parameter"),
    }
    assert outcome(services, treatment=(0.15, 0.6)) == "outdated"
    assert services.configuration.version() == before + 1


@pytest.mark.parametrize("on_verdict", ["promote", "stop"])
def test_harm_stops_it_and_leaves_the_default(services: WorkerServices, on_verdict: str) -> None:
    start(services, on_verdict)
    assert outcome(services, treatment=(0.15, 0.4)) == "stopped"
    assert state(services) == (Status.STOPPED, "mf")


@pytest.mark.parametrize(("on_verdict", "treatment"), [("recommend", (0.15, 0.6)), ("promote", (0.1, 0.6))])
def test_everything_else_is_left_to_people(
    services: WorkerServices, on_verdict: str, treatment: tuple[float, float]
) -> None:
    start(services, on_verdict)
    assert outcome(services, treatment=treatment) == "recommended"
    assert state(services) == (Status.RUNNING, "mf")
