from copy import deepcopy

import pytest

from lamella.errors import InvalidInput
from lamella.reporting.document import read_report, read_truth
from unit.reporting import samples


def test_every_situation_is_read():
    for looks in samples.everything():
        report = read_report(looks[-1])
        assert report.key == looks[-1]["experiment"]["key"]
        assert len(report.metrics) == len(looks[-1]["metrics"])


def test_another_schema_is_refused_by_name():
    made = samples.document() | {"schema": "lamella.report/9"}
    with pytest.raises(InvalidInput, match=r"schema is 'lamella.report/9', this version reads 'lamella.report/1'"):
        read_report(made)


@pytest.mark.parametrize("key", sorted(samples.document()))
def test_a_missing_member_is_named(key):
    made = samples.document()
    del made[key]
    with pytest.raises(InvalidInput, match=f"{key} is missing"):
        read_report(made)


def test_a_missing_member_deep_inside_is_named_with_its_path():
    made = samples.document()
    del made["metrics"][1]["arms"][0]["value"]
    with pytest.raises(InvalidInput, match=r"metrics\[1\]\.arms\[0\]\.value is missing"):
        read_report(made)


@pytest.mark.parametrize(
    ("path", "value", "wanted"),
    [
        (("as_of",), "yesterday", "an ISO 8601 time"),
        (("snapshot",), 1.5, "a whole number"),
        (("snapshot",), True, "a whole number"),
        (("metrics",), "ctr", "a list"),
        (("plan",), [], "an object"),
        (("experiment", "name"), 3, "text"),
        (("metrics", 0, "arms", 0, "value"), float("nan"), "a finite number"),
        (("metrics", 0, "arms", 0, "value"), float("inf"), "a finite number"),
        (("metrics", 0, "comparisons", 0, "ci"), [0.1], "two bounds"),
        (("metrics", 0, "comparisons", 0, "significant"), None, "true or false"),
        (("checks", 0, "passed"), "yes", "true or false"),
    ],
)
def test_a_member_of_the_wrong_type_is_named(path, value, wanted):
    made = deepcopy(samples.document())
    target = made
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    with pytest.raises(InvalidInput, match=f"{path[-1]} is .*, expected {wanted}"):
        read_report(made)


def test_null_bounds_are_sides_without_a_limit():
    ci = read_report(samples.unbounded()[0]).metrics[0].comparisons[0].ci
    assert ci is not None
    assert (ci.low, ci.high) == (-0.31, None)


def test_a_plan_without_an_end_is_read():
    made = samples.document()
    made["plan"]["planned_days"] = None
    made["looks"] = {"taken": 3, "planned": None, "information": None}
    report = read_report(made)
    assert report.looks.planned is None
    assert report.plan.planned_days is None


def test_planted_truth_is_read_and_checked():
    truth = read_truth({"planted": "none", "relative_lift_planted": None, "correct": True})
    assert (truth.planted, truth.relative_lift, truth.correct) == ("none", None, True)
    with pytest.raises(InvalidInput, match="planted is 'perhaps'"):
        read_truth({"planted": "perhaps"})
