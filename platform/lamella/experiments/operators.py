"""The operators of a rule that work on finished values: JsonLogic's and flagd's, each with how many arguments it takes.

None of them raises for any JSON values: what has no result is null or NaN.
"""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import mmh3

from lamella.errors import InvalidInput
from lamella.experiments import coercion
from lamella.experiments.hashing import cbor, scale
from lamella.experiments.model import Json
from lamella.experiments.versions import compare_versions

LARGEST_TOTAL: Final = 2**31 - 1
LONGEST_TEXT: Final = 65_536
LONGEST_LIST: Final = 10_000


class Operator(NamedTuple):
    """A function over finished values that takes `least` up to `most` arguments (None: any number)."""

    function: Callable[..., Json]
    least: int
    most: int | None


def _ordered(
    numbers: Callable[[float, float], bool], texts: Callable[[str, str], bool]
) -> Callable[[Json, Json, Json], bool]:
    def compare(left: Json, middle: Json, right: Json = None) -> bool:
        if not coercion.compare(left, middle, numbers, texts):
            return False
        return right is None or coercion.compare(middle, right, numbers, texts)

    return compare


def _add(*values: Json) -> Json:
    result: coercion.Number = 0
    for value in values:
        result = coercion.bounded(result + coercion.number(value))
    return result


def _multiply(*values: Json) -> Json:
    result: coercion.Number = 1
    for value in values:
        result = coercion.bounded(result * coercion.number(value))
    return result


def _subtract(left: Json, right: Json = None) -> Json:
    if right is None:
        return coercion.bounded(-coercion.number(left))
    return coercion.bounded(coercion.number(left) - coercion.number(right))


def _divide(left: Json, right: Json) -> Json:
    above, below = coercion.number(left), coercion.number(right)
    if below == 0:
        return math.nan if above == 0 or math.isnan(above) else math.copysign(math.inf, above)
    return above / below


def _remainder(left: Json, right: Json) -> Json:
    above, below = coercion.number(left), coercion.number(right)
    return math.nan if below == 0 or math.isinf(above) else coercion.bounded(above % below)


def _least(*values: Json) -> Json:
    return min(map(coercion.number, values), default=math.nan)


def _greatest(*values: Json) -> Json:
    return max(map(coercion.number, values), default=math.nan)


def _join(*values: Json) -> Json:
    joined = "".join(map(coercion.text, values))
    return joined if len(joined) <= LONGEST_TEXT else None


def _merge(*values: Json) -> Json:
    merged: list[Json] = []
    for value in values:
        merged.extend(value if isinstance(value, (list, tuple)) else [value])
    return merged if len(merged) <= LONGEST_LIST else None


def _part(whole: Json, start: Json, length: Json = None) -> Json:
    """JsonLogic's `substr`: a negative start counts from the end, a negative length leaves that many off."""
    letters = coercion.text(whole)
    size = len(letters)
    begin = _limited(start)
    first = int(min(begin, size)) if begin >= 0 else size - int(-begin) if -begin < size else 0
    if length is None:
        return letters[first:]
    if math.isnan(coercion.number(length)):
        return ""
    wanted = int(_limited(length))
    return letters[first : max(first, size + wanted) if wanted < 0 else first + wanted]


def _limited(value: Json) -> float:
    found = coercion.number(value)
    return 0 if math.isnan(found) else max(-(2.0**31), min(found, 2.0**31))


def _starts_with(whole: Json, start: Json) -> Json:
    return whole.startswith(start) if isinstance(whole, str) and isinstance(start, str) else None


def _ends_with(whole: Json, end: Json) -> Json:
    return whole.endswith(end) if isinstance(whole, str) and isinstance(end, str) else None


def _fractional(key: Json, *shares: Json) -> Json:
    """The value whose share of the total weight the hash of `key` falls into; flagd's `fractional`."""
    if not isinstance(key, (str, int, float)):
        return None
    weights = [_weight(share) for share in shares]
    total = sum(weight or 0 for weight in weights)
    if None in weights or not 0 < total <= LARGEST_TOTAL:
        return None
    try:
        place = scale(mmh3.mmh3_32_uintdigest(cbor(key)), total)
    except InvalidInput:
        return None
    for share, weight in zip(shares, weights, strict=True):
        place -= weight or 0
        if place < 0 and isinstance(share, (list, tuple)):
            found: Json = share[0]
            return found
    return None


def _weight(share: Json) -> int | None:
    """The weight of one share, `[value]` or `[value, weight]`; below 0 counts as 0; None where it is neither."""
    if not isinstance(share, (list, tuple)) or not 1 <= len(share) <= 2:
        return None
    weight = share[1] if len(share) == 2 else 1
    return max(0, weight) if isinstance(weight, int) and not isinstance(weight, bool) else None


OPERATORS: Final[Mapping[str, Operator]] = {
    "==": Operator(coercion.loosely_equal, 2, 2),
    "!=": Operator(lambda left, right: not coercion.loosely_equal(left, right), 2, 2),
    "===": Operator(operator.eq, 2, 2),
    "!==": Operator(operator.ne, 2, 2),
    "<": Operator(_ordered(operator.lt, operator.lt), 2, 3),
    "<=": Operator(_ordered(operator.le, operator.le), 2, 3),
    ">": Operator(_ordered(operator.gt, operator.gt), 2, 3),
    ">=": Operator(_ordered(operator.ge, operator.ge), 2, 3),
    "!": Operator(lambda value: not coercion.truth(value), 1, 1),
    "!!": Operator(coercion.truth, 1, 1),
    "+": Operator(_add, 1, None),
    "-": Operator(_subtract, 1, 2),
    "*": Operator(_multiply, 1, None),
    "/": Operator(_divide, 2, 2),
    "%": Operator(_remainder, 2, 2),
    "min": Operator(_least, 1, None),
    "max": Operator(_greatest, 1, None),
    "in": Operator(coercion.contains, 2, 2),
    "cat": Operator(_join, 1, None),
    "substr": Operator(_part, 2, 3),
    "merge": Operator(_merge, 0, None),
    "starts_with": Operator(_starts_with, 2, 2),
    "ends_with": Operator(_ends_with, 2, 2),
    "sem_ver": Operator(compare_versions, 3, 3),
    "fractional": Operator(_fractional, 2, None),
}
