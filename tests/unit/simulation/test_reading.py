"""The published figures are those of the EB-NeRD sample in the project's data notes; tolerances are about 4 standard
errors of 60,000 draws, so that a correct simulator fails about once in 10,000 seeds."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from lamella.simulation.reading import draw_readings

DRAWS = 60_000


@pytest.fixture(scope="module")
def readings():
    rng = np.random.default_rng(11)
    return draw_readings(rng.standard_normal(DRAWS), rng)


@pytest.mark.parametrize(
    ("share", "seconds", "tolerance"),
    [(0.25, 5, 0.05), (0.50, 15, 0.04), (0.75, 46, 0.04), (0.90, 102, 0.04), (0.95, 158, 0.05), (0.99, 412, 0.08)],
)
def test_dwell_has_the_published_quantiles(readings, share, seconds, tolerance):
    assert np.quantile(readings[0], share) == pytest.approx(seconds, rel=tolerance)


def test_six_percent_of_reads_last_zero_seconds_and_none_over_thirty_minutes(readings):
    assert np.mean(readings[0] == 0) == pytest.approx(0.06, abs=0.004)
    assert readings[0].max() <= 1800


def test_log_dwell_has_the_published_spread(readings):
    seconds = readings[0]
    assert np.log(seconds[seconds > 0]).std() == pytest.approx(1.37, abs=0.04)


def test_readers_differ_in_log_dwell_by_the_published_spread():
    rng = np.random.default_rng(12)
    habits = rng.standard_normal(1_500)
    seconds, _ = draw_readings(np.repeat(habits, 60), rng)
    logs = np.log(np.where(seconds > 0, seconds, np.nan)).reshape(len(habits), -1)
    within = np.nanvar(logs, axis=1, ddof=1).mean() / 56
    assert np.sqrt(np.nanmean(logs, axis=1).var(ddof=1) - within) == pytest.approx(0.60, abs=0.06)


def test_completion_is_missing_finished_and_spread_as_published(readings):
    completion = readings[1]
    measured = completion[~np.isnan(completion)]
    assert np.mean(np.isnan(completion)) == pytest.approx(0.15, abs=0.006)
    assert np.mean(measured == 1) == pytest.approx(0.36, abs=0.009)
    assert measured.mean() == pytest.approx(0.65, abs=0.006)
    assert measured.min() >= 0


def test_who_reads_longer_reads_further(readings):
    seconds, completion = readings
    measured = ~np.isnan(completion)
    assert spearmanr(seconds[measured], completion[measured])[0] == pytest.approx(0.56, abs=0.02)
