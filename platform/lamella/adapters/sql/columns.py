"""Columns of the record, checked and converted whole: a few calls for thousands of values.

A check here takes no value that `lamella.events.validation` would refuse; it may refuse one that is fine, and then the
records are read one by one.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, compress
from operator import itemgetter
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lamella.events.validation import CONTROL, TEXT_LIMIT

Column: TypeAlias = Any
"""A sequence of Python's values, an array of numpy or one of Arrow: `kept`, `taken` and `plain` take each."""

Integers: TypeAlias = NDArray[np.int64]

MICRO: Final = 1_000_000
DAY_MICROS: Final = 86_400 * MICRO
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBERS: Final = frozenset((float, int))


def transposed(rows: Iterable[Sequence[Any]], width: int) -> list[Column]:
    """The columns of rows that are all `width` long. Raises ValueError where one is not."""
    columns: list[Column] = list(zip(*rows, strict=True)) or [()] * width
    if len(columns) != width:
        raise ValueError(f"rows of {len(columns)}, not {width}")
    return columns


def joined(columns: Sequence[Column]) -> Column:
    """The columns, all of one kind, one behind the other."""
    if len(columns) == 1:
        return columns[0]
    if isinstance(columns[0], np.ndarray):
        return np.concatenate(columns)
    return list(chain.from_iterable(columns))


def only(column: Iterable[object], *kinds: type) -> bool:
    """Whether every value is of exactly one of these types: a bool is no int."""
    return set(map(type, column)) <= set(kinds)


def are_texts(column: Collection[Any], *, least: int = 1, most: int = TEXT_LIMIT) -> bool:
    """Whether every value is a text of `least` to `most` characters without control characters."""
    if not column:
        return True
    if not only(column, str):
        return False
    lengths = set(map(len, column))
    joined = "".join(column)
    return least <= min(lengths) and max(lengths) <= most and (joined.isprintable() or not CONTROL.search(joined))


def are_whole(column: Column, *, least: int, most: int) -> bool:
    """Whether every value is a whole number from `least` to `most`."""
    return not column or (only(column, int) and least <= min(column) and max(column) <= most)


def are_millionths(column: Column, *, least: float, most: float) -> bool:
    """Whether every value is a number from `least` to `most`, and no finer than a millionth."""
    if not column:
        return True
    if not set(map(type, column)) <= _NUMBERS:
        return False
    values = np.array(column, dtype=np.float64)
    is_inside = least <= values.min() and values.max() <= most and bool(np.isfinite(values).all())
    # The nearest float to a whole number of millionths is what rounding to six digits gives.
    return is_inside and bool((np.rint(values * MICRO) / MICRO == values).all())


def are_finite(numbers: Any, *, above: float = -math.inf, most: float = math.inf) -> bool:
    """Whether every value of an array is finite, greater than `above` and at most `most`."""
    values = np.asarray(numbers)
    if not values.size:
        return True
    return bool(np.isfinite(values).all()) and above < values.min() and bool(values.max() <= most)


def floats(column: Column) -> Column:
    """The column with its whole numbers as floats; anything else stays."""
    if int not in set(map(type, column)):
        return column
    return [float(each) if type(each) is int else each for each in column]


def micros_of(values: Column) -> Integers:
    """Numbers as whole millionths."""
    return np.rint(np.array(values, dtype=np.float64) * MICRO).astype(np.int64)


def micros_at(moment: datetime) -> int:
    """The moment as microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def taken(column: Column, rows: Integers) -> Column:
    """The values of these rows."""
    if hasattr(column, "take"):
        return column.take(rows)
    match rows.size:
        case 0:
            return ()
        case 1:
            return (column[int(rows[0])],)
    found: Column = itemgetter(*rows.tolist())(column)
    return found


def kept(column: Column, mask: NDArray[np.bool_]) -> Column:
    """The values where the mask is true; the column itself where it is true throughout."""
    if mask.all():
        return column
    if isinstance(column, np.ndarray):
        return column[mask]
    return column.filter(mask) if hasattr(column, "filter") else list(compress(column, mask.tolist()))


def is_stretch(values: Sequence[Any]) -> bool:
    """Whether these are whole numbers of which each is the one before and one more."""
    return bool(values) and type(values[0]) is int and list(values) == list(range(values[0], values[0] + len(values)))


def plain(column: Column) -> Sequence[Any]:
    """The column as values of Python."""
    found: Sequence[Any] = column.tolist() if hasattr(column, "tolist") else column
    return found
