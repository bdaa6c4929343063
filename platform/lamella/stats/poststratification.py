"""The difference of two arms within strata, weighted by the strata's shares."""

from collections.abc import Mapping

from lamella.errors import InvalidInput
from lamella.stats.estimates import Difference, Estimate, from_difference
from lamella.stats.undefined import Reason, Undefined


def poststratified(
    strata: Mapping[str, tuple[Estimate, Estimate]],
    *,
    shares: Mapping[str, float] | None = None,
    alpha: float = 0.05,
) -> Difference | Undefined:
    """Σ w·(treatment - control) over strata (control, treatment), v = Σ w²·(v_b + v_a); df by Satterthwaite.

    `shares` are the strata's known shares; None takes their shares of all units of both arms. Undefined if a stratum
    has fewer than 2 units in an arm (too_few_units: merge it with another) or nothing varies.
    Raises InvalidInput if `shares` names other strata. Source: Miratrix, Sekhon and Yu (2013).

    >>> phone = Estimate(n=300, value=1.0, variance=0.01), Estimate(n=300, value=1.2, variance=0.01)
    >>> desktop = Estimate(n=100, value=3.0, variance=0.04), Estimate(n=100, value=3.6, variance=0.04)
    >>> round(poststratified({"phone": phone, "desktop": desktop}).value, 3)
    0.3
    """
    if shares is not None and set(shares) != set(strata):
        raise InvalidInput(f"shares name the strata {sorted(shares)}, the data {sorted(strata)}")
    for key, pair in strata.items():
        if min(pair[0].n, pair[1].n) < 2:
            return Undefined(Reason.TOO_FEW_UNITS, f"stratum {key!r} has an arm with fewer than 2 units")
    sizes = shares or {key: float(pair[0].n + pair[1].n) for key, pair in strata.items()}
    total = sum(sizes.values())
    value = variance = squares = 0.0
    for key, pair in strata.items():
        weight = sizes[key] / total
        value += weight * (pair[1].value - pair[0].value)
        for estimate in pair:
            part = weight**2 * estimate.variance
            variance += part
            squares += part**2 / (estimate.n - 1)
    if not variance > 0.0:
        return Undefined(Reason.ZERO_VARIANCE, "no unit of any stratum differs from the others")
    return from_difference(value, variance, variance**2 / squares, alpha=alpha)
