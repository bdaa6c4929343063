"""Targeting rules for evaluators that know nothing of unknown attributes: the same truth, null checks spelled out.

Here a rule that ends unknown is false (see `targeting`); plain JsonLogic goes on with null. So each part is exported
twice where it must be: what it is worth, and whether it is known. Conditions are driven down to their leaves, so that
the result grows with the rule and not with its depth.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from lamella.errors import InvalidRule
from lamella.experiments.model import Json
from lamella.experiments.targeting import UNIT_ATTRIBUTE

LARGEST_EXPORT: Final = 200_000
_INFINITY: Final[Json] = {"+": ["Infinity"]}
_NAN: Final[Json] = {"+": ["NaN"]}
_READERS: Final = ("var", "missing", "missing_some")
_JUNCTIONS: Final = ("and", "or")
_CHOICES: Final = ("if", "?:")
_OVER_LISTS: Final = ("all", "some", "none", "filter", "map", "reduce")


def guarded_rule(rule: Json, *, unit: str = UNIT_ATTRIBUTE) -> Json:
    """The rule as plain JsonLogic that is true exactly where ours matches; null and true let everybody in.

    `unit` is the attribute that holds what the rule calls `targetingKey`. Raises InvalidRule for the few rules that
    plain JsonLogic cannot say: a `reduce` that may meet an unknown attribute, a `substr` whose place is computed, and
    one whose export would be too long.
    """
    if rule is None or isinstance(rule, bool):
        return rule is not False
    return _Exporter(unit).holds(rule)


class _Exporter:
    """Exports one rule. Each method gives JsonLogic; True and False are folded on the way."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._size = 0

    def holds(self, part: Json) -> Json:  # noqa: PLR0911 - one for each operator
        """Whether the part is known and true."""
        name, arguments = self._taken(part)
        match name:
            case "and":
                return _all(self.holds(one) for one in arguments)
            case "or":
                return _any(self.holds(one) for one in arguments)
            case "!":
                return self.fails(arguments[0])
            case "!!":
                return self.holds(arguments[0])
            case "if" | "?:":
                return self._chosen(arguments, wanted=True)
            case "all":
                return _all([self.known(arguments[0]), self._each("all", arguments, self.holds(arguments[1]))])
            case "some":
                return _all([self.known(arguments[0]), self._each("some", arguments, self.holds(arguments[1]))])
            case "none":
                return _all([self.known(arguments[0]), self._each("none", arguments, _not(self.fails(arguments[1])))])
        return _all([self.known(part), self.value(part)])

    def fails(self, part: Json) -> Json:  # noqa: PLR0911 - one for each operator
        """Whether the part is known and false."""
        name, arguments = self._taken(part)
        match name:
            case "and":
                return _any(self.fails(one) for one in arguments)
            case "or":
                return _all(self.fails(one) for one in arguments)
            case "!":
                return self.holds(arguments[0])
            case "!!":
                return self.fails(arguments[0])
            case "if" | "?:":
                return self._chosen(arguments, wanted=False)
            case "all":
                is_empty: Json = {"none": [self.value(arguments[0]), True]}
                some_fail = self._each("some", arguments, self.fails(arguments[1]))
                return _all([self.known(arguments[0]), _any([is_empty, some_fail])])
            case "some":
                return self.holds({"none": arguments})
            case "none":
                return self.holds({"some": arguments})
        return _all([self.known(part), _not(self.value(part))])

    def known(self, part: Json) -> Json:  # noqa: PLR0911 - one for each kind of part
        """Whether the part is known."""
        name, arguments = self._taken(part)
        if name is None:
            return _all(self.known(one) for one in part) if _is_list(part) else True  # type: ignore[union-attr]
        if name == "var":
            return self._known_attribute(arguments)
        if name in _JUNCTIONS or name in ("!", "!!", "all", "some", "none"):
            return _any([self.holds(part), self.fails(part)])
        if name in _CHOICES:
            return self._known_choice(arguments)
        if name in ("filter", "map"):
            body = self.known(arguments[1])
            inside: Json = True if body is True else {"none": [self.value(arguments[0]), _not(body)]}
            return _all([self.known(arguments[0]), inside])
        if name == "reduce":
            if self.known(arguments[1]) is not True:
                raise InvalidRule("a reduce over attributes that may be unknown; name a default in each 'var' of it")
            return self.known(arguments[0])
        return _all(self.known(one) for one in arguments)

    def value(self, part: Json) -> Json:
        """What the part is worth; good only where it is known."""
        name, arguments = self._taken(part)
        if name is None:
            return [self.value(one) for one in part] if _is_list(part) else part  # type: ignore[union-attr]
        if name in _JUNCTIONS:
            neutral = name == "and"
            parts = [_if(self.known(one), self.value(one), otherwise=neutral) for one in arguments]
            return {name: parts}
        if name in _OVER_LISTS:
            return {name: [self.value(arguments[0]), self.value(arguments[1]), *arguments[2:]]}
        values = [self.value(one) for one in arguments]
        if name in _READERS and self._unit != UNIT_ATTRIBUTE:
            return {name: [_renamed(one, self._unit) for one in values]}
        if name in ("/", "%") and not _is_nonzero(arguments[1]):
            by_zero = {"*": [{"+": [values[0]]}, _INFINITY]} if name == "/" else _NAN
            return {"if": [{"==": [{"+": [values[1]]}, 0]}, by_zero, {name: values}]}
        if name == "substr" and not all(isinstance(one, int) for one in arguments[1:]):
            raise InvalidRule("a substr whose start or length is computed; write both as integers")
        return {name: values}

    def _taken(self, part: Json) -> tuple[str | None, Sequence[Json]]:
        """The operator and its arguments; None and nothing for a literal."""
        self._size += 1
        if self._size > LARGEST_EXPORT:
            raise InvalidRule("a rule whose null checks would be too long; make it flatter, or name defaults")
        if not isinstance(part, Mapping):
            return None, ()
        name, given = next(iter(part.items()))
        return name, given if isinstance(given, Sequence) and not isinstance(given, str) else [given]

    def _each(self, name: str, arguments: Sequence[Json], body: Json) -> Json:
        return {name: [self.value(arguments[0]), body]}

    def _chosen(self, parts: Sequence[Json], *, wanted: bool) -> Json:
        """Whether `if` is known and, as `wanted`, true or false."""
        decide = self.holds if wanted else self.fails
        if len(parts) < 2:
            return decide(parts[0]) if parts else not wanted
        rest = self._chosen(parts[2:], wanted=wanted)
        if self.known(parts[0]) is not True:
            rest = _if(self.fails(parts[0]), rest, otherwise=False)
        return {"if": [self.holds(parts[0]), decide(parts[1]), rest]}

    def _known_choice(self, parts: Sequence[Json]) -> Json:
        if len(parts) < 2:
            return self.known(parts[0]) if parts else True
        first, then, rest = self.known(parts[0]), self.known(parts[1]), self._known_choice(parts[2:])
        return _all([first, _if(self.value(parts[0]), then, otherwise=rest)])

    def _known_attribute(self, arguments: Sequence[Json]) -> Json:
        name = arguments[0] if arguments else None
        if name is None or name == "":
            return True
        found: Json = {"!==": [{"var": [_renamed(self.value(name), self._unit)]}, None]}
        has_default = self.known(arguments[1]) if len(arguments) == 2 else False
        return _all([self.known(name), _any([found, has_default])])


