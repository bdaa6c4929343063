"""Shortcuts for the rules that most experiments have: texts and numbers compared with one attribute, and their joins.

A shortcut answers True or False where it is sure of what the compiled rule says, and None where that must be asked:
an attribute is absent or of another type than the constant.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import Final, TypeAlias

from lamella.experiments.fields import plain
from lamella.experiments.model import Json

Shortcut: TypeAlias = Callable[[Mapping[str, Json]], "bool | None"]
_ORDERS: Final[Mapping[str, Callable[[float, float], bool]]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


def shortcut(rule: Json) -> Shortcut | None:
    """The shortcut of a rule that compiles, or None where it has none. Equal rules have the same one."""
    return None if rule is None else _remembered(json.dumps(plain(rule), sort_keys=True))


@lru_cache(maxsize=4096)
def _remembered(written: str) -> Shortcut | None:
    return _shortcut(json.loads(written))


def _shortcut(rule: Json) -> Shortcut | None:
    if not isinstance(rule, Mapping) or len(rule) != 1:
        return None
    operator, given = next(iter(rule.items()))
    arguments = given if isinstance(given, Sequence) and not isinstance(given, str) else ()
    if operator in ("and", "or"):
        return _joined([_shortcut(one) for one in arguments], stops_at=operator == "or")
    name = _attribute(arguments[0]) if len(arguments) == 2 else None
    return None if name is None else _compared(operator, name, arguments[1])


def _compared(operator: str, name: str, constant: Json) -> Shortcut | None:
    if isinstance(constant, str):
        return _of_text(operator, name, constant)
    if operator in _ORDERS and isinstance(constant, (int, float)) and not isinstance(constant, bool):
        return _ordered(_ORDERS[operator], name, constant)
    if operator == "in" and isinstance(constant, Sequence) and all(isinstance(one, str) for one in constant):
        return _among(name, frozenset(str(one) for one in constant))
    return None


def _attribute(part: Json) -> str | None:
    """The attribute that `part` reads, if it is a plain one."""
    if not isinstance(part, Mapping) or len(part) != 1:
        return None
    name = part.get("var")
    return name if isinstance(name, str) and name and "." not in name else None


def _of_text(operator: str, name: str, constant: str) -> Shortcut | None:
    def same(context: Mapping[str, Json]) -> bool | None:
        found = context.get(name)
        return found == constant if type(found) is str else None

    def different(context: Mapping[str, Json]) -> bool | None:
        found = context.get(name)
        return found != constant if type(found) is str else None

    return same if operator in ("==", "===") else different if operator in ("!=", "!==") else None


def _ordered(compare: Callable[[float, float], bool], name: str, constant: float) -> Shortcut:
    def ordered(context: Mapping[str, Json]) -> bool | None:
        found = context.get(name)
        return compare(found, constant) if type(found) is int or type(found) is float else None

    return ordered


def _among(name: str, constants: frozenset[str]) -> Shortcut:
    def among(context: Mapping[str, Json]) -> bool | None:
        found = context.get(name)
        return found in constants if type(found) is str else None

    return among


def _joined(parts: Sequence[Shortcut | None], *, stops_at: bool) -> Shortcut | None:
    """The shortcut of `or`, which stops at True, or of `and`, which stops at False."""
    sure = [one for one in parts if one is not None]
    if len(sure) < len(parts) or not sure:
        return None

    def joined(context: Mapping[str, Json]) -> bool | None:
        for one in sure:
            found = one(context)
            if found is None or found is stops_at:
                return found
        return not stops_at

    return joined
