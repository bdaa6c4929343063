"""An exported rule is true in flagd's own evaluator exactly where ours matches, whatever the context lacks."""

import logging
from collections.abc import Iterator, Mapping
from typing import Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from json_logic import jsonLogic
from openfeature.contrib.tools.flagd.core.targeting.targeting import OPERATORS

from lamella.errors import InvalidRule
from lamella.experiments.coercion import truth
from lamella.experiments.flagd_rules import guarded_rule
from lamella.experiments.model import Json
from lamella.experiments.targeting import compile_rule
from property.experiments.test_targeting_laws import ABSENCE, FULL, PLAIN, operations

RULES: Final = st.recursive(PLAIN | ABSENCE, operations, max_leaves=10).filter(lambda rule: isinstance(rule, dict))
CONTEXTS: Final = st.sets(st.sampled_from(sorted(FULL))).map(lambda names: {name: FULL[name] for name in names})
COUNTRY: Final = {"var": "country"}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def theirs(rule: Json, context: Mapping[str, Json]) -> bool:
    return truth(jsonLogic(guarded_rule(rule), dict(context), OPERATORS))


@settings(max_examples=1_500)
@given(rule=RULES, context=CONTEXTS)
def test_an_exported_rule_is_true_where_ours_matches(rule: Json, context: dict[str, Json]) -> None:
    try:
        match = compile_rule(rule).match(context)
        exported = guarded_rule(rule)
    except InvalidRule:
        assume(False)
        return
    assume(not match.failed)
    assert truth(jsonLogic(exported, dict(context), OPERATORS)) == match.matched, exported


@pytest.mark.parametrize(
    "rule",
    [
        {"!=": [COUNTRY, "CN"]},
        {"!": [{"==": [COUNTRY, "CN"]}]},
        {"!": [{"in": [COUNTRY, ["CN", "SG"]]}]},
        {"<": [{"var": "age"}, 30]},
        {"if": [{"==": [COUNTRY, "CN"]}, False, True]},
        {"none": [{"var": "tags"}, {"==": [{"var": ""}, "a"]}]},
        {"!": [{"starts_with": [{"var": "name"}, "x"]}]},
    ],
)
def test_a_rule_over_an_unknown_attribute_is_false_for_flagd_too(rule: Json) -> None:
    assert not theirs(rule, {})
    assert not compile_rule(rule).match({}).matched


def test_a_junction_decides_without_the_unknown_part_where_it_can() -> None:
    either: Json = {"or": [{"!=": [COUNTRY, "CN"]}, {"==": [{"var": "age"}, 31]}]}
    assert theirs(either, {"age": 31})
    assert not theirs({"and": [either, {"!=": [COUNTRY, "DE"]}]}, {"age": 31})
    assert theirs({"!": [{"and": [{"==": [COUNTRY, "CN"]}, {"==": [{"var": "age"}, 1]}]}]}, {"age": 31})


def test_a_default_makes_the_attribute_known() -> None:
    assert (
        theirs({"==": [{"var": ["country", None]}, None]}, {})
        == compile_rule({"==": [{"var": ["country", None]}, None]}).match({}).matched
    )
    assert theirs({"!=": [{"var": ["country", "none"]}, "CN"]}, {})


def test_a_rule_without_attributes_is_exported_as_it_is() -> None:
    assert guarded_rule({"==": [1, 1]}) == {"==": [1, 1]}
    assert guarded_rule(None) is True
    assert guarded_rule(False) is False


def test_division_by_zero_has_our_result_and_does_not_stop_the_evaluator() -> None:
    rule: Json = {">": [{"/": [{"var": "age"}, {"var": "zero"}]}, 5]}
    assert theirs(rule, FULL)
    assert compile_rule(rule).match(FULL).matched


@pytest.mark.parametrize(
    "rule",
    [
        {"reduce": [{"var": "numbers"}, {"+": [{"var": "current"}, {"var": "accumulator"}]}, 0]},
        {"substr": ["abc", {"var": "age"}]},
    ],
)
def test_a_rule_that_plain_json_logic_cannot_say_is_refused_by_name(rule: Json) -> None:
    with pytest.raises(InvalidRule, match=r"reduce|substr"):
        guarded_rule(rule)
