"""The report of an experiment with declared metrics, end to end over both stores."""

from datetime import timedelta

import numpy as np
import pytest

from lamella.adapters.sql.analysis import SqlAnalysisStore
from lamella.adapters.sql.configuration import SqlConfigurationStore
from lamella.adapters.sql.exploration import SqlFactStore
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.record import SqlRecordStore
from lamella.client.frames import report_frame
from lamella.events.codec import encode
from lamella.experiments.measures import metric_from_document
from lamella.experiments.model import (
    AnalysisPlan,
    BucketRange,
    Configuration,
    Experiment,
    Guardrail,
    Layer,
    Phase,
    Status,
    Variant,
)
from lamella.reporting import csv, html
from lamella.services.analysing import analyse, analyse_and_keep
from lamella.services.budgeting import Budget, Round
from lamella.services.slicing import segments_of
from lamella.stats.means import welch
from lamella.stats.moments import Moments
from lamella.stats.quantiles import clustered_quantile
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW
from recounting import PHASE, first_exposures, unit_rows, values, varied_traffic

UNTIL = NOW + timedelta(hours=1)
SECONDS = {"event": "read", "property": "read_seconds"}
METRICS = tuple(
    map(
        metric_from_document,
        [
            {"key": "seconds", "kind": "mean", "measure": SECONDS, "unit": "seconds", "winsorise": 0.95},
            {"key": "p50", "kind": "quantile", "quantile": 0.5, "measure": SECONDS},
            {
                "key": "completed",
                "kind": "ratio",
                "measure": {"event": "read", "property": "completion"},
                "denominator": {"event": "read", "filter": {"!=": [{"var": "completion"}, None]}},
            },
            {
                "key": "back",
                "kind": "retention",
                "measure": {"event": "slate"},
                "window": {"start_hours": 24, "end_hours": 48},
            },
            {"key": "unused", "kind": "mean", "measure": {"event": "click"}},
        ],
    )
)


def experiment(key, phase, variants, **plan):
    return Experiment(
        key=key,
        layer=key,
        name=key,
        hypothesis="It helps",
        status=Status.RUNNING,
        variants=tuple(Variant(key=each, weight=1, is_control=each == variants[0]) for each in variants),
        ranges=(BucketRange(start=0, stop=10_000),),
        plan=AnalysisPlan(**{"primary_metric": "seconds", "method": "fixed_horizon", "planned_days": 7, **plan}),
        phases=(
            Phase(
                id=phase,
                number=1,
                salt=key,
                started_at=NOW - timedelta(days=7),
                weights=dict.fromkeys(variants, 1),
            ),
        ),
    )


@pytest.fixture
def shop(engine):
    """The stores with an experiment whose plan names declared metrics, and another beside it."""
    records = varied_traffic(9)
    journal, store = SqlJournal(engine, FakeClock(NOW), limit=10_000), SqlRecordStore(engine)
    for start in range(0, len(records), 300):
        journal.append(encode(records[start : start + 300]))
    store.ingest(limit=1_000, now=NOW + timedelta(hours=12))
    journal.close()
    main = experiment(
        "main",
        PHASE,
        ["a", "b"],
        guardrails=(Guardrail(metric="p50", margin=0.1),),
        secondary_metrics=("completed", "back", "ctr"),
        planned_days=8,
    )
    beside = experiment("beside", PHASE + 1, ["only", "none"], primary_metric="ctr", planned_days=8)
    configurations = SqlConfigurationStore(engine)
    layers = (Layer(key="main", salt="main"), Layer(key="beside", salt="beside"))
    configurations.commit(
        Configuration(layers=layers, experiments=(main, beside), metrics=METRICS), author="t", action="t", at=NOW
    )
    return records, configurations, SqlAnalysisStore(engine), SqlFactStore(engine)


