"""Planning: how many units a test needs, what it can find, and how many days that takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import ndtr, ndtri

from lamella.errors import InvalidInput
from lamella.stats.cuped import adjusted_means, adjusted_ratios
from lamella.stats.means import mean
from lamella.stats.moments import Moments
from lamella.stats.ratios import Form, ratio
from lamella.stats.tails import check_level
from lamella.stats.undefined import Reason, Undefined


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What is known before the test: the metric's `value` and the `deviation` of one unit's contribution to it."""

    value: float
    deviation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """How the result will be tested.

    `alpha` is two-sided and shared by `comparisons` (Bonferroni, the plan's safe side); `allocation` is treatment
    units per control unit; `inflation` pays for the looks (see `sequential.inflation`).
    """

    alpha: float = 0.05
    power: float = 0.8
    allocation: float = 1.0
    comparisons: int = 1
    inflation: float = 1.0

    def __post_init__(self) -> None:
        check_level("alpha", self.alpha)
        check_level("power", self.power)
        if self.allocation <= 0.0 or self.comparisons < 1 or self.inflation < 1.0:
            raise InvalidInput("a design needs allocation > 0, comparisons >= 1 and inflation >= 1")

    @property
    def reach(self) -> float:
        """z_{1-α/2} + z_{power}: how many standard errors the effect must be."""
        return float(ndtri(1.0 - self.alpha / (2.0 * self.comparisons)) + ndtri(self.power))


def baseline(arm: Moments, numerator: str, denominator: str | None = None) -> Baseline | Undefined:
    """The baseline from measured units: the mean, or the ratio with its linearised deviation.

    >>> baseline(Moments.from_rows(("clicks",), [[1], [2], [3]]), "clicks")
    Baseline(value=2.0, deviation=1.0)
    """
    found = mean(arm, numerator) if denominator is None else ratio(arm, numerator, denominator)
    if isinstance(found, Undefined):
        return found
    if not math.isfinite(found.variance):
        return Undefined(Reason.TOO_FEW_UNITS, f"{found.n} units; 2 are needed")
    return Baseline(value=found.value, deviation=math.sqrt(found.variance * found.n))


def adjusted_baseline(
    arm: Moments,
    numerator: str,
    covariates: Sequence[str | tuple[str, str]],
    *,
    denominator: str | None = None,
) -> Baseline | Undefined:
    """The baseline whose deviation is what CUPED leaves: that of the residual after the covariates.

    `arm` holds units measured as the experiment will measure them, with the `covariates` from the time before. For a
    ratio both sides are linearised, and a covariate may be a pair (numerator, denominator).
    Undefined as `baseline`, and without a covariate that varies (missing_covariate).

    >>> units = Moments.from_rows(("clicks", "before"), [[1, 1], [2, 1], [3, 3], [6, 5]])
    >>> adjusted_baseline(units, "clicks", ["before"]).deviation < baseline(units, "clicks").deviation
    True
    """
    if denominator is None:
        found = adjusted_means(arm, arm, numerator, [each for each in covariates if isinstance(each, str)])
    else:
        found = adjusted_ratios(arm, arm, numerator, denominator, covariates, form=Form.DELTA)
    if isinstance(found, Undefined):
        return found
    if not math.isfinite(found.control.variance):
        return Undefined(Reason.TOO_FEW_UNITS, f"{arm.n} units; 2 are needed")
    return Baseline(value=found.control.value, deviation=math.sqrt(found.control.variance * arm.n))


def units_needed(known: Baseline, lift: float, design: Design | None = None) -> int | Undefined:
    """The units of both arms together that find a relative `lift` with the wanted power.

    n = (z_{1-α/2} + z_{power})²·s²·(1 + r)²/(r·δ²)·inflation, δ = lift·value. Undefined for a baseline of 0 and for
    one that does not vary. Raises InvalidInput for a lift of 0.

    >>> units_needed(Baseline(value=0.1, deviation=0.3), 0.05)
    113024
    """
    if not lift:
        raise InvalidInput("the lift is 0; no number of units finds that")
    design = design or Design()
    error = _relative_error(known, design)
    if isinstance(error, Undefined):
        return error
    share = design.reach * error / lift
    needed = share * share * design.inflation
    if not math.isfinite(needed):
        return Undefined(Reason.ZERO_BASELINE, f"the baseline is {known.value:.3g}; too near 0 for a relative lift")
    return math.ceil(needed * (1.0 - 1e-12))


def detectable_lift(known: Baseline, units: int, design: Design | None = None) -> float | Undefined:
    """The smallest relative lift that `units` units of both arms find with the wanted power.

    >>> round(detectable_lift(Baseline(value=0.1, deviation=0.3), 113024), 6)
    0.05
    """
    design = design or Design()
    error = _relative_error(known, design)
    if isinstance(error, Undefined):
        return error
    if units < 2:
        return Undefined(Reason.TOO_FEW_UNITS, f"{units} units; 2 are needed")
    return design.reach * error * math.sqrt(design.inflation / units)


def power_at(known: Baseline, units: int, lift: float, design: Design | None = None) -> float | Undefined:
    """The chance of a significant result in the direction of `lift`; at `detectable_lift` it is the wanted power.

    >>> round(power_at(Baseline(value=0.1, deviation=0.3), 113024, 0.05), 4)
    0.8
    """
    design = design or Design()
    error = _relative_error(known, design)
    if isinstance(error, Undefined):
        return error
    if units < 2:
        return Undefined(Reason.TOO_FEW_UNITS, f"{units} units; 2 are needed")
    limit = design.reach - float(ndtri(design.power))
    return float(ndtr(abs(lift) / error * math.sqrt(units / design.inflation) - limit))


def days_needed(units: int, cumulative_units: Sequence[int]) -> int | Undefined:
    """The days until `units` different units were exposed, from the cumulative count at the end of each measured day.

    Beyond what was measured the last day's growth is continued, which is cautious for an audience that returns only
    if it still grows as much. Undefined for no days and for an audience that has stopped growing (too_few_units).

    >>> days_needed(1_000, [300, 500, 600])
    7
    """
    for day, count in enumerate(cumulative_units, start=1):
        if count >= units:
            return day
    if not cumulative_units:
        return Undefined(Reason.TOO_FEW_UNITS, "no day of traffic was measured")
    before = cumulative_units[-2] if len(cumulative_units) > 1 else 0
    growth = cumulative_units[-1] - before
    if growth <= 0:
        return Undefined(
            Reason.TOO_FEW_UNITS, f"the audience stopped growing at {cumulative_units[-1]} units; {units} are needed"
        )
    return len(cumulative_units) + math.ceil((units - cumulative_units[-1]) / growth)


def _relative_error(known: Baseline, design: Design) -> float | Undefined:
    """The standard error of the relative lift with one unit in all, so that n units have this over √n."""
    if known.value == 0.0:
        return Undefined(Reason.ZERO_BASELINE, "the baseline is 0; a relative lift needs one")
    if not known.deviation > 0.0:
        return Undefined(Reason.ZERO_VARIANCE, "the baseline does not vary between units")
    spread = (1.0 + design.allocation) / math.sqrt(design.allocation)
    return known.deviation / abs(known.value) * spread
