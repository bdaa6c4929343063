import json
import math
from typing import Any

import pytest
from json_logic import jsonLogic
from openfeature.contrib.tools.flagd.core.targeting.targeting import OPERATORS

from lamella.errors import InvalidRule
from lamella.experiments.model import Json
from lamella.experiments.rule_compiler import Compiler
from lamella.experiments.targeting import compile_rule

CONTEXT: dict[str, Json] = {
    "country": "CN",
    "age": 31,
    "premium": True,
    "tags": ["sport", "经济", "3"],
    "device": {"os": "ios", "version": "1.4.2"},
    "name": "José",
    "reads": [{"topic": "sport", "seconds": 40}, {"topic": "film", "seconds": 0}],
    "targetingKey": "reader-1",
}
# Worked through by hand, and given to the evaluator that flagd ships.
CORPUS: list[tuple[Json, Json]] = [
    ({"==": [{"var": "country"}, "CN"]}, True),
    ({"==": [1, "1"]}, True),
    ({"===": [1, "1"]}, False),
    ({"!=": [{"var": "country"}, "US"]}, True),
    ({"!==": ["1", 1]}, True),
    ({"<": [18, {"var": "age"}, 65]}, True),
    ({"<=": [{"var": "age"}, 31]}, True),
    ({">": ["b", "a"]}, True),
    ({">=": ["10", 9]}, True),
    ({"!": [[]]}, True),
    ({"!!": ["0"]}, True),
    ({"+": [1, "2", 3.5]}, 6.5),
    ({"-": [{"var": "age"}]}, -31),
    ({"-": [5, 2]}, 3),
    ({"*": [2, 3, 4]}, 24),
    ({"/": [1, 4]}, 0.25),
    ({"%": [{"var": "age"}, 4]}, 3),
    ({"min": [3, 1, 2]}, 1),
    ({"max": [3, "7", 2]}, 7.0),
    ({"in": ["经济", {"var": "tags"}]}, True),
    ({"in": ["os", {"var": "name"}]}, True),
    ({"in": ["x", 5]}, False),
    ({"cat": ["a", 1, "é", None]}, "a1énull"),
    ({"substr": ["jsonlogic", 4]}, "logic"),
    ({"substr": ["jsonlogic", -5]}, "logic"),
    ({"substr": ["jsonlogic", 1, 3]}, "son"),
    ({"substr": ["jsonlogic", 4, -2]}, "log"),
    ({"merge": [[1, 2], 3, [[4]]]}, [1, 2, 3, [4]]),
    ({"if": [False, 1, {"var": "premium"}, 2, 3]}, 2),
    ({"if": [False, 1, False, 2]}, None),
    ({"?:": [True, "yes", "no"]}, "yes"),
    ({"and": [1, "", 2]}, ""),
    ({"and": [1, 2]}, 2),
    ({"or": [0, "", "a", 1]}, "a"),
    ({"or": [0, ""]}, ""),
    ({"var": "device.os"}, "ios"),
    ({"var": ["nowhere", "default"]}, "default"),
    ({"var": "tags.1"}, "经济"),
    ({"var": "tags.length"}, 3),
    ({"var": "reads.0.topic"}, "sport"),
    ({"missing": ["country", "nowhere", "device.model"]}, ["nowhere", "device.model"]),
    ({"missing": {"merge": ["country", "nowhere"]}}, ["nowhere"]),
    ({"missing_some": [1, ["country", "nowhere"]]}, []),
    ({"missing_some": [2, ["country", "nowhere"]]}, ["nowhere"]),
    ({"all": [{"var": "reads"}, {">": [{"var": "seconds"}, 10]}]}, False),
    ({"all": [[], True]}, False),
    ({"some": [{"var": "reads"}, {">": [{"var": "seconds"}, 10]}]}, True),
    ({"none": [{"var": "tags"}, {"==": [{"var": ""}, "film"]}]}, True),
    ({"filter": [[1, 2, 3, 4], {"%": [{"var": ""}, 2]}]}, [1, 3]),
    ({"map": [[1, 2], {"*": [{"var": ""}, 10]}]}, [10, 20]),
    ({"reduce": [[1, 2, 3], {"+": [{"var": "current"}, {"var": "accumulator"}]}, 10]}, 16),
    ({"starts_with": [{"var": "name"}, "Jos"]}, True),
    ({"ends_with": [{"var": "name"}, "é"]}, True),
    ({"starts_with": [{"var": "age"}, "3"]}, None),
    ({"sem_ver": [{"var": "device.version"}, ">=", "1.4"]}, True),
    ({"sem_ver": ["2.0.0-rc.2", "<", "2.0.0-rc.10"]}, True),
    ({"sem_ver": ["2.0.0-rc.1", "<", "2.0.0"]}, True),
    ({"sem_ver": ["v1.2.3+build.7", "=", "1.2.3"]}, True),
    ({"sem_ver": ["1.9.0", "^", "1.2.0"]}, True),
    ({"sem_ver": ["1.9.0", "~", "1.2.0"]}, False),
    ({"sem_ver": [{"var": "name"}, "=", "1.2.0"]}, None),
    ({"sem_ver": [{"var": "tags"}, "=", "1.2.0"]}, None),
    ({"sem_ver": [{"cat": ["1.", {"substr": ["0" * 300, 0]}]}, "=", "1.2.0"]}, None),
    ({"fractional": [{"var": "age"}, ["a", 0], ["b"]]}, "b"),
    ({"fractional": [{"var": "age"}, {"merge": ["a", 1]}]}, "a"),
    ({"fractional": [{"var": "age"}, {"merge": ["a", 0.5]}]}, None),
    ({"fractional": [{"var": "age"}, {"merge": ["a", 1, 2]}]}, None),
    ({"fractional": [{"var": "age"}, ["a", {"-": [0, 1]}]]}, None),
    ({"fractional": [{"var": ["nowhere", None]}, ["a", 1]]}, None),
    ({"var": {"cat": ["cou", "ntry"]}}, "CN"),
    ({"var": [{"cat": ["nowhere"]}, 7]}, 7),
    ({"map": [{"var": "tags"}, {"var": 0}]}, ["s", "经", "3"]),
    ({"filter": [{"var": "age"}, True]}, []),
    ({"missing": []}, []),
]


