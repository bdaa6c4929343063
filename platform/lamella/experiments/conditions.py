"""Conditions over the properties of an event: a typed part of JsonLogic that SQL and Python evaluate alike.

`and`, `or` and `!` combine; `==` and `!=` compare a property with a literal or null; `<`, `<=`, `>` and `>=` a number;
`in` looks a property up in a list. Every condition is true or false, never unknown: a comparison with a property that
an event does not have is false, and `!=` is the opposite of `==`.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from lamella.experiments.fields import kind_of, value_fault
from lamella.experiments.model import Json
from lamella.experiments.selection import near

Value: TypeAlias = str | float | bool | None
DEEPEST: Final = 16
MOST_VALUES: Final = 1_000


class PropertyType(StrEnum):
    """What a property of an event holds."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Compared:
    """`property` `sign` `value`, where the sign is ==, <, <=, > or >=."""

    property: str
    sign: str
    value: Value


@dataclass(frozen=True, slots=True)
class Among:
    """The property is one of `values`, none of which is null."""

    property: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Every:
    """All of `parts`; true for none."""

    parts: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of `parts`; false for none."""

    parts: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class Negated:
    """Not `part`."""

    part: "Condition"


Condition: TypeAlias = Compared | Among | Every | Some | Negated

ORDERS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_OPERATORS: Final = ("and", "or", "!", "==", "!=", "<", "<=", ">", ">=", "in")


def holds(condition: Condition, properties: Mapping[str, Value]) -> bool:
    """Whether an event with these properties meets the condition; a missing property is null.

    >>> wanted = Every((Compared("action", "==", "share"), Negated(Compared("item", "==", None))))
    >>> holds(wanted, {"action": "share", "item": "a"}), holds(wanted, {"action": "share"})
    (True, False)
    """
    match condition:
        case Every(parts):
            return all(holds(part, properties) for part in parts)
        case Some(parts):
            return any(holds(part, properties) for part in parts)
        case Negated(part):
            return not holds(part, properties)
        case Among(name, values):
            return properties.get(name) in values
        case Compared(name, "==", value):
            return properties.get(name) == value
        case Compared(name, sign, value):
            found = properties.get(name)
            return found is not None and value is not None and ORDERS[sign](float(found), float(value))


def read_condition(rule: Json, known: Mapping[str, PropertyType], where: str, faults: list[str]) -> Condition:
    """The condition that JsonLogic describes, null being no condition; what is wrong with it is added to `faults`.

    `known` are the properties that the event has, with their types.
    """
    return _Reader(known, faults).read(rule, where, DEEPEST) if rule is not None else _ANYTHING


_ANYTHING: Final = Every(())


class _Reader:
    """Reads JsonLogic; where something is wrong it says so and stands a condition in that is always met."""

    def __init__(self, known: Mapping[str, PropertyType], faults: list[str]) -> None:
        self._known, self._faults = known, faults

    def read(self, rule: Json, where: str, deepest: int) -> Condition:
        if not isinstance(rule, Mapping) or len(rule) != 1:
            wanted = f"an object with one operator of {', '.join(_OPERATORS)}"
            return self._refuse(f"{where} is {kind_of(rule)}; send {wanted}")
        if not deepest:
            return self._refuse(f"{where} is nested more than {DEEPEST} levels deep; make it flatter")
        ((name, found),) = rule.items()
        arguments = list(found) if isinstance(found, Sequence) and not isinstance(found, str) else [found]
        if name in ("and", "or", "!"):
            return self._combination(name, arguments, where, deepest - 1)
        if name not in _OPERATORS:
            return self._refuse(f"{where} has an unknown operator {name!r}; {near(name, list(_OPERATORS))}")
        if len(arguments) != 2:
            return self._refuse(f"{where}: {name!r} needs two arguments, a property and a value")
        return self._comparison(name, arguments[0], arguments[1], where)

    def _combination(self, name: str, arguments: Sequence[Json], where: str, deepest: int) -> Condition:
        if not arguments or (name == "!" and len(arguments) > 1):
            return self._refuse(f"{where}: {name!r} needs {'one condition' if name == '!' else 'conditions'}")
        parts = tuple(self.read(each, f"{where}: {name}[{i}]", deepest) for i, each in enumerate(arguments))
        if name == "!":
            return Negated(parts[0])
        return Every(parts) if name == "and" else Some(parts)

    def _comparison(self, name: str, one: Json, other: Json, where: str) -> Condition:
        if name != "in" and _variable(one) is None and _variable(other) is not None:
            one, other, name = other, one, _MIRRORED[name]
        wanted = _variable(one)
        if wanted is None:
            return self._refuse(f'{where}: {name!r} compares no property; send {{"var": "…"}} and a value')
        if wanted not in self._known:
            return self._refuse(f"{where}: the event has no property {wanted!r}; {near(wanted, list(self._known))}")
        kind = self._known[wanted]
        if name == "in":
            return self._membership(wanted, kind, other, where)
        fault = _value_fault(kind, other, is_null_allowed=name in ("==", "!="))
        if fault is None and name in ORDERS and kind is not PropertyType.NUMBER:
            fault = f"…: the property is {kind}, and only numbers have an order"
        if fault is not None:
            return self._refuse(f"{where}: {wanted!r} {name} {fault}")
        if name == "!=":
            return Negated(Compared(wanted, "==", _literal(other)))
        return Compared(wanted, name, _literal(other))

    def _membership(self, wanted: str, kind: PropertyType, among: Json, where: str) -> Condition:
        if not isinstance(among, Sequence) or isinstance(among, str) or not 0 < len(among) <= MOST_VALUES:
            return self._refuse(f"{where}: 'in' needs a list of 1 to {MOST_VALUES} values")
        wrong = [fault for each in among if (fault := _value_fault(kind, each, is_null_allowed=False))]
        self._faults.extend(f"{where}: {wanted!r} in {fault}" for fault in wrong)
        return Among(wanted, tuple(_literal(each) for each in among))

    def _refuse(self, fault: str) -> Condition:
        self._faults.append(fault)
        return _ANYTHING


def _variable(value: Json) -> str | None:
    """The property that the operand names, or None where it is a value."""
    if isinstance(value, Mapping) and value.keys() == {"var"} and isinstance(value["var"], str):
        return value["var"]
    return None


def _value_fault(kind: PropertyType, value: Json, *, is_null_allowed: bool) -> str | None:
    if value is None and is_null_allowed:
        return None
    is_right = {
        PropertyType.NUMBER: isinstance(value, int | float) and not isinstance(value, bool),
        PropertyType.TEXT: isinstance(value, str),
        PropertyType.BOOLEAN: isinstance(value, bool),
    }[kind]
    if not is_right:
        return f"{kind_of(value)}: the property is {kind}"
    fault = value_fault(value)
    return None if fault is None else f"a value that {fault}"


def _literal(value: Json) -> Value:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return float(value) if isinstance(value, int | float) else None
