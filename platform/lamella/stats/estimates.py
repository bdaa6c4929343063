"""An arm's figure with its squared standard error, and the difference of two of them."""

import math
from dataclasses import dataclass

from lamella.stats.tails import critical_value, log10_two_sided_p, normal_equivalent, two_sided_p
from lamella.stats.undefined import Reason, Undefined


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure of one arm over `n` units, and its sampling variance (the square of its standard error)."""

    n: int
    value: float
    variance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Treatment minus control, in the metric's own unit, with its interval at level 1 - alpha.

    `p` is two-sided; where it is below float's range `log10_p` still tells it. `p` < `alpha` exactly when the
    interval excludes 0.
    """

    value: float
    standard_error: float
    df: float
    statistic: float
    low: float
    high: float
    p: float
    log10_p: float
    alpha: float

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes 0."""
        return self.p < self.alpha

    @property
    def z(self) -> float:
        """The normal deviate with the same sign and the same p-value as the statistic."""
        return math.copysign(normal_equivalent(self.log10_p), self.statistic)


def usable_pair(
    control: Estimate | Undefined, treatment: Estimate | Undefined
) -> tuple[Estimate, Estimate] | Undefined:
    """Both estimates, or the first reason why they cannot be compared."""
    if isinstance(control, Undefined):
        return control
    if isinstance(treatment, Undefined):
        return treatment
    for arm, estimate in (("control", control), ("treatment", treatment)):
        if estimate.n < 2:
            return Undefined(Reason.TOO_FEW_UNITS, f"{arm} has {estimate.n} units; 2 are needed")
        if not (math.isfinite(estimate.value) and math.isfinite(estimate.variance)):
            return Undefined(Reason.NOT_FINITE, f"{arm} has a value that is not finite")
    if control.variance + treatment.variance <= 0.0:
        return Undefined(Reason.ZERO_VARIANCE, "no unit of either arm differs from the others")
    return control, treatment


def satterthwaite(control: Estimate, treatment: Estimate) -> float:
    """The approximate degrees of freedom of the difference; needs n >= 2 and a positive variance.

    Source: Satterthwaite (1946), equation 17; written with shares, so that tiny variances do not underflow.
    """
    share = control.variance / (control.variance + treatment.variance)
    return 1.0 / (share**2 / (control.n - 1) + (1.0 - share) ** 2 / (treatment.n - 1))


def difference(
    control: Estimate | Undefined, treatment: Estimate | Undefined, *, alpha: float = 0.05
) -> Difference | Undefined:
    """Treatment minus control with its interval and two-sided p-value; variances may differ.

    Undefined where an arm is, has fewer than 2 units, or neither arm varies. Source: Welch (1947).

    >>> one, two = Estimate(n=100, value=1.0, variance=0.02), Estimate(n=100, value=1.5, variance=0.02)
    >>> found = difference(one, two)
    >>> round(found.value, 2), round(found.p, 4)
    (0.5, 0.0132)
    """
    pair = usable_pair(control, treatment)
    if isinstance(pair, Undefined):
        return pair
    return tested(*pair, alpha=alpha)


def tested(control: Estimate, treatment: Estimate, *, alpha: float) -> Difference:
    """The difference of a pair that `usable_pair` has let through."""
    return from_difference(
        treatment.value - control.value,
        control.variance + treatment.variance,
        satterthwaite(control, treatment),
        alpha=alpha,
    )


def from_difference(value: float, variance: float, df: float, *, alpha: float) -> Difference:
    """The test of `value` against 0, with squared standard error `variance` > 0."""
    error = math.sqrt(variance)
    statistic = value / error
    half = critical_value(alpha, df) * error
    return Difference(
        value=value,
        standard_error=error,
        df=df,
        statistic=statistic,
        low=value - half,
        high=value + half,
        p=two_sided_p(statistic, df),
        log10_p=log10_two_sided_p(statistic, df),
        alpha=alpha,
    )
