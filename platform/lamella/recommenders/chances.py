"""The scores of candidates, and their order: worked out for those whom somebody looks at."""

from collections.abc import Iterator, Sequence
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from lamella.recommenders.artifact import Floats, sigmoid

_PLACE_BITS: Final = 32
_PLACES: Final = (1 << _PLACE_BITS) - 1
_ALL_BUT_SIGN: Final = np.int32(0x7FFFFFFF)
_ZERO: Final = np.float32(0)


class Chances(Sequence[float]):
    """Chances 0..1, as the logits that they are the sigmoid of. A request reads those of its slate, not of all.

    A sequence like any other to whoever reads it.
    """

    __slots__ = ("logits",)

    def __init__(self, logits: Floats) -> None:
        self.logits = logits

    def __len__(self) -> int:
        return len(self.logits)

    @overload
    def __getitem__(self, place: int) -> float: ...
    @overload
    def __getitem__(self, place: slice) -> "Chances": ...
    def __getitem__(self, place: int | slice) -> "float | Chances":
        if isinstance(place, slice):
            return Chances(self.logits[place])
        return float(sigmoid(self.logits[place, None])[0])

    def __iter__(self) -> Iterator[float]:
        chances: list[float] = sigmoid(self.logits).tolist()
        return iter(chances)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # a sequence that compares by its values is not for sets

    def __repr__(self) -> str:
        return repr(list(self))


def best_rows(values: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """The rows of the `count` greatest values, greatest first; of equal ones the smaller row."""
    if count <= 0:
        return np.zeros(0, dtype=np.int64)
    rows = values.argpartition(len(values) - count)[len(values) - count :]
    last = values[rows[0]]
    ties = np.flatnonzero(values == last)
    if len(ties) > 1:
        better = rows[values[rows] > last]
        rows = np.concatenate((better, ties[: count - len(better)]))
    return _descending(values[rows], rows)


def best_places(values: Floats) -> NDArray[np.int64]:
    """The places of all values, greatest first; of equal ones the first: `argsort(-values)`, stable, in half the time.

    None may be NaN.
    """
    return _descending(values, np.arange(len(values)))


def _descending(values: NDArray[np.floating], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """`places` by their values, greatest first; of equal ones the smaller place.

    Each becomes one integer, its value before its place: sorting those takes a third of the time that an order of
    floats takes which is stable. The bits of an IEEE 754 number, those behind the sign turned over where that is set,
    are in the order of the numbers.
    """
    if values.dtype != np.float32:
        return places[np.lexsort((places, -values))]
    # 0 - x, and not -x: it has one zero.
    bits = (_ZERO - values).view(np.int32)
    keys = (bits ^ ((bits >> 31) & _ALL_BUT_SIGN)).astype(np.int64) << _PLACE_BITS
    keys |= places
    keys.sort()
    keys &= _PLACES
    return keys
