"""Guardrails: is the treatment no worse than control by more than a margin; are both equivalent."""

from dataclasses import dataclass

from lamella.errors import InvalidInput
from lamella.stats.estimates import Estimate, satterthwaite, usable_pair
from lamella.stats.tails import check_level, log10_upper_tail, upper_tail
from lamella.stats.undefined import Undefined


@dataclass(frozen=True, slots=True, kw_only=True)
class NonInferiority:
    """The one-sided test against the margin. `p` small: no worse than the margin; `p_harm` small: worse than it."""

    statistic: float
    df: float
    p: float
    log10_p: float
    p_harm: float
    alpha: float

    @property
    def is_noninferior(self) -> bool:
        """Whether the treatment is shown to be no worse than the margin."""
        return self.p < self.alpha

    @property
    def is_harmful(self) -> bool:
        """Whether the treatment is shown to be worse than the margin."""
        return self.p_harm < self.alpha


def noninferiority(
    control: Estimate | Undefined,
    treatment: Estimate | Undefined,
    *,
    margin: float,
    relative: bool = True,
    higher_is_better: bool = True,
    alpha: float = 0.025,
) -> NonInferiority | Undefined:
    """The one-sided test of "treatment is worse than control by `margin` or more"; t = (diff + margin) / se.

    A relative margin (0.02 is 2 % of control) tests treatment - (1 - margin)·control, control's own noise
    included, so that it agrees with Fieller's interval. `alpha` is one-sided. Undefined where `difference` is.
    Raises InvalidInput for a negative margin. Source: Wellek (2010), chapter 2.

    >>> control, treatment = Estimate(n=900, value=10.0, variance=0.01), Estimate(n=900, value=9.95, variance=0.01)
    >>> found = noninferiority(control, treatment, margin=0.05)
    >>> found.is_noninferior, round(found.p, 5)
    (True, 0.00056)
    """
    check_level("alpha", alpha)
    if not margin >= 0.0:
        raise InvalidInput(f"the margin is {margin}; it must be 0 or more")
    sign = 1.0 if higher_is_better else -1.0
    factor = 1.0 - sign * margin if relative else 1.0
    shift = 0.0 if relative else margin
    pair = _scaled(control, factor), treatment
    usable = usable_pair(*pair)
    if isinstance(usable, Undefined):
        return usable
    one, other = usable
    statistic = (sign * (other.value - one.value) + shift) / (one.variance + other.variance) ** 0.5
    df = satterthwaite(one, other)
    return NonInferiority(
        statistic=statistic,
        df=df,
        p=upper_tail(statistic, df),
        log10_p=log10_upper_tail(statistic, df),
        p_harm=upper_tail(-statistic, df),
        alpha=alpha,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """Two one-sided tests; `p` is the larger of both, small where the difference lies inside the margins."""

    p_lower: float
    p_upper: float
    p: float
    alpha: float

    @property
    def is_equivalent(self) -> bool:
        """Whether the difference is shown to lie inside the margins."""
        return self.p < self.alpha


def equivalence(
    control: Estimate | Undefined,
    treatment: Estimate | Undefined,
    *,
    margin: float,
    relative: bool = True,
    alpha: float = 0.05,
) -> Equivalence | Undefined:
    """Two one-sided tests (TOST) of "the arms differ by `margin` or more"; `alpha` is the level of each.

    Undefined where `difference` is. Source: Schuirmann (1987).

    >>> control, treatment = Estimate(n=900, value=10.0, variance=0.01), Estimate(n=900, value=10.1, variance=0.01)
    >>> equivalence(control, treatment, margin=0.05).is_equivalent
    True
    """
    lower = noninferiority(control, treatment, margin=margin, relative=relative, alpha=alpha)
    if isinstance(lower, Undefined):
        return lower
    upper = noninferiority(control, treatment, margin=margin, relative=relative, higher_is_better=False, alpha=alpha)
    if isinstance(upper, Undefined):
        return upper
    return Equivalence(p_lower=lower.p, p_upper=upper.p, p=max(lower.p, upper.p), alpha=alpha)


def _scaled(estimate: Estimate | Undefined, factor: float) -> Estimate | Undefined:
    if isinstance(estimate, Undefined):
        return estimate
    return Estimate(n=estimate.n, value=estimate.value * factor, variance=estimate.variance * factor**2)
