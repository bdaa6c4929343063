from datetime import timedelta

import numpy as np
import pytest

from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.measures import SqlMeasureStore
from lamella.adapters.sql.record import SqlRecordStore
from lamella.events.codec import encode
from lamella.experiments.measures import metric_faults, metric_from_document
from lamella.services.measure_ports import Stretch
from lamella.stats.estimates import Estimate
from lamella.stats.moments import Moments
from lamella.stats.quantiles import clustered_quantile
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW
from recounting import PHASE, unit_rows, values, varied_traffic

UNTIL = NOW + timedelta(days=1)


def var(name):
    return {"var": name}


READ_SECONDS = {"event": "read", "property": "read_seconds"}
DOCUMENTS = [
    {"key": "clicks", "kind": "mean", "measure": {"event": "click"}},
    {"key": "seconds", "kind": "mean", "measure": READ_SECONDS, "unit": "seconds"},
    {"key": "seconds_capped", "kind": "mean", "measure": READ_SECONDS, "winsorise": 0.9},
    {"key": "first_day", "kind": "mean", "measure": READ_SECONDS, "window": {"end_hours": 24}},
    {
        "key": "second_day",
        "kind": "mean",
        "measure": {"event": "click"},
        "window": {"start_hours": 24, "end_hours": 48},
    },
    {
        "key": "long_reads",
        "kind": "proportion",
        "measure": {"event": "read", "filter": {">": [var("read_seconds"), 20]}},
    },
    {
        "key": "completion",
        "kind": "ratio",
        "measure": {"event": "read", "property": "completion"},
        "denominator": {"event": "read", "filter": {"!=": [var("completion"), None]}},
    },
    {
        "key": "top_share",
        "kind": "ratio",
        "measure": {
            "event": "impression",
            "filter": {"and": [{"<=": [var("rank"), 2]}, {"!": {"in": [var("item"), ["item-1", "item-7"]]}}]},
        },
        "denominator": {"event": "impression"},
        "winsorise": 0.75,
    },
    {
        "key": "talk",
        "kind": "proportion",
        "measure": {
            "event": "interaction",
            "filter": {"or": [{"==": [var("action"), "share"]}, {"==": ["like", var("action")]}]},
        },
    },
    {
        "key": "revenue",
        "kind": "mean",
        "measure": {"event": "custom", "property": "value", "filter": {"==": [var("name"), "purchase"]}},
    },
    {"key": "back", "kind": "retention", "measure": {"event": "slate"}, "window": {"start_hours": 24, "end_hours": 72}},
    {
        "key": "late_share",
        "kind": "ratio",
        "measure": {"event": "slate", "filter": {"==": [var("fallback"), True]}},
        "denominator": {"event": "slate"},
    },
    {"key": "errors", "kind": "mean", "measure": {"event": "slate", "filter": {"==": [var("error"), True]}}},
    {"key": "per_exposure", "kind": "ratio", "measure": {"event": "click"}, "denominator": {"event": "exposure"}},
]
METRICS = [metric_from_document(each) for each in DOCUMENTS]
QUANTILES = [
    metric_from_document({"key": "p50", "kind": "quantile", "quantile": 0.5, "measure": READ_SECONDS}),
    metric_from_document(
        {
            "key": "p95",
            "kind": "quantile",
            "quantile": 0.95,
            "measure": {"event": "slate", "property": "latency_ms"},
            "window": {"end_hours": 48},
        }
    ),
]


@pytest.fixture
def kept(engine):
    """The record of some weeks, and what was sent."""
    records = varied_traffic(3)
    journal, store = SqlJournal(engine, FakeClock(NOW), limit=10_000), SqlRecordStore(engine)
    for start in range(0, len(records), 200):
        journal.append(encode(records[start : start + 200]))
    receipt = store.ingest(limit=1_000, now=NOW + timedelta(hours=12))
    assert not receipt.quarantined
    journal.close()
    return records


def test_every_declared_metric_of_this_file_is_legal():
    assert [fault for each in [*METRICS, *QUANTILES] for fault in metric_faults(each)] == []


@pytest.mark.parametrize("until", [UNTIL, NOW - timedelta(days=2, hours=3, minutes=7)])
def test_declared_metrics_equal_a_recount_from_the_events(engine, kept, until):
    found = SqlMeasureStore(engine).measured(Stretch(phase=PHASE, until=until), METRICS)
    for metric in METRICS:
        expected = unit_rows(kept, metric, until=until)
        got = found[metric.key]
        assert got.failed is None
        assert set(got.moments) == set(expected) == {"a", "b"}
        if metric.winsorise is not None:
            cap = float(np.quantile([row[0] for rows in expected.values() for row in rows], metric.winsorise))
            assert got.cap == pytest.approx(cap, rel=1e-12)
            expected = {key: [(min(row[0], cap), *row[1:]) for row in rows] for key, rows in expected.items()}
        for variant, rows in expected.items():
            moments = got.moments[variant]
            wanted = Moments.from_rows(moments.columns, rows)
            assert moments.n == wanted.n > 10
            np.testing.assert_allclose(moments.mean, wanted.mean, rtol=1e-9, atol=1e-12, err_msg=metric.key)
            np.testing.assert_allclose(moments.cross, wanted.cross, rtol=1e-8, atol=1e-8, err_msg=metric.key)


def test_quantiles_equal_the_clustered_quantile_of_the_events(engine, kept):
    found = SqlMeasureStore(engine).measured(Stretch(phase=PHASE, until=UNTIL), QUANTILES)
    for metric in QUANTILES:
        for variant, (events, units) in values(kept, metric).items():
            expected = clustered_quantile(events, units, quantile=metric.quantile)
            got = found[metric.key].quantiles[variant]
            assert isinstance(got, Estimate)
            assert isinstance(expected, Estimate)
            assert (got.n, got.value) == (expected.n, expected.value)
            assert got.variance == pytest.approx(expected.variance, rel=1e-9)


def test_what_a_unit_did_before_its_first_day_is_a_covariate(engine, kept):
    stretch = Stretch(phase=PHASE, until=UNTIL, covariate_since=NOW - timedelta(days=30))
    found = SqlMeasureStore(engine).measured(stretch, METRICS[:7])
    for metric in METRICS[:7]:
        assert found[metric.key].failed is None
        moments = found[metric.key].moments["a"]
        assert moments.columns[-1] == "has_pre"
        assert 0.0 < moments.mean_of("has_pre") <= 1.0
        assert moments.mean_of("pre_numerator") > 0.0
        plain = SqlMeasureStore(engine).measured(Stretch(phase=PHASE, until=UNTIL), [metric])[metric.key]
        assert moments.mean_of("numerator") == pytest.approx(plain.moments["a"].mean_of("numerator"), rel=1e-12)


def test_one_metric_that_cannot_be_read_costs_no_other_one_its_figures(engine, kept, monkeypatch):
    from lamella.adapters.sql import measures

    real = measures.filter_of

    def broken(measure):
        if measure.event == "interaction":
            raise ArithmeticError("out of range")
        return real(measure)

    monkeypatch.setattr(measures, "filter_of", broken)
    found = SqlMeasureStore(engine).measured(Stretch(phase=PHASE, until=UNTIL), METRICS)
    assert found["talk"].failed is not None
    assert found["talk"].failed.reason == "failed"
    assert all(each.failed is None for key, each in found.items() if key != "talk")


def test_an_empty_phase_gives_no_arms(engine):
    found = SqlMeasureStore(engine).measured(Stretch(phase=99, until=UNTIL), [*METRICS, *QUANTILES])
    assert all(not each.moments and not each.quantiles and each.failed is None for each in found.values())