def test_declared_metrics_are_reported_in_their_roles_with_their_inputs(shop):
    records, configurations, analyses, facts = shop
    report = analyse("main", configurations, analyses, FakeClock(UNTIL), facts)
    metrics = {each["metric"]: each for each in report["metrics"]}
    assert [metrics[key]["role"] for key in ("seconds", "p50", "completed", "back", "ctr", "reading_depth")] == [
        "primary",
        "guardrail",
        "secondary",
        "secondary",
        "secondary",
        "exploratory",
    ]
    assert "unused" not in metrics
    rows = unit_rows(records, METRICS[0], until=UNTIL)
    cap = np.quantile([row[0] for each in rows.values() for row in each], 0.95)
    one, other = (Moments.from_rows(("x",), np.minimum(rows[variant], cap)) for variant in "ab")
    expected = welch(one, other, "x")
    found = metrics["seconds"]["comparisons"][0]
    assert (found["difference"], found["p"]) == pytest.approx((expected.value, expected.p), rel=1e-9)
    median = clustered_quantile(*values(records, METRICS[1], until=UNTIL)["a"], quantile=0.5)
    assert metrics["p50"]["arms"][0]["value"] == median.value
    assert metrics["p50"]["comparisons"][0]["p"] is not None
    assert report["inputs"]["metrics"]["seconds"]["cap"] == pytest.approx(cap)
    assert set(report["inputs"]["metrics"]) == {"seconds", "p50", "completed", "back"}
    assert report["verdict"]["decision"]


def test_a_report_shows_days_segments_pairs_and_health_as_exploratory(shop):
    records, configurations, analyses, facts = shop
    report = analyse("main", configurations, analyses, FakeClock(UNTIL), facts)
    parts = [report[key] for key in ("series", "segments", "interactions", "health")]
    assert [(each["label"], each["failed"]) for each in parts] == [("exploratory", None)] * 4
    ctr = next(each for each in report["series"]["metrics"] if each["metric"] == "ctr")
    final = next(each for each in report["metrics"] if each["metric"] == "ctr")
    assert ctr["cumulative"][-1]["arms"][0]["value"] == pytest.approx(final["arms"][0]["value"], rel=1e-12)
    assert ctr["cumulative"][-1]["comparisons"][0]["p"] == pytest.approx(final["comparisons"][0]["p"], rel=1e-6)
    assert ctr["since_exposure"][0]["days"] == 0
    assert sum(each["units"]["a"] for each in report["series"]["sample_ratio"]) == final["arms"][0]["units"]
    assert report["segments"]["attributes"] == ["age", "country", "is_new"]
    country = next(each for each in report["segments"]["by"] if each["by"] == ["country"])
    assert {each["values"]["country"] for each in country["segments"]} == {"de", "fr", "cn", None}
    assert sum(each["units"]["a"] for each in country["segments"]) == final["arms"][0]["units"]
    assert {each["metric"] for each in country["heterogeneity"]} >= {"seconds", "ctr"}
    assert [each["experiment"] for each in report["interactions"]["pairs"]] == ["beside"]
    assert report["interactions"]["pairs"][0]["undefined"] == "too_few_units"
    figures = {each["figure"]: each for each in report["health"]["recommender"]}
    assert figures["gini_of_exposure"]["arms"][0]["ci"][0] < figures["gini_of_exposure"]["arms"][0]["value"]
    service = {each["figure"]: each for each in report["health"]["service"]}
    assert service["latency_p95"]["arms"][0]["value"] > service["latency_p50"]["arms"][0]["value"] > 0
    assert service["error_rate"]["arms"][0]["value"] <= service["fallback_rate"]["arms"][0]["value"]
    assert len(first_exposures(records, PHASE, UNTIL)) == sum(each["units"] for each in report["variants"])


def test_what_was_explored_is_taken_over_until_it_is_old(shop):
    _, configurations, analyses, facts = shop
    first = analyse_and_keep("main", configurations, analyses, FakeClock(UNTIL), facts)
    later = FakeClock(UNTIL + timedelta(hours=2))
    second = analyse_and_keep("main", configurations, analyses, later, facts)
    assert second["series"] == first["series"]
    assert analyses.latest_report("main") == second
    assert all("series" not in each for each in analyses.reports("main", PHASE))
    third = analyse("main", configurations, analyses, FakeClock(UNTIL + timedelta(hours=21)), facts)
    assert third["series"]["as_of"] > first["series"]["as_of"]


