import json
from typing import Any

from configurations import draft, newsroom, running
from lamella.experiments import lifecycle
from lamella.experiments.explain import explain
from lamella.experiments.hashing import hash32
from lamella.experiments.model import BUCKETS, Configuration, Json
from lamella.experiments.snapshot import compile_snapshot

RULE: Json = {"==": [{"var": "country"}, "CN"]}


def ranking(configuration: Configuration, unit: str = "reader-1", context: dict[str, Json] | None = None) -> Any:
    explained: Any = explain(compile_snapshot(configuration), unit, context or {})
    assert json.loads(json.dumps(explained)) == explained
    return explained["layers"][1]


def steps(layer: Any) -> dict[str, Any]:
    return {step["step"]: step for step in layer["steps"]}


def test_every_number_of_the_evaluation_is_there() -> None:
    layer = ranking(running(newsroom(), draft(ranges=[(0, BUCKETS)], rule=RULE)), context={"country": "CN"})
    told = steps(layer)
    assert list(told) == ["kill_switch", "forced", "targeting", "bucket", "variant"]
    assert told["targeting"]["experiments"][0]["matched"]
    assert told["bucket"]["hashed"] == "ranking:reader-1"
    assert told["bucket"]["hash"] == hash32("ranking", "reader-1")
    assert told["bucket"]["bucket"] == told["bucket"]["hash"] * BUCKETS >> 32
    assert told["bucket"]["ranges"] == [{"experiment": "textcnn", "start": 0, "stop": BUCKETS}]
    assert told["variant"]["hashed"] == "textcnn:1:reader-1"
    assert told["variant"]["ranges"][1] == {"variant": "treatment", "start": 1, "stop": 2}
    assert layer["reason"] == "TARGETING_MATCH"


def test_a_rule_that_keeps_a_unit_out_says_why() -> None:
    layer = ranking(running(newsroom(), draft(ranges=[(0, BUCKETS)], rule=RULE)))
    (result,) = steps(layer)["targeting"]["experiments"]
    assert result["detail"] == layer["detail"] == "attribute 'country' is unknown"
    assert "variant" not in steps(layer)


def test_the_step_that_decides_is_the_last() -> None:
    configuration = running(newsroom(), draft(ranges=[(0, BUCKETS)], forced={"editor": "treatment"}))
    assert list(steps(ranking(configuration, "editor"))) == ["kill_switch", "forced"]
    assert list(steps(ranking(newsroom()))) == ["kill_switch", "experiments"]
    assert list(steps(ranking(lifecycle.kill(configuration)))) == ["kill_switch"]
    assert list(steps(ranking(lifecycle.pause(configuration, "textcnn")))) == [
        *("kill_switch", "forced", "targeting", "bucket"),
    ]
