"""How long a simulated reader reads, and how far: the distributions of real news traffic."""

import math
from bisect import bisect_right
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

NORMAL: Final = NormalDist()

# Quantiles of the time on an article in a published log of a news site (seconds), read log-linearly in the normal
# score between the knots: 6 % zeros, quartiles 5 / 15 / 46, P90 102, P95 158, P99 412, cap 30 minutes.
CAP_SECONDS: Final = 1800.0
_KNOTS: Final = ((0.06, 1.0), (0.25, 5.0), (0.50, 15.0), (0.75, 46.0), (0.90, 102.0), (0.95, 158.0), (0.99, 412.0))
_SCORES: Final = tuple(NORMAL.inv_cdf(share) for share, _ in _KNOTS)
_LOGS: Final = tuple(math.log(seconds) for _, seconds in _KNOTS)

DWELL_LOG_SD: Final = 1.37
DWELL_LOG_SD_BETWEEN: Final = 0.60
BETWEEN: Final = DWELL_LOG_SD_BETWEEN / DWELL_LOG_SD

# Completion: where it was measured, 36 % read to the very end; the others spread as a beta whose mean makes the
# mean of all 0.65. The normal score that orders completion follows that of dwell with correlation _FOLLOWS, which
# gives a Spearman rank correlation of 0.56 (ties included).
MISSING_SHARE: Final = 0.15
FINISHED_SHARE: Final = 0.36
_FOLLOWS: Final = 0.60
_BETA: Final = (1.35, 1.63)


class Reading(NamedTuple):
    """One read: seconds, and completion 0..1 or None where it was not measured."""

    seconds: float
    completion: float | None


def draw_reading(habit: float, rng: np.random.Generator) -> Reading:
    """How a reader reads one article. `habit` is the reader's own normal score: above 0 reads longer than most."""
    own, other, missing = rng.standard_normal(), rng.standard_normal(), rng.random()
    score = BETWEEN * habit + math.sqrt(1 - BETWEEN**2) * own
    seconds = dwell_seconds(score)
    if missing < MISSING_SHARE:
        return Reading(seconds, None)
    return Reading(seconds, completion_share(_FOLLOWS * score + math.sqrt(1 - _FOLLOWS**2) * other))


def dwell_seconds(score: float) -> float:
    """The quantile of the dwell distribution at a normal score, 0..1800 s in tenths of a second.

    >>> dwell_seconds(0.0), dwell_seconds(-2.0), dwell_seconds(9.0)
    (15.0, 0.0, 1800.0)
    """
    if score < _SCORES[0]:
        return 0.0
    at = min(bisect_right(_SCORES, score), len(_SCORES) - 1)
    share = (score - _SCORES[at - 1]) / (_SCORES[at] - _SCORES[at - 1])
    seconds = math.exp(_LOGS[at - 1] + share * (_LOGS[at] - _LOGS[at - 1]))
    return round(min(seconds, CAP_SECONDS), 1)


def completion_share(score: float) -> float:
    """The quantile of the completion distribution at a normal score: 1.0 for the top 36 %, else below it.

    >>> completion_share(1.0), completion_share(-0.5) < completion_share(0.0) < 1.0
    (1.0, True)
    """
    rank = NORMAL.cdf(score) / (1 - FINISHED_SHARE)
    if rank >= 1:
        return 1.0
    return round(float(np.interp(rank, _BETA_RANKS, _BETA_VALUES)), 3)


def _beta_quantiles(a: float, b: float, *, points: int = 2001) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The cumulative distribution of a beta on a grid: its values (points,) and the grid (points,)."""
    grid = np.linspace(0.0, 0.999, points)
    middle = (grid[1:] + grid[:-1]) / 2
    density = middle ** (a - 1) * (1 - middle) ** (b - 1)
    below = np.concatenate([[0.0], np.cumsum(density)])
    return below / below[-1], grid


_BETA_RANKS, _BETA_VALUES = _beta_quantiles(*_BETA)


def draw_readings(habit: ArrayLike, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Seconds and completion of one read per entry of `habit`: (n,) each, completion NaN where not measured."""
    readings = [draw_reading(float(each), rng) for each in np.asarray(habit)]
    seconds = np.array([reading.seconds for reading in readings], dtype=np.float64)
    completion = np.array(
        [math.nan if reading.completion is None else reading.completion for reading in readings], dtype=np.float64
    )
    return seconds, completion
