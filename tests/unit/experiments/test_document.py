from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from lamella.errors import InvalidInput
from lamella.experiments.document import (
    experiment_document,
    experiment_from_document,
    layer_from_document,
    parameter_from_document,
)
from lamella.experiments.model import AnalysisPlan, Layer, Status, UnitKind

SMALLEST: dict[str, Any] = {"key": "textcnn", "layer": "ranking", "plan": {"primary_metric": "ctr"}}


def faults_of(document: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(InvalidInput) as refused:
        experiment_from_document(document)
    return refused.value.faults


def test_what_has_a_default_may_be_left_out() -> None:
    experiment = experiment_from_document(SMALLEST)
    assert experiment.status is Status.DRAFT
    assert experiment.name == "textcnn"
    assert experiment.plan == AnalysisPlan(primary_metric="ctr")
    assert layer_from_document({"key": "home"}) == Layer(key="home", salt="home", unit=UnitKind.USER)


def test_a_missing_key_is_named() -> None:
    assert faults_of({"key": "a", "plan": {}}) == (
        "experiment lacks 'layer'; add text",
        "experiment: plan lacks 'primary_metric'; add text",
    )


def test_an_unknown_key_is_named_with_what_was_meant() -> None:
    (fault,) = faults_of({**SMALLEST, "hypotesis": "more clicks"})
    assert fault == "experiment has an unknown field 'hypotesis'; did you mean 'hypothesis'?"


def test_every_fault_is_listed_with_its_place() -> None:
    faults = faults_of(
        {
            **SMALLEST,
            "variants": [{"key": "a", "weight": True}, {"key": 7, "weight": 1, "values": []}],
            "ranges": [{"start": 0.5, "stop": 10}],
            "forced": {"u": 1},
            "status": "flying",
        }
    )
    assert len(faults) == 6
    assert "experiment: variants[0]: 'weight' is a boolean; it must be an integer" in faults
    assert "experiment: variants[1]: 'key' is an integer; it must be text" in faults
    assert "experiment: variants[1]: 'values' is a list; it must be an object" in faults
    assert "experiment: ranges[0]: 'start' is a number; it must be an integer" in faults
    assert "experiment: forced['u'] is no text; name a variant" in faults


def test_a_time_without_offset_is_refused_and_any_offset_becomes_utc() -> None:
    phase = {"id": 1, "number": 1, "salt": "s", "started_at": "2026-01-31T12:00:00", "weights": {}}
    (fault,) = faults_of({**SMALLEST, "phases": [phase]})
    assert "'started_at' is '2026-01-31T12:00:00'; send a time with its offset" in fault
    (fault,) = faults_of({**SMALLEST, "phases": [{**phase, "started_at": "yesterday"}]})
    assert "'started_at' is 'yesterday'" in fault
    read = experiment_from_document({**SMALLEST, "phases": [{**phase, "started_at": "2026-01-31T12:00:00+08:00"}]})
    assert read.phases[0].started_at == datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=8)))
    assert read.phases[0].started_at.tzinfo is UTC


def test_numbers_lists_and_objects_are_checked() -> None:
    plan = {"primary_metric": "ctr", "alpha": True, "power": float("inf"), "secondary_metrics": [1], "looks": "5"}
    variants = [{"key": "a", "weight": 1.0, "values": {"p": float("nan")}}]
    faults = faults_of({**SMALLEST, "plan": plan, "ranges": "all", "variants": variants})
    assert len(faults) == 6


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "send a finite one or null"),
        (2**63, "does not fit into 64 bits"),
        ("a\0b", "NUL"),
        ("\ud800", "surrogate"),
        ({"a": {1: 2}}, "JSON keys are text"),
        ({"a": object()}, "is no JSON value"),
    ],
)
def test_a_value_that_no_store_keeps_exactly_is_refused(value: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        parameter_from_document({"key": "a", "type": "object", "layer": "l", "default": value})


def test_a_value_nested_without_end_is_refused() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(InvalidInput, match="levels deep"):
        parameter_from_document({"key": "a", "type": "object", "layer": "l", "default": deep})


def test_the_document_shares_nothing_with_what_it_was_read_from() -> None:
    source = {**SMALLEST, "variants": [{"key": "a", "weight": 1, "values": {"rank.config": {"depth": 1}}}]}
    experiment = experiment_from_document(source)
    source["variants"][0]["values"]["rank.config"]["depth"] = 2
    assert experiment.variants[0].values == {"rank.config": {"depth": 1}}
    experiment_document(experiment)["variants"][0]["values"]["rank.config"]["depth"] = 3  # type: ignore[index, call-overload]
    assert experiment.variants[0].values == {"rank.config": {"depth": 1}}
