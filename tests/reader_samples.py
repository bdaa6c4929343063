"""Unit-level samples for tests of the statistics: readers whose activity is heavy-tailed, as real ones' is."""

import numpy as np
from numpy.typing import NDArray

from lamella.stats.moments import Moments

COLUMNS = ("clicks", "impressions")


def readers(rng: np.random.Generator, units: int, *, lift: float = 0.0) -> NDArray[np.float64]:
    """(units, 2): clicks and impressions; each reader has their own click rate and a log-normal number of pages."""
    impressions = np.ceil(np.exp(rng.normal(1.5, 1.0, units)))
    rates = np.minimum(rng.beta(1.0, 20.0, units) * (1.0 + lift), 1.0)
    clicks = rng.binomial(impressions.astype(np.int64), rates)
    return np.column_stack([clicks, impressions]).astype(np.float64)


def arm(rng: np.random.Generator, units: int, *, lift: float = 0.0) -> Moments:
    """The moments of `readers`."""
    return Moments.from_rows(COLUMNS, readers(rng, units, lift=lift))
