"""The variance of any figure of a sample of units by leaving out one block of units after the other."""

from collections.abc import Sequence

from lamella.stats.estimates import Estimate
from lamella.stats.undefined import Reason, Undefined


def jackknife(value: float | None, without: Sequence[float | None]) -> Estimate | Undefined:
    """The figure with the variance (g - 1)/g · Σ (without - mean)², over g blocks of units; `n` is g.

    `value` is that of all units, `without` that of all but one block each. A comparison of two such estimates has about
    g - 1 degrees of freedom each. Undefined where the figure or one without a block is None (no_denominator), and for
    fewer than 2 blocks. Source: Kott (2001), the delete-a-group jackknife.

    >>> jackknife(2.0, [2.5, 2.0, 1.5])
    Estimate(n=3, value=2.0, variance=0.3333333333333333)
    """
    known = [each for each in without if each is not None]
    if value is None or len(known) < len(without):
        return Undefined(Reason.NO_DENOMINATOR, "there is nothing to divide by, or only in one block of units")
    if len(known) < 2:
        return Undefined(Reason.TOO_FEW_UNITS, f"{len(known)} block of units; 2 are needed")
    centre = sum(known) / len(known)
    spread = sum((each - centre) ** 2 for each in known)
    return Estimate(n=len(known), value=value, variance=spread * (len(known) - 1) / len(known))
