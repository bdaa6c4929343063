"""How often the test of an interaction calls heavy-tailed readers different who are not, and how often it sees one."""

import numpy as np

from lamella.metrics.definitions import METRICS
from lamella.services.comparing import arm_value
from lamella.stats.estimates import Difference
from lamella.stats.heterogeneity import interaction
from lamella.stats.moments import Moments

CTR = METRICS["ctr"]
UNITS = 250


def p_values(rng, runs, *, lift=0.0):
    """The p of so many experiments: four cells of readers, log-normal in pages, both main effects 10 %."""
    found = []
    for _ in range(runs):
        cells = {}
        for one in (0, 1):
            for other in (0, 1):
                impressions = 10.0 * np.ceil(rng.lognormal(0.8, 0.9, UNITS))
                rate = rng.beta(3.0, 40.0, UNITS) * (1.0 + 0.1 * one + 0.1 * other + lift * one * other)
                clicks = rng.binomial(impressions.astype(int), np.minimum(rate, 1.0))
                moments = Moments.from_rows(("clicks", "impressions"), np.column_stack([clicks, impressions]))
                cells[one, other] = arm_value(CTR, moments)
        tested = interaction((cells[0, 0], cells[1, 0]), (cells[0, 1], cells[1, 1]))
        assert isinstance(tested, Difference)
        found.append(tested.p)
    return np.array(found)


def test_no_interaction_is_called_one_at_the_level_within_monte_carlo_error():
    """4,000 runs; nominal 5 %; the bounds are 3 standard errors of such a share."""
    share = float(np.mean(p_values(np.random.default_rng(11), 4_000) < 0.05))
    assert 0.04 <= share <= 0.06


def test_a_large_interaction_is_seen():
    assert float(np.mean(p_values(np.random.default_rng(12), 60, lift=0.6) < 0.05)) >= 0.9
