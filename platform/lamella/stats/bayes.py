"""Bayesian readings that stand beside the test: the chance to win and the loss to expect, in closed form."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv, betaln, expit, ndtr, ndtri

from lamella.errors import InvalidInput

_STEPS = 4_001
_EDGE = 1e-18


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """`chance_to_win`: that treatment is better than control; `expected_loss`: what choosing treatment costs where not.

    `expected_loss_of_control` is the same for keeping control. Both in the unit of the effect.
    """

    chance_to_win: float
    expected_loss: float
    expected_loss_of_control: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """A normal belief about an effect."""

    mean: float
    deviation: float

    def interval(self, *, level: float = 0.95) -> tuple[float, float]:
        """The central credible interval."""
        reach = self.deviation * float(ndtri(0.5 + level / 2.0))
        return self.mean - reach, self.mean + reach


def normal_posterior(effect: float, standard_error: float, *, prior_deviation: float = math.inf) -> Posterior:
    """The belief after data: precision 1/se² + 1/s0², prior centred at 0; an infinite s0 is a flat prior.

    Raises InvalidInput unless both deviations are positive.

    >>> normal_posterior(0.04, 0.02, prior_deviation=0.02).mean
    0.02
    """
    if not (standard_error > 0.0 and prior_deviation > 0.0):
        raise InvalidInput(f"deviations are {standard_error} and {prior_deviation}; both must be above 0")
    keep = 1.0 / (1.0 + (standard_error / prior_deviation) ** 2)
    return Posterior(mean=effect * keep, deviation=standard_error * math.sqrt(keep))


def normal_chance(posterior: Posterior, *, higher_is_better: bool = True) -> Chance:
    """The chance that the effect is good, Φ(μ/sd), and the expected losses sd·φ(z) ∓ μ·Φ(∓z).

    >>> round(normal_chance(Posterior(mean=0.02, deviation=0.02)).chance_to_win, 4)
    0.8413
    """
    mean = posterior.mean if higher_is_better else -posterior.mean
    z = mean / posterior.deviation
    height = posterior.deviation * math.exp(-z * z / 2.0) / math.sqrt(2.0 * math.pi)
    return Chance(
        chance_to_win=float(ndtr(z)),
        expected_loss=max(0.0, height - mean * float(ndtr(-z))),
        expected_loss_of_control=max(0.0, height + mean * float(ndtr(z))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Binomial:
    """One arm of one trial per unit: how many of `trials` units succeeded."""

    successes: int
    trials: int


def beta_binomial_chance(
    control: Binomial, treatment: Binomial, *, prior: tuple[float, float] = (1.0, 1.0), higher_is_better: bool = True
) -> Chance:
    """The exact chance that treatment's share is the better one, and the expected losses in shares.

    Only for one trial per unit: clicks over impressions are not that. Losses come from
    E[X·1(X > Y)] = mean(X)·P(X' > Y), where X' has one success more. Raises InvalidInput for impossible counts.

    >>> found = beta_binomial_chance(Binomial(successes=30, trials=100), Binomial(successes=45, trials=100))
    >>> round(found.chance_to_win, 4)
    0.9855
    """
    one, other = _posterior(control, prior), _posterior(treatment, prior)
    better = _chance_above(other, [one])
    gain, loss = _expected_excess(other, one), _expected_excess(one, other)
    if not higher_is_better:
        better, gain, loss = 1.0 - better, loss, gain
    return Chance(chance_to_win=better, expected_loss=loss, expected_loss_of_control=gain)


def beta_binomial_best(arms: Sequence[Binomial], *, prior: tuple[float, float] = (1.0, 1.0)) -> tuple[float, ...]:
    """The exact chance of each arm to have the highest share; they sum to 1.

    >>> arms = [Binomial(successes=count, trials=100) for count in (30, 30, 45)]
    >>> [round(each, 3) for each in beta_binomial_best(arms)]
    [0.013, 0.013, 0.973]
    """
    beliefs = [_posterior(arm, prior) for arm in arms]
    return tuple(_chance_above(belief, beliefs[:index] + beliefs[index + 1 :]) for index, belief in enumerate(beliefs))


_Beta = tuple[float, float]


def _posterior(arm: Binomial, prior: _Beta) -> _Beta:
    if not 0 <= arm.successes <= arm.trials:
        raise InvalidInput(f"{arm.successes} successes of {arm.trials} trials; one trial per unit is needed")
    if min(prior) <= 0.0:
        raise InvalidInput(f"the prior is Beta{prior}; both numbers must be above 0")
    return prior[0] + arm.successes, prior[1] + arm.trials - arm.successes


def _chance_above(belief: _Beta, others: Sequence[_Beta]) -> float:
    """P(the share of `belief` exceeds all others), by the trapezoid rule over the log odds, where it converges fast."""
    a, b = belief
    low, high = (_log_odds(a, b, edge) for edge in (_EDGE, 1.0 - 1e-16))
    grid = np.linspace(low - 2.0, high + 2.0, _STEPS)
    share = expit(grid)
    ln_density = -a * np.logaddexp(0.0, -grid) - b * np.logaddexp(0.0, grid) - float(betaln(a, b))
    value: NDArray[np.float64] = np.exp(ln_density)
    for one, two in others:
        value = value * betainc(one, two, share)
    return min(1.0, float(value.sum() * (grid[1] - grid[0])))


def _log_odds(a: float, b: float, level: float) -> float:
    below = float(betaincinv(a, b, level))
    above = float(betaincinv(b, a, 1.0 - level))
    return math.log(max(below, 1e-300)) - math.log(max(above, 1e-300))


def _expected_excess(one: _Beta, other: _Beta) -> float:
    """E[max(X - Y, 0)] of two shares: mean(X)·P(X' > Y) - mean(Y)·P(X > Y')."""
    of_one = one[0] / sum(one) * _chance_above((one[0] + 1.0, one[1]), [other])
    of_other = other[0] / sum(other) * _chance_above(one, [(other[0] + 1.0, other[1])])
    return max(0.0, of_one - of_other)