@pytest.mark.parametrize(("rule", "expected"), CORPUS, ids=json.dumps)
def test_the_corpus_means_what_jsonlogic_says(rule: Json, expected: Json) -> None:
    compiler = Compiler()
    assert compiler.compile(rule, "rule")(CONTEXT) == expected
    assert jsonLogic(rule, CONTEXT, OPERATORS) == expected  # type: ignore[arg-type]
    assert compiler.faults == []


def test_fractional_inside_a_rule_splits_as_flagd_does() -> None:
    rule: Json = {"fractional": [{"cat": ["salt:", {"var": "targetingKey"}]}, ["a", 50], ["b", 50]]}
    node = Compiler().compile(rule, "rule")
    for i in range(500):
        context: dict[str, Json] = {"targetingKey": f"读者-{i}"}
        assert node(context) == jsonLogic(rule, context, OPERATORS)  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", [None, True])
def test_no_rule_lets_everybody_in(rule: Json) -> None:
    assert compile_rule(rule).match({}).matched


@pytest.mark.parametrize(
    "rule",
    [
        {"==": [{"var": "plan"}, "pro"]},
        {"!=": [{"var": "plan"}, "pro"]},
        {"!": [{"var": "plan"}]},
        {"in": [{"var": "plan"}, ["pro"]]},
        {"!": {"in": [{"var": "plan"}, ["pro"]]}},
        {"<": [{"var": "plan"}, 5]},
        {"and": [True, {"!=": [{"var": "plan"}, "pro"]}]},
        {"if": [{"var": "plan"}, True, True]},
        {"none": [{"var": "plan"}, {"==": [{"var": ""}, 1]}]},
        {"all": [[1], {"var": "plan"}]},
        {"sem_ver": [{"var": "plan"}, "!=", "1.0.0"]},
        {"fractional": [{"var": "plan"}, [True, 1], [True, 1]]},
        {"==": [{"map": [[1], {"var": "plan"}]}, 1]},
        {"filter": [[1], {"var": "plan"}]},
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize("context", [{}, {"plan": None}, {"other": 1}], ids=json.dumps)
def test_a_rule_over_an_unknown_attribute_is_false_and_says_so(rule: Json, context: dict[str, Json]) -> None:
    match = compile_rule(rule).match(context)
    assert not match.matched
    assert not match.failed
    assert match.detail == "attribute 'plan' is unknown" or "''" in match.detail


@pytest.mark.parametrize(
    "rule",
    [
        {"or": [{"==": [{"var": "plan"}, "pro"]}, {"==": [{"var": "country"}, "CN"]}]},
        {"!": {"and": [{"==": [{"var": "plan"}, "pro"]}, {"==": [{"var": "country"}, "US"]}]}},
        {"==": [{"var": ["plan", None]}, None]},
        {"==": [{"var": ["plan", "free"]}, "free"]},
        {"==": [{"missing": ["plan"]}, "plan"]},
        {"some": [[1, 2], {"or": [{"var": "plan"}, True]}]},
    ],
    ids=json.dumps,
)
def test_what_holds_whatever_the_unknown_attribute_is_holds(rule: Json) -> None:
    assert compile_rule(rule).match(CONTEXT).matched


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({}, "must hold exactly one operator, not none"),
        ({"==": [1, 1], "!=": [1, 2]}, "must hold exactly one operator, not '==', '!='; join several with 'and'"),
        ({"equals": [1, 1]}, "rule.equals is no operator; known: "),
        ({"star_with": ["a", "b"]}, "rule.star_with is no operator; did you mean 'starts_with'?"),
        ({"log": [1]}, "rule.log is no operator"),
        ({"==": [1]}, "rule.== takes 2 arguments, not 1"),
        ({"<": [1, 2, 3, 4]}, "rule.< takes 2 to 3 arguments, not 4"),
        ({"cat": []}, "rule.cat takes at least 1 argument, not 0"),
        ({"if": [True]}, "rule.if takes at least 2 arguments, not 1"),
        ({"var": ["a", 1, 2]}, "rule.var takes 0 to 2 arguments, not 3"),
        ({"var": True}, "rule.var names True"),
        ({"var": "$flagd.timestamp"}, "a rule sees the context only"),
        ({"map": [[1]]}, "rule.map takes 2 arguments"),
        ({"reduce": [[1], 1, {"var": "a"}]}, "reduce starts from a constant"),
        ({"and": [{"or": [{"nope": 1}]}]}, "rule.and[0].or[0].nope is no operator"),
        ({"sem_ver": ["1.0.0", "=>", "1.0.0"]}, "rule.sem_ver[1] is '=>'; it must be one of = != < <= > >= ^ ~"),
        ({"sem_ver": [{"var": "v"}, ">", "one"]}, "rule.sem_ver[2] is 'one', no version"),
        ({"starts_with": [{"var": "v"}, 1]}, "rule.starts_with[1] is 1; starts_with compares text"),
        ({"fractional": [["a", 50], ["b", 50]]}, "rule.fractional[0] must say what is hashed"),
        ({"fractional": ["x", "a"]}, "rule.fractional[1] must be a list of a value and an integer weight"),
        ({"fractional": ["x", ["a", 0.5]]}, "rule.fractional[1] has weight 0.5"),
        ({"fractional": ["x", ["a", True]]}, "rule.fractional[1] has weight True"),
        ({"fractional": ["x", ["a", 0], ["b", 0]]}, "rule.fractional has weights that sum to 0"),
        ({"==": [math.nan, 1]}, "rule.==[0] nan is no JSON number"),
        ("country == CN", "'country == CN' is no rule; write an object"),
        ([{"==": [1, 1]}], "is no rule; write an object"),
    ],
    ids=str,
)
def test_a_malformed_rule_is_refused_with_its_place_and_how_to_mend_it(rule: Any, words: str) -> None:
    with pytest.raises(InvalidRule) as refused:
        compile_rule(rule)
    assert words in str(refused.value)


