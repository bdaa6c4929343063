from dataclasses import replace

import pytest

from lamella.errors import ConfigurationInvalid, Conflict, InvalidInput, NotFound, ThingInUse
from lamella.experiments.conditions import PropertyType, holds, read_condition
from lamella.experiments.measures import (
    add_metric,
    metric_document,
    metric_faults,
    metric_from_document,
    remove_metric,
    update_metric,
)
from lamella.experiments.model import AnalysisPlan, Configuration, Experiment, Status

KNOWN = {"rank": PropertyType.NUMBER, "action": PropertyType.TEXT, "fallback": PropertyType.BOOLEAN}
MEAN = {"key": "m", "kind": "mean", "measure": {"event": "click"}}


def faults(rule):
    found = []
    read_condition(rule, KNOWN, "filter", found)
    return found


@pytest.mark.parametrize(
    ("rule", "properties", "expected"),
    [
        ({"==": [{"var": "action"}, "share"]}, {"action": "share"}, True),
        ({"==": ["share", {"var": "action"}]}, {"action": "like"}, False),
        ({"<": [3, {"var": "rank"}]}, {"rank": 4.0}, True),
        ({">=": [{"var": "rank"}, 3]}, {}, False),
        ({"!=": [{"var": "action"}, "share"]}, {}, True),
        ({"==": [{"var": "action"}, None]}, {}, True),
        ({"!": {"in": [{"var": "rank"}, [1, 2]]}}, {"rank": 3.0}, True),
        ({"or": [{"==": [{"var": "fallback"}, True]}, {"==": [{"var": "rank"}, 1]}]}, {"fallback": True}, True),
        (None, {}, True),
    ],
)
def test_a_condition_is_true_or_false_and_never_unknown(rule, properties, expected):
    found = []
    condition = read_condition(rule, KNOWN, "filter", found)
    assert found == []
    assert holds(condition, properties) is expected


@pytest.mark.parametrize(
    "rule",
    [
        [],
        {},
        {"like": [{"var": "action"}, "x"]},
        {"==": [{"var": "action"}]},
        {"==": [{"var": "action"}, 3]},
        {"<": [{"var": "action"}, "x"]},
        {"<": [{"var": "rank"}, None]},
        {"==": [{"var": "rang"}, 3]},
        {"==": [1, 1]},
        {"in": [{"var": "rank"}, []]},
        {"in": [{"var": "rank"}, [1, "x"]]},
        {"!": []},
        {"and": []},
        {"and": [None]},
        {"==": [{"var": "rank"}, True]},
        {"==": [{"var": "rank"}, float("nan")]},
    ],
)
def test_what_is_no_condition_is_one_fault(rule):
    assert len(faults(rule)) == 1


def test_a_condition_that_is_nested_without_end_is_refused():
    rule = {"==": [{"var": "rank"}, 1]}
    for _ in range(40):
        rule = {"!": rule}
    assert "nested" in faults(rule)[0]


@pytest.mark.parametrize(
    ("change", "about"),
    [
        ({"key": "No"}, "key"),
        ({"label": " "}, "label"),
        ({"measure": {"event": "clack"}}, "clack"),
        ({"measure": {"event": "click", "property": "item"}}, "no number"),
        ({"measure": {"event": "exposure", "filter": {"==": [{"var": "x"}, 1]}}}, "no property"),
        ({"denominator": {"event": "slate"}}, "no denominator"),
        ({"kind": "ratio"}, "needs a denominator"),
        ({"quantile": 0.5}, "has no quantile"),
        ({"kind": "retention"}, "window with an end"),
        ({"kind": "proportion", "measure": {"event": "read", "property": "read_seconds"}}, "sums no property"),
        ({"kind": "proportion", "winsorise": 0.9}, "winsorised"),
        ({"winsorise": 0.2}, "winsorise"),
        ({"minimum_effect": 0}, "minimum_effect"),
        ({"window": {"start_hours": -1}}, "starts"),
        ({"window": {"start_hours": 2, "end_hours": 2}}, "ends"),
        ({"window": {"end_hours": 0.00001}}, "whole seconds"),
    ],
)
def test_each_fault_of_a_metric_is_named(change, about):
    found = metric_faults(metric_from_document({**MEAN, **change}))
    assert len(found) == 1
    assert about in found[0]


def test_the_shape_of_a_document_is_checked_as_a_whole():
    with pytest.raises(InvalidInput) as refused:
        metric_from_document({"key": 3, "kind": "median", "measure": {"evnt": "click"}, "direction": "up", "more": 1})
    assert len(refused.value.faults) == 6


def test_a_metric_survives_its_document():
    metric = metric_from_document({**MEAN, "window": {"end_hours": 24}, "winsorise": 0.99})
    assert metric_from_document(metric_document(metric)) == metric


def planning(status):
    plan = AnalysisPlan(primary_metric="m")
    return Experiment(key="e", layer="l", name="", hypothesis="", variants=(), plan=plan, ranges=(), status=status)


def test_a_metric_that_a_plan_names_is_kept():
    metric = metric_from_document(MEAN)
    now = add_metric(Configuration(), metric, reserved=())
    with pytest.raises(Conflict):
        add_metric(now, metric, reserved=())
    with pytest.raises(ConfigurationInvalid):
        add_metric(Configuration(), metric, reserved=("m",))
    changed = metric_from_document({**MEAN, "measure": {"event": "read"}})
    for status, may_change in ((Status.DRAFT, True), (Status.RUNNING, False), (Status.STOPPED, False)):
        used = replace(now, experiments=(planning(status),))
        with pytest.raises(ThingInUse, match="experiment 'e'"):
            remove_metric(used, "m")
        assert update_metric(used, replace(metric, label="M")).metrics[0].label == "M"
        if may_change:
            assert update_metric(used, changed).metrics == (changed,)
        else:
            with pytest.raises(ThingInUse):
                update_metric(used, changed)
    archived = replace(now, experiments=(planning(Status.ARCHIVED),))
    assert remove_metric(archived, "m").metrics == ()
    with pytest.raises(NotFound):
        remove_metric(now, "n")