def test_what_a_round_cannot_afford_is_left_to_a_later_report_until_the_data_ends(shop):
    _, configurations, analyses, facts = shop
    ends_at = NOW + timedelta(days=1)
    now = [0.0]
    budget = Budget(0.1, lambda: now[0])
    with budget.paying("something long"):
        now[0] += 100.0

    def report(at):
        return analyse_and_keep("main", configurations, analyses, FakeClock(at), facts, turn=Round(budget))

    assert "series" not in report(UNTIL)
    now[0] += 990.0
    assert report(UNTIL + timedelta(minutes=16))["series"]["failed"] is None
    with budget.paying("something long"):
        now[0] += 100.0
    kept = report(UNTIL + timedelta(minutes=18))["series"]
    assert kept["as_of"] == (UNTIL + timedelta(minutes=16)).isoformat(), "what was explored is shown, and costs nothing"
    assert report(ends_at + timedelta(hours=1))["series"]["as_of"] == ends_at.isoformat()


def test_a_part_that_fails_at_the_end_is_tried_again_as_the_budget_allows(shop, monkeypatch):
    _, configurations, analyses, facts = shop
    asked = []

    def broken(*_args):
        asked.append(None)
        raise ZeroDivisionError("here")

    monkeypatch.setattr(facts, "days", broken)
    now = [0.0]
    budget = Budget(0.1, lambda: now[0])
    with budget.paying("something long"):
        now[0] += 100.0
    for hours in (1, 2, 3):
        at = FakeClock(NOW + timedelta(days=1, hours=hours))
        analyse_and_keep("main", configurations, analyses, at, facts, turn=Round(budget))
    assert len(asked) == 1
    now[0] += 1_000.0
    analyse_and_keep("main", configurations, analyses, at, facts, turn=Round(budget))
    assert len(asked) == 2


def test_a_part_that_fails_says_so_and_costs_no_other(shop, monkeypatch):
    _, configurations, analyses, facts = shop

    def broken(*_args):
        raise ZeroDivisionError("here")

    monkeypatch.setattr(facts, "days", broken)
    report = analyse("main", configurations, analyses, FakeClock(UNTIL), facts)
    assert report["series"]["failed"] == "ZeroDivisionError: here"
    assert report["segments"]["failed"] is None
    assert report["verdict"]["decision"]


def test_segments_on_demand_by_two_attributes_and_any_metric(shop):
    _, configurations, _, facts = shop
    found = segments_of(
        "main",
        ["country", "age"],
        ["ctr", "unused"],
        configurations=configurations,
        facts=facts,
        clock=FakeClock(UNTIL),
    )
    assert found["by"] == ["country", "age"]
    assert {len(each["values"]) for each in found["segments"]} == {2}
    assert [each["metric"] for each in found["segments"][0]["metrics"]] == ["ctr", "unused"]


def test_the_explored_parts_are_in_csv_frames_and_pages(shop):
    _, configurations, analyses, facts = shop
    report = analyse("main", configurations, analyses, FakeClock(UNTIL), facts)
    assert "seconds" in csv.render(report)
    for part in ("daily", "cumulative", "since_exposure", "segments", "interactions", "health", "service"):
        frame = report_frame(report, part)
        assert len(frame) == csv.render(report, part).count("\n") - 1 > 0
    daily = report_frame(report, "daily").query("metric == 'ctr' and variant == 'b'")
    assert daily["slice"].is_monotonic_increasing
    for lang, heading in (("en", "Explored besides the plan"), ("zh", "计划之外的探索")):
        page = html.render_page([(report, [report])], lang=lang)
        assert heading in page
        assert "country=de" in page