def test_every_fault_of_a_rule_is_listed() -> None:
    with pytest.raises(InvalidRule) as refused:
        compile_rule({"and": [{"nope": 1}, {"==": [1]}, {"sem_ver": ["x", "y", "z"]}]})
    assert len(refused.value.faults) == 5


def test_a_rule_without_end_is_refused() -> None:
    deep: Json = True
    for _ in range(3000):
        deep = {"!": [deep]}
    with pytest.raises(InvalidRule, match="levels deep"):
        compile_rule(deep)
    with pytest.raises(InvalidRule, match="too long"):
        compile_rule({"or": [{"==": [{"var": "a"}, i]} for i in range(10_000)]})


@pytest.mark.parametrize(
    "rule",
    [
        {">": [{"reduce": [{"var": "n"}, {"*": [{"var": "accumulator"}, {"var": "accumulator"}]}, 3]}, 0]},
        {"!": {"reduce": [{"var": "n"}, {"cat": [{"var": "accumulator"}, {"var": "accumulator"}]}, "ab"]}},
        {"!": {"reduce": [{"var": "n"}, {"merge": [{"var": "accumulator"}, {"var": "accumulator"}]}, [1, 2]]}},
    ],
    ids=json.dumps,
)
def test_a_rule_cannot_grow_a_value_without_end(rule: Json) -> None:
    compile_rule(rule).match({"n": list(range(200))})


