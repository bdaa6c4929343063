"""What the analysis writes is what the reports read."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from rich.console import Console

from lamella.experiments.model import AnalysisPlan, BucketRange, Experiment, Guardrail, Phase, Status, Variant
from lamella.reporting import csv, terminal
from lamella.reporting.document import read_report
from lamella.reporting.html import render_report
from lamella.services.analysing import build_report, columns_of
from lamella.services.ports import ArmTotals
from lamella.stats.moments import Moments
from unit.reporting.markup import parse

START = datetime(2026, 3, 2, tzinfo=UTC)


def experiment(**plan):
    return Experiment(
        key="e", layer="ranking", name="E", hypothesis="h", status=Status.RUNNING,
        variants=(Variant(key="a", weight=1, is_control=True), Variant(key="b", weight=1), Variant(key="c", weight=1)),
        plan=AnalysisPlan(primary_metric="ctr", guardrails=(Guardrail(metric="reading_depth", margin=0.02),), **plan),
        ranges=(BucketRange(start=0, stop=10_000),),
        phases=(Phase(id=1, number=1, salt="s", started_at=START, weights={"a": 1, "b": 1, "c": 1}),),
    )  # fmt: skip


def arms(subject, units, *, clicks=0.05, seed=1):
    rng, columns = np.random.default_rng(seed), columns_of(subject.plan)
    made = []
    for index, variant in enumerate(subject.variants):
        rows = rng.poisson(20.0, size=(units, len(columns))).astype(float)
        for position, column in enumerate(columns):
            if column.endswith("clicks"):
                rows[:, position] = rng.binomial(20, clicks * (1 + 0.2 * index), size=units)
        moments = Moments.from_rows(columns, rows)
        made.append(ArmTotals(variant=variant.key, moments=moments, crossed=0, slates=units, fallback_slates=0))
    return made


def looks(subject, units, **options):
    documents = []
    for day in (3, 6, 9, 12, 14):
        totals = arms(subject, units * day, **options)
        now = START + timedelta(days=day)
        documents.append(build_report(subject, subject.phases[0], totals, list(documents), now))
    return documents


@pytest.mark.parametrize(
    ("plan", "units", "clicks"),
    [
        ({}, 200, 0.05),
        ({}, 0, 0.05),
        ({}, 1, 0.0),
        ({}, 40, 0.0),
        ({"covariate_days": 14}, 200, 0.05),
        ({"method": "always_valid", "planned_days": None}, 200, 0.05),
        ({"method": "fixed_horizon"}, 200, 0.05),
    ],
    ids=["sequential", "nobody", "hardly anybody", "no clicks", "cuped", "always valid", "fixed horizon"],
)
def test_every_report_of_the_analysis_can_be_shown(plan, units, clicks):
    documents = looks(experiment(**plan), units, clicks=clicks)
    for lang in ("en", "zh"):
        tree = parse(render_report(documents[-1], documents, lang=lang))
        assert len(tree.all("article")) == 1
        with Console(file=None, width=80, quiet=True) as console:
            terminal.render(documents, console=console, lang=lang)
    metrics = read_report(documents[-1]).metrics
    assert len(csv.rows(documents[-1])) == 3 * len(metrics)


def test_the_boundary_chart_has_the_looks_that_the_analysis_took():
    documents = looks(experiment(), 200)
    stops = read_report(documents[-1]).looks.stops
    assert len(stops) == documents[-1]["looks"]["taken"]
    assert "Stopping boundary" in render_report(documents[-1], documents)


def test_the_lift_on_the_page_is_the_one_that_the_analysis_used():
    documents = looks(experiment(covariate_days=14), 200)
    comparison = read_report(documents[-1]).metrics[0].comparisons[0]
    assert comparison.adjusted is not None
    assert comparison.used is comparison.adjusted
