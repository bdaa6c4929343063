"""Readers in arrays, as heavy-tailed as real ones, who arrive over the days of an experiment and come again."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lamella.stats.moments import Moments

COLUMNS: Final = ("clicks", "impressions", "seconds", "clicked", "pre_clicks", "pre_impressions", "has_pre")
SLATE: Final = 10
PAGES_LOG_SD: Final = 1.0
CLICK_PRIOR: Final = (2.0, 48.0)
_READ_LOG_SD: Final = 1.2
_READER_LOG_SD: Final = 0.6

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Crowd:
    """One arm, reader by reader.

    `arrival` (units,) is the first day of each reader, in rising order; `impressions` and `clicks` (units, days) are
    what happened by the end of each day, all in all; `before` (units, 2) clicks and impressions of an equally long time
    before, both 0 for who was not there; `slowness` (units,) multiplies how long a reader reads.
    """

    arrival: NDArray[np.int64]
    impressions: Values
    clicks: Values
    before: Values
    slowness: Values

    def moments(self, day: int, rng: np.random.Generator | None = None) -> Moments:
        """The moments of `COLUMNS` over who had come by the end of `day`; seconds are 0 without a generator."""
        here = int(np.searchsorted(self.arrival, day, side="right"))
        clicks, shown = self.clicks[:here, day], self.impressions[:here, day]
        seconds = np.zeros(here) if rng is None else self.read_seconds(day, rng)
        past = self.before[:here]
        rows = np.column_stack([clicks, shown, seconds, clicks > 0, past, past[:, 1] > 0])
        return Moments.from_rows(COLUMNS, rows)

    def read_seconds(self, day: int, rng: np.random.Generator) -> Values:
        """How long each reader has read by the end of `day`: a gamma sum over their clicks, at their own pace."""
        here = int(np.searchsorted(self.arrival, day, side="right"))
        return 30.0 * self.slowness[:here] * rng.gamma(np.maximum(self.clicks[:here, day], 1e-9), 1.0)

    def reads(self, day: int, rng: np.random.Generator) -> tuple[Values, NDArray[np.int64]]:
        """The seconds of every single read by the end of `day`, and who read."""
        here = int(np.searchsorted(self.arrival, day, side="right"))
        owner = np.repeat(np.arange(here), self.clicks[:here, day].astype(np.int64))
        return np.exp(rng.normal(3.0, _READ_LOG_SD, len(owner))) * self.slowness[owner], owner

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """How many readers had come by the end of each day."""
        found: NDArray[np.int64] = np.searchsorted(self.arrival, np.arange(self.clicks.shape[1]), side="right")
        return found


def draw_crowd(rng: np.random.Generator, units: int, days: int, *, lift: float = 0.0) -> Crowd:
    """`units` readers of one arm, whose click rate the treatment multiplies by 1 + `lift`.

    Pages a reader are log-normal with log-sd 1.0, click rates Beta(2, 48); arrival days are even over the experiment.
    """
    arrival = np.sort(rng.integers(0, days, units))
    pages = np.exp(rng.normal(-(PAGES_LOG_SD**2) / 2.0, PAGES_LOG_SD, units)) * 4.0
    rate = np.minimum(rng.beta(*CLICK_PRIOR, units), 0.5)
    present = np.arange(days)[None, :] >= arrival[:, None]
    visits = rng.poisson(np.where(present, pages[:, None] / days, 0.0)) + (np.arange(days)[None, :] == arrival[:, None])
    impressions = visits * SLATE
    clicks = rng.binomial(impressions, np.minimum(rate * (1.0 + lift), 1.0)[:, None])
    shown_before = SLATE * rng.poisson(pages) * (rng.random(units) < 0.7)
    before = np.column_stack([rng.binomial(shown_before, rate), shown_before]).astype(np.float64)
    return Crowd(
        arrival=arrival,
        impressions=impressions.cumsum(axis=1).astype(np.float64),
        clicks=clicks.cumsum(axis=1).astype(np.float64),
        before=before,
        slowness=np.exp(rng.normal(0.0, _READER_LOG_SD, units)),
    )
