"""Capping of extreme values at a quantile of all arms together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lamella.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Winsorised:
    """The arms' values after capping, in the order of the arms, and the cap that all of them share."""

    arms: tuple[NDArray[np.float64], ...]
    cap: float


def pooled_cap(arms: Sequence[ArrayLike], *, quantile: float = 0.99, ignore_zeros: bool = False) -> float:
    """The quantile of the values of all arms together, before any split by variant.

    `ignore_zeros` takes the quantile over the values that are not 0. NaN is left out; no values give infinity.
    Raises InvalidInput for a quantile outside (0, 1].

    >>> pooled_cap([[1, 2, 3], [4, 100]], quantile=0.5)
    3.0
    """
    if not 0.0 < quantile <= 1.0:
        raise InvalidInput(f"quantile is {quantile}; it must lie in (0, 1]")
    values = np.concatenate([np.asarray(arm, dtype=np.float64).ravel() for arm in arms]) if arms else np.empty(0)
    values = values[~np.isnan(values)]
    if ignore_zeros:
        values = values[values != 0.0]
    return float(np.quantile(values, quantile)) if len(values) else float("inf")


def winsorise(arms: Sequence[ArrayLike], *, quantile: float = 0.99, ignore_zeros: bool = False) -> Winsorised:
    """Every arm's values, none above the pooled quantile; the same cap for every arm.

    A cap for each arm would hide an effect on the tail and find one where there is none.

    >>> winsorise([[1, 2, 3], [4, 100]], quantile=0.75).arms[1].tolist()
    [4.0, 4.0]
    """
    cap = pooled_cap(arms, quantile=quantile, ignore_zeros=ignore_zeros)
    return Winsorised(arms=tuple(np.minimum(np.asarray(arm, dtype=np.float64), cap) for arm in arms), cap=cap)