def test_an_integer_that_no_float_holds_counts_as_infinite() -> None:
    rule = compile_rule({">": [{"+": [{"var": "n"}, 1]}, 10**15]})
    assert rule.match({"n": 10**400}).matched
    assert not rule.match({"n": -(10**400)}).matched


@pytest.mark.parametrize("key", [["a"], {"a": 1}, 2**70])
def test_a_fractional_whose_key_is_no_scalar_of_64_bits_is_null(key: Json) -> None:
    node = Compiler().compile({"fractional": [{"var": "key"}, ["a", 1]]}, "rule")
    assert node({"key": key}) is None


@pytest.mark.parametrize("operator", ["all", "some", "none", "filter", "map", "reduce"])
def test_a_list_that_nobody_knows_makes_the_rule_false(operator: str) -> None:
    match = compile_rule({"!": {operator: [{"var": "plan"}, True]}}).match({})
    assert match.detail == "attribute 'plan' is unknown"
    over_items = compile_rule({"!": {operator: [[1], {"var": "plan"}]}}).match({})
    assert over_items.detail == "attribute 'plan' is unknown"


def test_missing_over_names_that_nobody_knows_is_unknown() -> None:
    for rule in ({"missing": {"var": "plan"}}, {"missing_some": [{"var": "plan"}, ["a"]]}):
        assert not compile_rule({"!": rule}).match({}).matched
    assert not compile_rule({"!": {"missing_some": [1, {"var": "plan"}]}}).match({}).matched
    assert not compile_rule({"!": {"var": {"var": "plan"}}}).match({}).matched
    assert compile_rule({"!": {"var": {"cat": ["pl", "an"]}}}).match({}).detail == "attribute 'plan' is unknown"


def test_dividing_by_zero_gives_no_error() -> None:
    assert compile_rule({">": [{"/": [1, {"var": "n"}]}, 10**9]}).match({"n": 0}).matched
    assert not compile_rule({"==": [{"%": [1, {"var": "n"}]}, 0]}).match({"n": 0}).matched


def test_a_context_too_deep_to_read_fails_the_rule_and_raises_nothing() -> None:
    deep: Json = []
    for _ in range(100_000):
        deep = [deep]
    match = compile_rule({"==": [{"var": "a"}, "x"]}).match({"a": deep})
    assert match.failed
    assert "RecursionError" in match.detail


def test_a_rule_names_the_attributes_that_it_reads() -> None:
    rule = compile_rule(
        {"and": [{"var": "device.os"}, {"some": [{"var": "tags"}, {"var": "x"}]}, {"missing": ["age"]}]}
    )
    assert rule.reads == {"device", "tags", "age"}
    assert not rule.needs_unit
    assert compile_rule({"ends_with": [{"var": "targetingKey"}, "1"]}).needs_unit
    assert compile_rule({"var": {"cat": ["targeting", "Key"]}}).needs_unit
