"""Sums and products of whole numbers without any rounding, to which rows can be added and taken away again.

What was added and taken away leaves no trace: the same rows give the same sums in whatever order, so sums that are
kept for months equal those of a fresh count, digit by digit. Moments come from them by one division each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from lamella.errors import InvalidInput
from lamella.stats.moments import Moments

# Values are cut into pieces of 20 bits, so that a product of two, summed over a block, stays below 2**53 where floats
# hold every whole number: matrix products in floats are exact, and a hundred times as fast as whole numbers in Python.
_BITS: Final = 20
_MASK: Final = (1 << _BITS) - 1
_BLOCK: Final = 4096
_LARGEST: Final = 1 << (3 * _BITS - 1)
_BLOCKS: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactSums:
    """`units` rows, the sum of each of k columns, and the sums of products of each pair i <= j, row by row.

    >>> ExactSums.of(np.array([[1, 2], [3, 4]]))
    ExactSums(units=2, sums=(4, 6), products=(10, 14, 20))
    """

    units: int
    sums: tuple[int, ...]
    products: tuple[int, ...]

    @classmethod
    def empty(cls, size: int) -> Self:
        """The sums of no rows: the neutral element of `+`."""
        return cls(units=0, sums=(0,) * size, products=(0,) * (size * (size + 1) // 2))

    @classmethod
    def of(cls, rows: NDArray[np.int64]) -> Self:
        """The sums of `rows`: (n, k) int64. Raises InvalidInput for a value beyond ± 2**59."""
        if not len(rows):
            return cls.empty(rows.shape[1])
        low, high = rows.min(axis=0), rows.max(axis=0)
        if max(int(high.max()), -int(low.min())) >= _LARGEST:
            raise InvalidInput(f"a value is beyond ± {_LARGEST}; such sums are not kept exactly")
        levels = [
            np.flatnonzero((low < 0) | (high > 0)),
            np.flatnonzero((low < 0) | (high > _MASK)),
            np.flatnonzero((low < 0) | (high >= 1 << 2 * _BITS)),
        ]
        found = cls.empty(rows.shape[1])
        for start in range(0, len(rows), _BLOCK * _BLOCKS):
            found += cls._part(rows[start : start + _BLOCK * _BLOCKS], levels)
        return found

    @classmethod
    def _part(cls, rows: NDArray[np.int64], levels: Sequence[NDArray[np.intp]]) -> Self:
        """The sums of so many rows that 64 bits hold them; `levels` are the columns that have each piece."""
        used = [(level, int(column)) for level, columns in enumerate(levels) for column in columns]
        gram = np.zeros((len(used) + 1, len(used) + 1), dtype=np.int64)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            pieces = (
                block[:, levels[0]] & _MASK,
                (block[:, levels[1]] >> _BITS) & _MASK,
                block[:, levels[2]] >> 2 * _BITS,
            )
            columns = np.concatenate([np.ones((len(block), 1)), *pieces], axis=1)
            gram += (columns.T @ columns).astype(np.int64)
        size = rows.shape[1]
        sums, products = [0] * size, [[0] * size for _ in range(size)]
        for one, (level, column) in enumerate(used, 1):
            sums[column] += int(gram[0, one]) << (level * _BITS)
            for other, (next_level, next_column) in enumerate(used, 1):
                products[column][next_column] += int(gram[one, other]) << ((level + next_level) * _BITS)
        flat = tuple(products[i][j] for i in range(size) for j in range(i, size))
        return cls(units=len(rows), sums=tuple(sums), products=flat)

    def __add__(self, other: Self) -> Self:
        return self._with(other, 1)

    def __sub__(self, other: Self) -> Self:
        return self._with(other, -1)

    def moments(self, columns: Sequence[str], chosen: Sequence[int], divisors: Sequence[int]) -> Moments:
        """The moments of the `chosen` columns under their names `columns`, each divided by its divisor.

        Every mean and every centred product is the exact one, rounded once.
        """
        n, size = self.units, len(self.sums)
        if not n:
            return Moments.empty(columns)
        mean = np.array([self.sums[i] / (n * by) for i, by in zip(chosen, divisors, strict=True)])
        cross = np.zeros((len(chosen), len(chosen)))
        for a, (i, one) in enumerate(zip(chosen, divisors, strict=True)):
            for b in range(a, len(chosen)):
                j, other = chosen[b], divisors[b]
                low, high = min(i, j), max(i, j)
                product = self.products[low * size - low * (low - 1) // 2 + high - low]
                cross[a, b] = cross[b, a] = (n * product - self.sums[i] * self.sums[j]) / (n * one * other)
        return Moments(tuple(columns), n, mean, cross)

    def _with(self, other: Self, sign: int) -> Self:
        if len(self.sums) != len(other.sums):
            raise InvalidInput(f"sums of {len(self.sums)} columns do not go with those of {len(other.sums)}")
        return type(self)(
            units=self.units + sign * other.units,
            sums=tuple(a + sign * b for a, b in zip(self.sums, other.sums, strict=True)),
            products=tuple(a + sign * b for a, b in zip(self.products, other.products, strict=True)),
        )
