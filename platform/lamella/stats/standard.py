"""The standard that a plan holds its comparisons to at one look, and the comparisons judged by it as a family."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from lamella.stats.confidence_sequence import always_valid_critical, always_valid_p, mixture_variance
from lamella.stats.estimates import Difference, Estimate, tested, usable_pair
from lamella.stats.lift import Lift, Shape, fieller
from lamella.stats.multiplicity import Correction, adjusted_p, rejected_count, step_levels
from lamella.stats.sequential import boundaries
from lamella.stats.tails import two_sided_p
from lamella.stats.undefined import Undefined

_LEAST_LEVEL = 1e-100


class Method(StrEnum):
    """How peeking is paid for."""

    GROUP_SEQUENTIAL = "group_sequential"
    ALWAYS_VALID = "always_valid"
    FIXED_HORIZON = "fixed_horizon"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """The method, the plan's two-sided alpha, and the shares of information at the looks so far, this one last."""

    method: Method
    alpha: float = 0.05
    information: tuple[float, ...] = (1.0,)

    def threshold(self, alpha: float) -> float:
        """What the p-value of a test that may spend `alpha` must stay below at this look."""
        if self.method is not Method.GROUP_SEQUENTIAL:
            return alpha
        return max(two_sided_p(boundaries(self.information, alpha=alpha)[-1]), _LEAST_LEVEL)

    def nominal(self, alpha: float, units: int) -> float:
        """The level at which a plain interval over `units` units is this look's interval."""
        if self.method is not Method.ALWAYS_VALID:
            return self.threshold(alpha)
        rho_squared = mixture_variance(alpha=self.alpha)
        return max(two_sided_p(always_valid_critical(units, alpha=alpha, rho_squared=rho_squared)), _LEAST_LEVEL)

    def p_of(self, found: Difference, units: int) -> float:
        """The p-value by which the method judges: the nominal one, or for always-valid plans the always-valid one."""
        if self.method is not Method.ALWAYS_VALID:
            return found.p
        return always_valid_p(found.z, units, rho_squared=mixture_variance(alpha=self.alpha))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One comparison of a family. The intervals of `difference` and `lift` have the level at which it was judged.

    `p` is the method's own; `level` is 1 - what `p` had to stay below, so `is_significant` exactly when
    `p` < 1 - `level`. `p_adjusted` is `p` after the family's correction.
    """

    difference: Difference
    lift: Lift | Undefined
    p: float
    p_adjusted: float
    level: float
    is_significant: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What an always-valid comparison showed before: the smallest p, and intervals at `level` (None: no bound)."""

    p: float
    level: float
    difference: tuple[float | None, float | None] = (None, None)
    lift: tuple[float | None, float | None] = (None, None)


Pair = tuple[Estimate | Undefined, Estimate | Undefined]


def judge_family(
    pairs: Sequence[Pair],
    standard: Standard,
    *,
    correction: Correction = Correction.NONE,
    earlier: Sequence[Earlier | None] = (),
) -> tuple[Judged | Undefined, ...]:
    """Every (control, treatment) pair, judged together; undefined ones stay out of the correction.

    `earlier` is what the pairs had shown before, for always-valid plans: p is then the smallest so far, and the
    intervals of the same level are cut to what earlier ones leave. Other methods ignore it.
    With one pair, or for Bonferroni, Holm and Hochberg, the chance of any false alarm stays below the plan's alpha.
    For group-sequential plans each step of the correction has its own boundary (Ye, Li, Liu and Yao, 2013).

    >>> one, two = Estimate(n=900, value=1.0, variance=1e-4), Estimate(n=900, value=1.03, variance=1e-4)
    >>> look = Standard(method=Method.GROUP_SEQUENTIAL, information=(0.5,))
    >>> found = judge_family([(one, two)], look)[0]
    >>> found.is_significant, round(found.level, 4), round(found.p, 4)
    (False, 0.9969, 0.034)
    """
    usable = [usable_pair(one, other) for one, other in pairs]
    sound = {index: pair for index, pair in enumerate(usable) if not isinstance(pair, Undefined)}
    before = dict(enumerate(earlier)) if standard.method is Method.ALWAYS_VALID else {}
    p = [_p(pair, standard, before.get(index)) for index, pair in sound.items()]
    steps = step_levels(len(p), alpha=standard.alpha, correction=correction)
    thresholds = [standard.threshold(step) for step in steps]
    last = max(rejected_count(p, thresholds, correction=correction), 1) - 1
    judged: dict[int, Judged] = {}
    for index, own, adjusted in zip(sound, p, adjusted_p(p, correction), strict=True):
        one, other = sound[index]
        nominal = standard.nominal(steps[last], one.n + other.n)
        plain = Judged(
            difference=tested(one, other, alpha=nominal),
            lift=fieller(one, other, alpha=nominal),
            p=own,
            p_adjusted=adjusted,
            level=1.0 - thresholds[last],
            is_significant=own < thresholds[last],
        )
        judged[index] = _cut(plain, before.get(index))
    return tuple(pair if isinstance(pair, Undefined) else judged[index] for index, pair in enumerate(usable))


def _p(pair: tuple[Estimate, Estimate], standard: Standard, earlier: Earlier | None) -> float:
    one, other = pair
    own = standard.p_of(tested(one, other, alpha=standard.alpha), one.n + other.n)
    return own if earlier is None else min(own, earlier.p)


def _cut(judged: Judged, earlier: Earlier | None) -> Judged:
    """The comparison with its intervals cut by earlier ones of the same level; whole where nothing would be left."""
    if earlier is None or not math.isclose(earlier.level, judged.level, rel_tol=1e-12):
        return judged
    low, high = _overlap(judged.difference.low, judged.difference.high, earlier.difference)
    found = replace(judged, difference=replace(judged.difference, low=low, high=high))
    if isinstance(judged.lift, Lift) and judged.lift.shape is Shape.BOUNDED:
        low, high = _overlap(judged.lift.low, judged.lift.high, earlier.lift)
        found = replace(found, lift=replace(judged.lift, low=low, high=high))
    return found


def _overlap(low: float, high: float, earlier: tuple[float | None, float | None]) -> tuple[float, float]:
    below = low if earlier[0] is None else max(low, earlier[0])
    above = high if earlier[1] is None else min(high, earlier[1])
    return (below, above) if below <= above else (low, high)
