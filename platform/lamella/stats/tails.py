"""Tail areas and critical values of the normal and Student distributions, exact far beyond float's underflow."""

import math

from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp, stdtr, stdtrit

from lamella.errors import InvalidInput

_LN10 = math.log(10.0)
_TINY = 1e-290


def check_level(name: str, value: float) -> None:
    """Nothing, for a level strictly between 0 and 1; raises InvalidInput for anything else."""
    if not 0.0 < value < 1.0:
        raise InvalidInput(f"{name} is {value}; it must lie strictly between 0 and 1")


def upper_tail(statistic: float, df: float = math.inf) -> float:
    """The probability that a Student (normal for infinite `df`) variable exceeds `statistic`.

    >>> round(upper_tail(1.959964), 6)
    0.025
    """
    return float(ndtr(-statistic) if math.isinf(df) else stdtr(df, -statistic))


def two_sided_p(statistic: float, df: float = math.inf) -> float:
    """The probability of |T| >= |statistic|; 0 only below the smallest float.

    >>> two_sided_p(30.0) > 0.0
    True
    """
    return 2.0 * upper_tail(abs(statistic), df)


def log10_upper_tail(statistic: float, df: float = math.inf) -> float:
    """The decimal logarithm of `upper_tail`, finite for every `statistic` up to 1e150.

    >>> round(log10_upper_tail(100.0), 2)
    -2173.87
    """
    if math.isinf(df):
        return float(log_ndtr(-statistic)) / _LN10
    area = upper_tail(statistic, df)
    if area > _TINY:
        return math.log10(area)
    return (_log_incomplete_beta(df / 2.0, statistic, df) - math.log(2.0)) / _LN10


def log10_two_sided_p(statistic: float, df: float = math.inf) -> float:
    """The decimal logarithm of `two_sided_p`, where that is below float's range too."""
    return min(0.0, log10_upper_tail(abs(statistic), df) + math.log10(2.0))


def critical_value(alpha: float, df: float = math.inf) -> float:
    """The positive value that |T| exceeds with probability `alpha`.

    >>> round(critical_value(0.05), 4), round(critical_value(0.05, 10), 4)
    (1.96, 2.2281)
    """
    check_level("alpha", alpha)
    return float(-ndtri(alpha / 2.0) if math.isinf(df) else -stdtrit(df, alpha / 2.0))


def normal_equivalent(log10_p: float) -> float:
    """The |z| whose two-sided p-value has this decimal logarithm.

    >>> round(normal_equivalent(math.log10(0.05)), 4)
    1.96
    """
    return max(0.0, float(-ndtri_exp(log10_p * _LN10 - math.log(2.0))))


def _log_incomplete_beta(a: float, statistic: float, df: float) -> float:
    """The logarithm of I_x(df/2, 1/2), x = df / (df + statistic²), for large statistics; by Lentz' continued fraction.

    Source: Numerical Recipes, 3rd edition, equation 6.4.5; DLMF 8.17.22.
    """
    b = 0.5
    ln_x = -math.log1p(statistic / df * statistic)
    ln_rest = -math.log1p(df / statistic / statistic)
    x = math.exp(ln_x)
    front = a * ln_x + b * ln_rest - math.log(a)
    front += math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    fraction = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1.0 / (1.0 + even * d), 1.0 + even / c
        fraction *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1.0 / (1.0 + odd * d), 1.0 + odd / c
        fraction *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return front + math.log(fraction)
