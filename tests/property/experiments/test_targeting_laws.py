"""Rules against the evaluator that flagd ships (PyPI panzi-json-logic, with flagd's own operators)."""

import logging
import math
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from json_logic import jsonLogic
from openfeature.contrib.tools.flagd.core.targeting.targeting import OPERATORS

from configurations import json_values, texts
from lamella.errors import InvalidRule
from lamella.experiments.model import Json
from lamella.experiments.rule_compiler import Compiler
from lamella.experiments.rule_nodes import Unknown
from lamella.experiments.targeting import compile_rule

FULL: Final[dict[str, Json]] = {
    "country": "CN",
    "age": 31,
    "score": -1.5,
    "premium": True,
    "free": False,
    "empty": "",
    "zero": 0,
    "tags": ["a", "b", "3"],
    "numbers": [3, 1, 2.5, 0],
    "device": {"os": "ios", "version": "1.4.2", "parts": [{"x": 1}, {"x": "5"}]},
    "name": "José",
    "nothing": [],
}
NAMES: Final = [*FULL, "device.os", "device.version", "tags.0", "tags.length", "name.1", "device.parts.1.x"]
LITERALS: Final[list[Json]] = [
    *(0, 1, -1, 2, 1.5, -0.5, True, False, None, "", "a", "CN", "3", " 4 ", "José", "1.4.2", "v1.4"),
    *("2.0.0-rc.1", "2.0.0-rc.2", "inf", "nan", [], ["a"], [1, 2], ["1"], [[1]], 10**12),
]
TWO: Final = ("==", "!=", "===", "!==", "in", "/", "%", "starts_with", "ends_with", "<", "<=", ">", ">=")
MANY: Final = ("+", "*", "min", "max", "cat", "merge", "and", "or")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def operations(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    def of(names: tuple[str, ...], least: int, most: int) -> st.SearchStrategy[Json]:
        return st.builds(
            lambda name, parts: {name: parts}, st.sampled_from(names), st.lists(inner, min_size=least, max_size=most)
        )

    comparison = st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "^", "~"])
    share = st.tuples(inner, st.integers(0, 50)).map(list)
    element = inner | st.just({"var": ""})
    folded = inner | st.sampled_from([{"var": "current"}, {"var": "accumulator"}])
    return st.one_of(
        of(TWO, 2, 2),
        of(("<", "<=", ">", ">="), 3, 3),
        of(MANY, 1, 3),
        of(("!", "!!", "-"), 1, 1),
        of(("-",), 2, 2),
        of(("if", "?:"), 2, 5),
        of(("substr",), 2, 3),
        st.builds(lambda left, by, right: {"sem_ver": [left, by, right]}, inner, comparison, inner),
        st.builds(
            lambda key, parts: {"fractional": [{"cat": [key]}, *parts]}, inner, st.lists(share, min_size=1, max_size=3)
        ),
        st.builds(
            lambda name, items, body: {name: [items, body]},
            st.sampled_from(["all", "some", "none", "filter", "map"]),
            inner,
            element,
        ),
        st.builds(
            lambda items, body, start: {"reduce": [items, body, start]}, inner, folded, st.sampled_from(LITERALS)
        ),
    )


PLAIN: Final = st.sampled_from(LITERALS) | st.sampled_from(NAMES).map(lambda name: {"var": name})
SOME_NAMES: Final = st.sampled_from([*NAMES, "nope"])
# A default or `missing` is a statement about absence, which more knowledge may overturn.
ABSENCE: Final = st.builds(
    lambda name, value: {"var": [name, value]}, SOME_NAMES, st.sampled_from(LITERALS)
) | st.lists(SOME_NAMES, min_size=1, max_size=3).map(lambda names: {"missing": names})
RULES: Final = operations(st.recursive(PLAIN | ABSENCE, operations, max_leaves=10))
LASTING_RULES: Final = operations(st.recursive(PLAIN, operations, max_leaves=6))


def alike(left: Json, right: Json) -> bool:
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left) and math.isnan(right):
        return True
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(alike, left, right))
    return left == right and isinstance(left, bool) == isinstance(right, bool)


@settings(max_examples=400)
@given(rule=RULES)
def test_a_rule_means_what_flagds_evaluator_says_where_every_attribute_is_known(rule: Json) -> None:
    compiler = Compiler()
    node = compiler.compile(rule, "rule")
    assume(not compiler.faults)
    ours = node(FULL)
    if isinstance(ours, Unknown):
        event("unknown")
        return
    try:
        theirs: Json = jsonLogic(rule, FULL, OPERATORS)  # type: ignore[arg-type, assignment]
    except (ArithmeticError, ValueError, TypeError):
        event("the other evaluator raises; ours does not")
        return
    assert alike(ours, theirs)


@given(rule=LASTING_RULES, known=st.sets(st.sampled_from(list(FULL))), other=json_values)
def test_a_rule_that_holds_without_an_attribute_holds_whatever_the_attribute_is(
    rule: Json, known: set[str], other: Json
) -> None:
    try:
        compiled = compile_rule(rule)
    except InvalidRule:
        return
    if compiled.match({key: FULL[key] for key in known}).matched:
        event("holds")
        assert compiled.match({key: FULL[key] if key in known else other for key in FULL}).matched


@given(rule=RULES | json_values, context=st.dictionaries(st.sampled_from(list(FULL)) | texts, json_values, max_size=6))
def test_no_rule_raises_for_any_context(rule: Json, context: dict[str, Json]) -> None:
    try:
        compiled = compile_rule(rule)
    except InvalidRule as error:
        assert error.faults  # noqa: PT017 - either outcome is lawful
        return
    match = compiled.match(context)
    assert match.matched == (not match.detail)
    assert compiled.match(context) == match


@given(rule=RULES, context=st.dictionaries(st.sampled_from(list(FULL)), json_values, max_size=6))
def test_an_attribute_that_a_rule_does_not_read_changes_nothing(rule: Json, context: dict[str, Json]) -> None:
    try:
        compiled = compile_rule(rule)
    except InvalidRule:
        return
    assume(not compiled.needs_unit)
    assert compiled.match({**context, "unread": 1}).matched == compiled.match(context).matched
    read = {key: value for key, value in context.items() if key in compiled.reads}
    assert compiled.match(read) == compiled.match(context)
