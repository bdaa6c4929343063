"""Corrections for testing several hypotheses: adjusted p-values, and the level at which intervals agree with them."""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from lamella.errors import InvalidInput
from lamella.stats.tails import check_level


class Correction(StrEnum):
    """How the level is shared. Holm, Hochberg and Bonferroni hold the chance of any false alarm, BH and BY their share.

    Holm, Bonferroni and BY need no assumption; Hochberg and BH need tests that are independent or positively
    dependent, as comparisons with one control are.
    """

    NONE = "none"
    BONFERRONI = "bonferroni"
    HOLM = "holm"
    HOCHBERG = "hochberg"
    BENJAMINI_HOCHBERG = "bh"
    BENJAMINI_YEKUTIELI = "by"


def correction_named(name: str) -> Correction:
    """The correction of this name. Raises InvalidInput that lists the names there are.

    >>> correction_named("holm").value
    'holm'
    """
    try:
        return Correction(name)
    except ValueError:
        raise InvalidInput(f"no correction {name!r}; use one of {', '.join(Correction)}") from None


def adjusted_p(p: Sequence[float], correction: Correction = Correction.HOLM) -> tuple[float, ...]:
    """The p-values after correction, in the order given; a hypothesis is rejected where its own is below alpha.

    Leave undefined tests out. Raises InvalidInput for a value outside [0, 1]. Sources: Holm (1979), Hochberg (1988),
    Benjamini and Hochberg (1995), Benjamini and Yekutieli (2001).

    >>> [round(each, 3) for each in adjusted_p([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    values = _checked(p)
    if not len(values):
        return ()
    order = np.argsort(values, kind="stable")
    steps = values[order] * _factors(len(values), correction)
    steps_down = correction is Correction.HOLM
    steps = np.maximum.accumulate(steps) if steps_down else np.minimum.accumulate(steps[::-1])[::-1]
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(steps, 1.0)
    return tuple(float(each) for each in adjusted)


def step_levels(count: int, *, alpha: float = 0.05, correction: Correction = Correction.HOLM) -> tuple[float, ...]:
    """The levels that the sorted p-values (smallest first) are compared with.

    >>> [round(each, 4) for each in step_levels(3)]
    [0.0167, 0.025, 0.05]
    """
    check_level("alpha", alpha)
    return tuple(float(alpha / factor) for factor in _factors(count, correction))


def rejected_count(p: Sequence[float], levels: Sequence[float], *, correction: Correction = Correction.HOLM) -> int:
    """How many hypotheses are rejected when the sorted p-values are held against `levels`, smallest first.

    Holm steps down and stops at the first that stands; the others step up from the last that falls.

    >>> rejected_count([0.001, 0.04, 0.6], step_levels(3))
    1
    """
    falls = [value < level for value, level in zip(sorted(p), levels, strict=True)]
    if correction is Correction.HOLM:
        return falls.index(False) if False in falls else len(falls)
    return max((rank for rank, fell in enumerate(falls, start=1) if fell), default=0)


def implied_level(p: Sequence[float], *, alpha: float = 0.05, correction: Correction = Correction.HOLM) -> float:
    """The one level at which intervals exclude 0 exactly for the hypotheses that the correction rejects.

    It is the level of the last rejection (for BH the false coverage rate of Benjamini and Yekutieli, 2005), or that
    of the first step where nothing is rejected.

    >>> implied_level([0.001, 0.04, 0.6], alpha=0.06)
    0.02
    """
    levels = step_levels(max(len(p), 1), alpha=alpha, correction=correction)
    return levels[max(rejected_count(p, levels[: len(p)], correction=correction), 1) - 1]


def _checked(p: Sequence[float]) -> NDArray[np.float64]:
    values = np.asarray(p, dtype=np.float64)
    if not ((values >= 0.0) & (values <= 1.0)).all():
        raise InvalidInput(f"p-values are {list(p)}; each must lie in [0, 1], leave undefined ones out")
    return values


def _factors(count: int, correction: Correction) -> NDArray[np.float64]:
    """What the p-value of each rank, smallest first, is multiplied by."""
    rank = np.arange(1, count + 1, dtype=np.float64)
    if correction is Correction.NONE:
        return np.ones(count)
    if correction is Correction.BONFERRONI:
        return np.full(count, float(count))
    if correction in (Correction.HOLM, Correction.HOCHBERG):
        return count - rank + 1.0
    share = np.asarray(count / rank, dtype=np.float64)
    return share * float((1.0 / rank).sum()) if correction is Correction.BENJAMINI_YEKUTIELI else share