def _renamed(name: Json, unit: str) -> Json:
    """The name of an attribute, or names, with the unit under the name that it goes by there."""
    if isinstance(name, list):
        return [_renamed(one, unit) for one in name]
    return unit if name == UNIT_ATTRIBUTE else name


def _is_list(part: Json) -> bool:
    return isinstance(part, Sequence) and not isinstance(part, str)


def _is_nonzero(part: Json) -> bool:
    return isinstance(part, (int, float)) and part != 0


def _all(parts: Iterable[Json]) -> Json:
    """All of the conditions, folded."""
    kept = [one for one in parts if one is not True]
    if any(one is False for one in kept):
        return False
    return True if not kept else kept[0] if len(kept) == 1 else {"and": kept}


def _any(parts: Iterable[Json]) -> Json:
    """Any of the conditions, folded."""
    kept = [one for one in parts if one is not False]
    if any(one is True for one in kept):
        return True
    return False if not kept else kept[0] if len(kept) == 1 else {"or": kept}


def _not(part: Json) -> Json:
    return not part if isinstance(part, bool) else {"!": [part]}


def _if(condition: Json, then: Json, *, otherwise: Json) -> Json:
    if isinstance(condition, bool):
        return then if condition else otherwise
    return then if isinstance(then, bool) and then is otherwise else {"if": [condition, then, otherwise]}
