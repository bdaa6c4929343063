"""The sufficient statistics of an arm: n, means and centred cross products, mergeable and numerically stable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lamella.errors import InvalidInput

_ROUNDING: Final = 64 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """n units, the mean of each column and the matrix of centred sums of products.

    `columns`: k names. `mean`: (k,) float64. `cross`: (k, k) float64, sum over units of (x - mean)(x - mean)ᵀ, so
    that values near 1e9 with variance near 1 survive. `a + b` are the moments of both samples together.
    Source: Chan, Golub and LeVeque (1983).
    """

    columns: tuple[str, ...]
    n: int
    mean: NDArray[np.float64]
    cross: NDArray[np.float64]

    def __post_init__(self) -> None:
        k = len(self.columns)
        if self.n < 0 or self.mean.shape != (k,) or self.cross.shape != (k, k):
            raise InvalidInput(f"moments of {k} columns need n >= 0, mean ({k},) and cross ({k}, {k})")

    @classmethod
    def empty(cls, columns: Sequence[str]) -> Self:
        """The moments of no units: the neutral element of `+`."""
        k = len(columns)
        return cls(tuple(columns), 0, np.zeros(k), np.zeros((k, k)))

    @classmethod
    def from_rows(cls, columns: Sequence[str], rows: ArrayLike) -> Self:
        """The moments of `rows`: (n, k), one row a unit."""
        values = np.asarray(rows, dtype=np.float64).reshape(-1, len(columns))
        if not len(values):
            return cls.empty(columns)
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite spoils its own column alone
            mean = values.mean(axis=0)
            centred = values - mean
            mean = mean + centred.mean(axis=0)
            centred = values - mean
            return cls(tuple(columns), len(values), mean, centred.T @ centred)

    @classmethod
    def from_shifted_sums(
        cls, columns: Sequence[str], n: int, pilot: ArrayLike, sums: ArrayLike, products: ArrayLike
    ) -> Self:
        """The moments from sums shifted by a pilot mean: sums (k,) of x - pilot, products (k, k) of their products.

        Stable as long as `pilot` is near the mean: this is what one grouped SQL query yields.
        """
        if n == 0:
            return cls.empty(columns)
        shift = np.asarray(sums, dtype=np.float64) / n
        cross = np.asarray(products, dtype=np.float64) - n * np.outer(shift, shift)
        return cls(tuple(columns), n, np.asarray(pilot, dtype=np.float64) + shift, cross)

    def __add__(self, other: Self) -> Self:
        if self.columns != other.columns:
            raise InvalidInput(f"moments of columns {self.columns} cannot be added to those of {other.columns}")
        if not self.n or not other.n:
            return self if self.n else other
        n = self.n + other.n
        gap = other.mean - self.mean
        cross = self.cross + other.cross + np.outer(gap, gap) * (self.n * other.n / n)
        return type(self)(self.columns, n, self.mean + gap * (other.n / n), cross)

    def index(self, column: str) -> int:
        """Where `column` stands. Raises InvalidInput for an unknown one."""
        try:
            return self.columns.index(column)
        except ValueError:
            raise InvalidInput(f"no column {column!r} among {', '.join(self.columns)}") from None

    def mean_of(self, column: str) -> float:
        """The mean of a column."""
        return float(self.mean[self.index(column)])

    def covariance_of(self, one: str, other: str) -> float:
        """The unbiased covariance of two columns (the variance where they are the same); NaN for n < 2."""
        if self.n < 2:
            return float("nan")
        return float(self.cross[self.index(one), self.index(other)]) / (self.n - 1)

    def sum_of(self, column: str) -> float:
        """The sum of a column over all units."""
        return self.n * self.mean_of(column)

    def project(self, combinations: Mapping[str, Mapping[str, float]]) -> Self:
        """The moments of new columns, each a weighted sum of the present ones; no weights make a column of zeros.

        Rounding that stays of a variance which cancels (a ratio that is the same for every unit) is set to 0, by
        a bound relative to what cancelled, so that the metric's unit plays no part.

        >>> rows = Moments.from_rows(("comments", "shares"), [[1, 0], [2, 1], [0, 2]])
        >>> rows.project({"both": {"comments": 1.0, "shares": 1.0}}).mean_of("both")
        2.0
        """
        weights = np.zeros((len(combinations), len(self.columns)))
        for row, combination in enumerate(combinations.values()):
            for column, weight in combination.items():
                weights[row, self.index(column)] = weight
        with np.errstate(invalid="ignore", over="ignore"):
            mean, cross = weights @ self.mean, weights @ self.cross @ weights.T
            if not (np.isfinite(mean).all() and np.isfinite(cross).all()):
                mean, cross = self._projected_apart(weights)
            size = np.abs(weights) @ np.sqrt(np.abs(np.diag(self.cross)))
            constant = np.diag(cross) <= _ROUNDING * size**2
            constant |= np.diag(cross) <= self.n * (_ROUNDING * (np.abs(weights) @ np.abs(self.mean))) ** 2
            cross[constant, :] = 0.0
            cross[:, constant] = 0.0
        return type(self)(tuple(combinations), self.n, mean, cross)

    def _projected_apart(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and cross products where a column is not finite: it spoils the combinations that hold it, no others."""
        used = [np.flatnonzero(row) for row in weights]
        mean = np.array([row[at] @ self.mean[at] for row, at in zip(weights, used, strict=True)])
        cross = np.array(
            [
                [weights[i][one] @ self.cross[np.ix_(one, two)] @ weights[j][two] for j, two in enumerate(used)]
                for i, one in enumerate(used)
            ]
        )
        return mean, cross
