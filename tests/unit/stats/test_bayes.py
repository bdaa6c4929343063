import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import integrate, stats

from lamella.errors import InvalidInput
from lamella.stats.bayes import (
    Binomial,
    Posterior,
    beta_binomial_best,
    beta_binomial_chance,
    normal_chance,
    normal_posterior,
)


def exact_chance(a, b, c, d):
    """P(Beta(c, d) > Beta(a, b)) in fractions, for whole numbers (Evan Miller's sum)."""

    def beta(x, y):
        return Fraction(math.factorial(x - 1) * math.factorial(y - 1), math.factorial(x + y - 1))

    return float(sum(beta(a + i, b + d) / ((d + i) * beta(1 + i, d) * beta(a, b)) for i in range(c)))


@pytest.mark.parametrize("counts", [(0, 5, 3, 5), (3, 10, 8, 12), (30, 100, 45, 100), (1, 400, 0, 300)])
def test_the_chance_agrees_with_the_exact_sum(counts):
    k1, n1, k2, n2 = counts
    found = beta_binomial_chance(Binomial(successes=k1, trials=n1), Binomial(successes=k2, trials=n2))
    # exact_chance sums over i < c: the chance that the second share exceeds the first.
    b, d = n1 - k1 + 1, n2 - k2 + 1
    expected = sum(
        math.exp(
            math.lgamma(k1 + 1 + i) + math.lgamma(b + d) - math.lgamma(k1 + 1 + i + b + d)
            - math.log(d + i)
            - (math.lgamma(1 + i) + math.lgamma(d) - math.lgamma(1 + i + d))
            - (math.lgamma(k1 + 1) + math.lgamma(b) - math.lgamma(k1 + 1 + b))
        )
        for i in range(k2 + 1)
    )  # fmt: skip
    assert found.chance_to_win == pytest.approx(expected, rel=1e-9)


def test_the_chance_in_fractions_for_small_numbers():
    found = beta_binomial_chance(Binomial(successes=1, trials=2), Binomial(successes=2, trials=2))
    assert found.chance_to_win == pytest.approx(exact_chance(2, 2, 3, 1))


def test_losses_agree_with_numerical_integration():
    one, other = stats.beta(31, 71), stats.beta(36, 66)
    expected = integrate.dblquad(
        lambda y, x: (x - y) * one.pdf(x) * other.pdf(y), 0.05, 0.75, 0.0, lambda x: x, epsabs=1e-10
    )[0]
    found = beta_binomial_chance(Binomial(successes=30, trials=100), Binomial(successes=35, trials=100))
    assert found.expected_loss == pytest.approx(expected, rel=1e-5)
    gain = found.expected_loss_of_control - found.expected_loss
    assert gain == pytest.approx(other.mean() - one.mean(), rel=1e-9)


def test_millions_of_trials_and_odd_priors_are_as_exact():
    one, other = Binomial(successes=20, trials=10**6), Binomial(successes=45, trials=10**6)
    found = beta_binomial_chance(one, other, prior=(0.5, 0.5))
    draws = np.random.default_rng(1).beta(20.5, 10**6, 10**6) < np.random.default_rng(2).beta(45.5, 10**6, 10**6)
    assert found.chance_to_win == pytest.approx(draws.mean(), abs=5 * 0.0005)
    none = beta_binomial_chance(Binomial(successes=0, trials=50), Binomial(successes=0, trials=50), prior=(0.5, 0.5))
    assert none.chance_to_win == pytest.approx(0.5, abs=1e-9)


def test_the_chances_to_be_best_sum_to_1():
    arms = [Binomial(successes=count, trials=200) for count in (10, 12, 15, 3)]
    assert sum(beta_binomial_best(arms)) == pytest.approx(1.0, abs=1e-9)
    pair = beta_binomial_best(arms[:2])
    assert pair[1] == pytest.approx(beta_binomial_chance(*arms[:2]).chance_to_win)


def test_a_lower_share_wins_where_lower_is_better():
    one, other = Binomial(successes=30, trials=100), Binomial(successes=20, trials=100)
    up, down = (beta_binomial_chance(one, other, higher_is_better=each) for each in (True, False))
    assert up.chance_to_win + down.chance_to_win == pytest.approx(1.0)
    assert up.expected_loss == down.expected_loss_of_control


def test_a_normal_belief_is_the_precision_weighted_mean():
    found = normal_posterior(0.1, 0.05, prior_deviation=0.1)
    assert 1 / found.deviation**2 == pytest.approx(1 / 0.05**2 + 1 / 0.1**2)
    assert found.mean == pytest.approx(0.1 / 0.05**2 * found.deviation**2)
    flat = normal_posterior(0.1, 0.05)
    assert flat.interval() == pytest.approx((0.1 - 1.959964 * 0.05, 0.1 + 1.959964 * 0.05))


@pytest.mark.parametrize("mean", [-0.03, 0.0, 0.05])
def test_normal_losses_agree_with_numerical_integration(mean):
    law = stats.norm(mean, 0.02)
    found = normal_chance(Posterior(mean=mean, deviation=0.02))
    loss = integrate.quad(lambda x: -x * law.pdf(x), mean - 0.3, 0.0, points=[mean])[0]
    assert found.chance_to_win == pytest.approx(law.sf(0.0))
    assert found.expected_loss == pytest.approx(loss, abs=1e-9)
    down = normal_chance(Posterior(mean=mean, deviation=0.02), higher_is_better=False)
    assert down.expected_loss == pytest.approx(found.expected_loss_of_control)


def test_impossible_counts_and_deviations_are_refused():
    good = Binomial(successes=1, trials=2)
    with pytest.raises(InvalidInput, match="3 successes of 2"):
        beta_binomial_chance(good, Binomial(successes=3, trials=2))
    with pytest.raises(InvalidInput, match="prior"):
        beta_binomial_chance(good, good, prior=(0.0, 1.0))
    with pytest.raises(InvalidInput, match="above 0"):
        normal_posterior(0.1, 0.0)
