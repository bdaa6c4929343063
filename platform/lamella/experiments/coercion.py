"""JsonLogic's weak typing: how any JSON value counts as a truth, a number or text, and how two compare.

Follows the evaluator that flagd ships for Python, so that an exported rule means the same there: booleans print as
`True` and `False`, `===` takes 1 and true for the same, and text that is no number counts as NaN.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from lamella.experiments.model import Json

Number: TypeAlias = int | float
NAN: Final = math.nan
_LARGEST: Final = 2**63
# What Python's float() reads and JavaScript does not.
_NOT_NUMBERS: Final = frozenset({"inf", "+inf", "-inf"})


def truth(value: Json) -> bool:
    """Whether `value` counts as true: everything but null, false, 0, NaN, empty text and the empty list."""
    if value is True or value is False:
        return value
    if isinstance(value, float):
        return value != 0.0 and not math.isnan(value)
    return value is not None and (isinstance(value, Mapping) or bool(value))


def number(value: Json) -> Number:
    """The number that `value` counts as; NaN where it counts as none."""
    if isinstance(value, (int, float)):
        return value
    if value is None:
        return 0
    if isinstance(value, str):
        return _parsed(value)
    if isinstance(value, Mapping) or len(value) > 1:
        return NAN
    return number(value[0]) if value else 0


def text(value: Json) -> str:
    """The text that `value` counts as."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, int):
        return str(value)
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "[object Object]"
    return ",".join(text(part) for part in value)


def bounded(value: Number) -> Number:
    """`value`, as a float where it left 64 bits, so that no rule can grow an integer without end."""
    if isinstance(value, float) or -_LARGEST <= value < _LARGEST:
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def is_list(value: object) -> bool:
    """Whether `value` is a JSON list."""
    return isinstance(value, (list, tuple))


def loosely_equal(left: Json, right: Json) -> bool:
    """JsonLogic's `==`: values of one type by value, lists and objects by identity, the rest as numbers or text."""
    if _kind(left) is _kind(right):
        return left is right if isinstance(left, Mapping) or is_list(left) else left == right
    if isinstance(left, (int, float)) or isinstance(right, (int, float)):
        return number(left) == number(right)
    if left is None or right is None or not (isinstance(left, str) or isinstance(right, str)):
        return False
    return text(left) == text(right)


def _kind(value: Json) -> type:
    if isinstance(value, Mapping):
        return dict
    return list if is_list(value) else type(value)


def compare(
    left: Json, right: Json, numbers: Callable[[float, float], bool], texts: Callable[[str, str], bool]
) -> bool:
    """Whether `left` and `right` stand in an order: as numbers where one is a number, as text where one is text."""
    if isinstance(left, (int, float)) or isinstance(right, (int, float)):
        return numbers(number(left), number(right))
    if isinstance(left, str) or isinstance(right, str):
        return texts(text(left), text(right))
    return numbers(number(left), number(right))


def _parsed(value: str) -> float:
    if value.strip().lower() in _NOT_NUMBERS:
        return NAN
    try:
        return float(value)
    except ValueError:
        return NAN


def contains(needle: Json, haystack: Json) -> bool:
    """JsonLogic's `in`: an element of a list, or a part of text; false for anything else."""
    if isinstance(haystack, str):
        return text(needle) in haystack
    return isinstance(haystack, Sequence) and needle in haystack
