"""The order of candidates by their values, worked out where somebody looks at it."""

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from lamella.recommenders.layers import Floats

T = TypeVar("T", bound=np.generic)

_ROW_BITS: Final = 32
_ROWS: Final = (1 << _ROW_BITS) - 1
_ALL_BUT_SIGN: Final = np.int32(0x7FFFFFFF)
_ZERO: Final = np.float32(0)
_MANY: Final = 20_000
"""Of more values, those that are too small are left out first: integers of all of them would not stay in the cache."""


class Order:
    """The places of `values`, greatest first; of equal ones the first. Worked out when somebody looks, and kept.

    No value may be NaN. Safe from any thread: two that look at once work out the same.
    """

    __slots__ = ("_values", "_whole")

    def __init__(self, values: Floats) -> None:
        self._values = values
        self._whole: NDArray[np.int64] | None = None

    def whole(self) -> NDArray[np.int64]:
        """All places: (n,)."""
        whole = self._whole
        if whole is None:
            whole = self._whole = best_places(self._values)
        return whole

    def part(self, array: NDArray[T], part: slice) -> NDArray[T]:
        """This part of `array` (n,) in this order: `array[whole()][part]`."""
        return array[self.whole()[part]]


def best_rows(values: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """The rows of the `count` greatest values, greatest first; of equal ones the smaller row. None may be NaN.

    Each value becomes one integer with its row behind it. Sorting those takes a third of the time that a stable order
    of floats takes, and the first of them are parted from the rest without a look at equals. The bits of an IEEE 754
    number, those behind the sign turned over where that is set, are in the order of the numbers.
    """
    count = min(max(count, 0), len(values))
    if count == 0:
        return np.zeros(0, dtype=np.int64)
    rows = np.arange(len(values))
    if count < len(values) > _MANY:
        rows = np.flatnonzero(values >= np.partition(values, -count)[-count])
        values = values[rows]
    if values.dtype != np.float32:
        return rows[np.lexsort((rows, -values))[:count]]
    # 0 - x, and not -x: it has one zero.
    bits = (_ZERO - values).view(np.int32)
    turned = bits >> 31
    turned &= _ALL_BUT_SIGN
    turned ^= bits
    keys = turned.astype(np.int64)
    keys <<= _ROW_BITS
    keys |= rows
    if count < len(keys):
        keys.partition(count - 1)
        keys = keys[:count]
    keys.sort()
    keys &= _ROWS
    return keys


def best_places(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """The places of all values, greatest first; of equal ones the first: `argsort(-values)`, stable, in half the time.

    None may be NaN.
    """
    return best_rows(values, len(values))
