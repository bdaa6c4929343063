"""The mean of a column over all exposed units, and the difference between two arms."""

from lamella.stats.estimates import Difference, Estimate, difference
from lamella.stats.moments import Moments
from lamella.stats.undefined import Reason, Undefined


def mean(arm: Moments, column: str) -> Estimate | Undefined:
    """The mean of `column` with its squared standard error s²/n; NaN variance for one unit.

    Undefined for no units (too_few_units). Raises InvalidInput for an unknown column.

    >>> mean(Moments.from_rows(("clicks",), [[1], [2], [3]]), "clicks")
    Estimate(n=3, value=2.0, variance=0.3333333333333333)
    """
    if not arm.n:
        return Undefined(Reason.TOO_FEW_UNITS, "the arm has no units")
    own = arm.project({column: {column: 1.0}})
    return Estimate(n=arm.n, value=own.mean_of(column), variance=own.covariance_of(column, column) / arm.n)


def welch(control: Moments, treatment: Moments, column: str, *, alpha: float = 0.05) -> Difference | Undefined:
    """The difference of the two means, treatment minus control, with its interval and two-sided p-value.

    Undefined if an arm has fewer than 2 units or neither arm varies. Source: Welch (1947).

    >>> control = Moments.from_rows(("x",), [[1], [2], [3], [4]])
    >>> treatment = Moments.from_rows(("x",), [[3], [4], [6], [7]])
    >>> found = welch(control, treatment, "x")
    >>> round(found.value, 2), round(found.df, 2), round(found.p, 4)
    (2.5, 5.4, 0.0716)
    """
    return difference(mean(control, column), mean(treatment, column), alpha=alpha)
