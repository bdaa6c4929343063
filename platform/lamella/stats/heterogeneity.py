"""Do several differences agree: the same effect in every segment, or one that depends on another experiment."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import chdtrc

from lamella.stats.estimates import Difference, Estimate, from_difference, usable_pair
from lamella.stats.undefined import Reason, Undefined


@dataclass(frozen=True, slots=True, kw_only=True)
class Heterogeneity:
    """Cochran's Q over the differences, χ² with `df` degrees of freedom if all are the same."""

    statistic: float
    df: int
    p: float


def heterogeneity(differences: Sequence[Difference]) -> Heterogeneity | Undefined:
    """The test that independent differences are the same, each weighted by 1 / its squared standard error.

    Undefined for fewer than 2 (too_few_arms). Large samples are assumed. Source: Cochran (1954).

    >>> one = from_difference(1.0, 0.25, 98.0, alpha=0.05)
    >>> two = from_difference(2.0, 0.25, 98.0, alpha=0.05)
    >>> found = heterogeneity([one, two])
    >>> found.statistic, round(found.p, 4)
    (2.0, 0.1573)
    """
    if len(differences) < 2:
        return Undefined(Reason.TOO_FEW_ARMS, f"{len(differences)} segment has a difference; 2 are needed")
    weights = [each.standard_error**-2 for each in differences]
    centre = sum(w * each.value for w, each in zip(weights, differences, strict=True)) / sum(weights)
    statistic = sum(w * (each.value - centre) ** 2 for w, each in zip(weights, differences, strict=True))
    df = len(differences) - 1
    return Heterogeneity(statistic=statistic, df=df, p=float(chdtrc(df, statistic)))


def interaction(
    one: tuple[Estimate | Undefined, Estimate | Undefined],
    other: tuple[Estimate | Undefined, Estimate | Undefined],
    *,
    alpha: float = 0.05,
) -> Difference | Undefined:
    """How much the difference (control, treatment) of `other` exceeds that of `one`: the 2×2 interaction.

    The four cells are independent and their variances may differ; degrees of freedom by Satterthwaite. Undefined where
    a pair is.

    >>> cell = lambda value: Estimate(n=100, value=value, variance=0.01)
    >>> found = interaction((cell(1.0), cell(1.2)), (cell(1.0), cell(1.7)))
    >>> round(found.value, 2), round(found.standard_error, 2)
    (0.5, 0.2)
    """
    cells: list[Estimate] = []
    for pair in (one, other):
        usable = usable_pair(*pair)
        if isinstance(usable, Undefined):
            return usable
        cells += usable
    variance = math.fsum(each.variance for each in cells)
    squares = math.fsum((each.variance / variance) ** 2 / (each.n - 1) for each in cells)
    value = (cells[3].value - cells[2].value) - (cells[1].value - cells[0].value)
    return from_difference(value, variance, 1.0 / squares, alpha=alpha)
