"""Targeting rules: JsonLogic with flagd's extra operators, compiled once, never raising at evaluation.

A rule that cannot mean anything is refused when it is compiled, with the place and how to mend it. At evaluation an
attribute that the context lacks (or holds as null) is *unknown*, unless `var` names a default: `and` and `or` decide
without it where they can, everything else that it reaches becomes unknown, and a rule that ends unknown is false.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from lamella.errors import InvalidRule
from lamella.experiments.coercion import truth
from lamella.experiments.model import Json
from lamella.experiments.rule_compiler import RESERVED, Compiler
from lamella.experiments.rule_nodes import Node, Unknown

UNIT_ATTRIBUTE: Final = "targetingKey"


class Match(NamedTuple):
    """Whether a rule lets a context in, and, where it does not, why."""

    matched: bool
    detail: str = ""
    failed: bool = False


MATCHED: Final = Match(matched=True)
NOT_MATCHED: Final = Match(matched=False, detail="the rule is false")


class Rule:
    """A compiled rule. `reads` names the top-level attributes that it looks at, as far as they are written in it."""

    __slots__ = ("_evaluate", "needs_unit", "reads")

    def __init__(self, evaluate: Node, reads: frozenset[str], *, needs_unit: bool) -> None:
        self._evaluate, self.reads, self.needs_unit = evaluate, reads, needs_unit

    def match(self, context: Mapping[str, Json]) -> Match:
        """Whether the rule lets `context` in. Never raises for a JSON context; the same context, the same answer."""
        try:
            found = self._evaluate(context)
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            return Match(matched=False, detail=f"the rule failed: {type(error).__name__}: {error}", failed=True)
        if isinstance(found, Unknown):
            return Match(matched=False, detail=f"attribute {found.name!r} is unknown")
        return MATCHED if truth(found) else NOT_MATCHED


def compile_rule(rule: Json) -> Rule:
    """The rule, ready to run; None lets everybody in. Raises InvalidRule, naming each faulty place.

    >>> compile_rule({"==": [{"var": "country"}, "CN"]}).match({"country": "CN"}).matched
    True
    >>> compile_rule({"!=": [{"var": "country"}, "CN"]}).match({}).detail
    "attribute 'country' is unknown"
    """
    if rule is None or isinstance(rule, bool):
        return Rule(lambda _: rule is not False, frozenset(), needs_unit=False)
    if not isinstance(rule, Mapping):
        raise InvalidRule(f"rule: {rule!r} is no rule; write an object such as {{'==': [{{'var': 'country'}}, 'CN']}}")
    compiler = Compiler()
    node = compiler.compile(rule, "rule")
    if compiler.faults:
        raise InvalidRule(*compiler.faults)
    needs_unit = compiler.is_open or UNIT_ATTRIBUTE in compiler.reads
    return Rule(node, frozenset(compiler.reads - {UNIT_ATTRIBUTE, RESERVED}), needs_unit=needs_unit)
