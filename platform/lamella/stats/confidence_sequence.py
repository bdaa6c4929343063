"""Always-valid tests: an interval and p-value that may be looked at after every unit, without a planned end."""

import math
from typing import Final

from lamella.errors import InvalidInput
from lamella.stats.estimates import Difference, Estimate, difference
from lamella.stats.tails import check_level, two_sided_p
from lamella.stats.undefined import Undefined

TIGHTEST_UNITS: Final = 10_000


def mixture_variance(*, alpha: float = 0.05, tightest_units: int = TIGHTEST_UNITS) -> float:
    """ρ², which makes the interval tightest at `tightest_units` units; it must be fixed before the data are seen.

    >>> round(mixture_variance(alpha=0.05, tightest_units=10_000) * 10_000, 4)
    7.9362

    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (arXiv 2103.06476), appendix B.2.
    """
    check_level("alpha", alpha)
    if tightest_units < 1:
        raise InvalidInput(f"tightest_units is {tightest_units}; at least 1 is needed")
    twice = -2.0 * math.log(alpha)
    return (twice + math.log1p(twice)) / tightest_units


def always_valid_critical(units: int, *, alpha: float = 0.05, rho_squared: float) -> float:
    """The |z| that the statistic must exceed after `units` units, at whatever moment one looks.

    >>> round(always_valid_critical(10_000, rho_squared=mixture_variance()), 3)
    3.035
    """
    growth = units * rho_squared + 1.0
    return math.sqrt(2.0 * growth / (growth - 1.0) * (math.log(growth) / 2.0 - math.log(alpha)))


def always_valid_p(z: float, units: int, *, rho_squared: float) -> float:
    """min(1, √(nρ²+1)·exp(-ρ²nz²/(2(nρ²+1)))); the smallest so far is valid at every moment.

    >>> always_valid_p(1.96, 10_000, rho_squared=mixture_variance()) > 0.3
    True
    """
    growth = units * rho_squared + 1.0
    return math.exp(min(0.0, math.log(growth) / 2.0 - (growth - 1.0) / growth * z * z / 2.0))


def confidence_sequence(
    control: Estimate | Undefined,
    treatment: Estimate | Undefined,
    *,
    alpha: float = 0.05,
    rho_squared: float | None = None,
) -> Difference | Undefined:
    """The difference with an interval that covers the truth at all moments at once with probability 1 - alpha.

    `p` is the always-valid one of this moment, and `alpha` the level; p < alpha exactly when the interval excludes
    0. n counts the units of both arms. Undefined where `difference` is. Asymptotic: for arms of some hundred units
    and more. `rho_squared` None takes the one that is tightest at 10,000 units.
    Source: Waudby-Smith et al. (arXiv 2103.06476), theorem 2.2.

    >>> one, two = Estimate(n=5000, value=1.0, variance=1e-4), Estimate(n=5000, value=1.05, variance=1e-4)
    >>> found = confidence_sequence(one, two)
    >>> found.p < 0.05, found.low > 0
    (True, True)
    """
    rho_squared = mixture_variance(alpha=alpha) if rho_squared is None else rho_squared
    plain = difference(control, treatment)
    if isinstance(plain, Undefined) or isinstance(control, Undefined) or isinstance(treatment, Undefined):
        return plain
    units = control.n + treatment.n
    half = always_valid_critical(units, alpha=alpha, rho_squared=rho_squared)
    same = difference(control, treatment, alpha=two_sided_p(half))
    if isinstance(same, Undefined):
        return same
    p = always_valid_p(same.z, units, rho_squared=rho_squared)
    return Difference(
        value=same.value,
        standard_error=same.standard_error,
        df=same.df,
        statistic=same.statistic,
        low=same.low,
        high=same.high,
        p=p,
        log10_p=math.log10(p) if p > 0.0 else same.log10_p,
        alpha=alpha,
    )
