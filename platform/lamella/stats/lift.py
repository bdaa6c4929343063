"""Relative lift of treatment over control, with Fieller's interval, which never contradicts the p-value."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lamella.stats.estimates import Estimate, satterthwaite, usable_pair
from lamella.stats.tails import critical_value
from lamella.stats.undefined import Reason, Undefined

# Products of four of what lies below stay within the range of floats.
_FARTHEST: Final = 1e70


class Shape(StrEnum):
    """What Fieller's set looks like: an interval; all but an interval; or the whole line."""

    BOUNDED = "bounded"
    OUTSIDE = "outside"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """treatment / control - 1, and the set of lifts that the data do not reject.

    `shape` bounded: [low, high]. Outside: everything up to `low` and everything from `high`. Everything: no
    bound at all (`low` and `high` are infinite). The last two mean that control's mean is not clearly different
    from 0. With a negative control mean a positive lift is a move further from 0.
    """

    value: float
    low: float
    high: float
    shape: Shape

    def contains(self, lift: float) -> bool:
        """Whether `lift` is among those that the data do not reject."""
        if self.shape is Shape.OUTSIDE:
            return lift <= self.low or lift >= self.high
        return self.low <= lift <= self.high

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """The set as one interval for a metric that cannot be negative; None stands for no bound.

        Where the lower ray lies below -100 %, which such a metric cannot reach, only the upper ray remains.
        """
        if self.shape is Shape.OUTSIDE:
            return (self.high, None) if self.low <= -1.0 else (None, None)
        return (self.low if math.isfinite(self.low) else None, self.high if math.isfinite(self.high) else None)


def fieller(control: Estimate | Undefined, treatment: Estimate | Undefined, *, alpha: float = 0.05) -> Lift | Undefined:
    """The lift with its set at level 1 - alpha; 0 is outside exactly when `difference` has p < alpha.

    Undefined where `difference` is, and where control is 0 (zero_baseline). Source: Fieller (1954).

    >>> found = fieller(Estimate(n=900, value=2.0, variance=0.01), Estimate(n=900, value=2.2, variance=0.01))
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (0.1, -0.036, 0.258)
    """
    pair = usable_pair(control, treatment)
    if isinstance(pair, Undefined):
        return pair
    base, arm = pair
    if base.value == 0.0:
        return Undefined(Reason.ZERO_BASELINE, "control is 0; a relative lift needs a baseline")
    ratio = arm.value / base.value
    critical = critical_value(alpha, satterthwaite(base, arm))
    own, other = (critical * math.sqrt(each.variance) / abs(base.value) for each in (base, arm))
    if not max(abs(ratio), own, other) < _FARTHEST:
        return Undefined(Reason.ZERO_BASELINE, f"control is {base.value:.3g}; too near 0 for a relative lift")
    return _solve(ratio, own**2, other**2)


def _solve(ratio: float, own: float, other: float) -> Lift:
    """The set of x with (1 - own)·x² - 2·ratio·x + ratio² - other <= 0, shifted by 1.

    `own` is Fieller's g, `other` the same for the treatment. The roots are taken in the form without cancellation.
    """
    rest = ratio**2 * own + other * (1.0 - own)
    if rest < 0.0:
        return Lift(value=ratio - 1.0, low=-math.inf, high=math.inf, shape=Shape.EVERYTHING)
    reach = ratio + math.copysign(math.sqrt(rest), ratio)
    near = (ratio**2 - other) / reach if reach else 0.0
    far = reach / (1.0 - own) if own != 1.0 else math.copysign(math.inf, ratio)
    shape = Shape.BOUNDED if own <= 1.0 else Shape.OUTSIDE
    return Lift(value=ratio - 1.0, low=min(near, far) - 1.0, high=max(near, far) - 1.0, shape=shape)
