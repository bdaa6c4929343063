"""When readers come: a seeded list of visits, hour by hour."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lamella.errors import InvalidInput
from lamella.simulation.readers import Readers

HOURS_A_DAY: Final = 24
# Relative traffic of each hour of the day: a stated assumption, quiet at night, busy at breakfast and in the evening.
_HOURLY: Final = (2, 1, 1, 1, 2, 4, 7, 9, 8, 6, 6, 6, 7, 6, 5, 5, 6, 7, 8, 9, 10, 9, 7, 4)


@dataclass(frozen=True, eq=False, kw_only=True)
class Schedule:
    """Visits in time order as parallel columns of length n.

    `reader`: who. `number`: the reader's own visits counted from 0. `hour`: hours since the schedule's start.
    """

    days: int
    reader: NDArray[np.intp]
    number: NDArray[np.intp]
    hour: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.reader)

    @property
    def hours(self) -> int:
        """The length of the schedule in hours."""
        return self.days * HOURS_A_DAY

    def in_hour(self, hour: int) -> range:
        """The rows of the visits of an hour."""
        first, last = np.searchsorted(self.hour, [hour, hour + 1])
        return range(int(first), int(last))

    def visits_of(self, readers: int) -> NDArray[np.intp]:
        """(readers,) how often each reader comes."""
        return np.bincount(self.reader, minlength=readers)


def draw_schedule(readers: Readers, *, days: int, mean_visits: float, seed: int, part: int) -> Schedule:
    """The visits of `days` days, `mean_visits` a reader on average, each reader's count Poisson around the own rate.

    `part` makes the schedules of one seed independent of each other (past and experiment). Raises InvalidInput if
    nobody comes.
    """
    if days < 1 or mean_visits <= 0:
        raise InvalidInput(f"{days} days of {mean_visits:g} visits hold no traffic; ask for at least a day and a visit")
    rng = np.random.default_rng([seed, 2, part])
    counts = rng.poisson(readers.activity * mean_visits)
    reader = np.repeat(np.arange(len(readers)), counts)
    if not len(reader):
        raise InvalidInput(f"none of the {len(readers)} readers comes in {days} days; ask for more readers or visits")
    weight = np.array(_HOURLY, dtype=np.float64)
    hour = rng.integers(0, days, len(reader)) * HOURS_A_DAY + rng.choice(
        HOURS_A_DAY, size=len(reader), p=weight / weight.sum()
    )
    order = np.lexsort((rng.random(len(reader)), hour))
    return Schedule(days=days, reader=reader[order], number=_count_earlier(reader[order]), hour=hour[order])


def _count_earlier(reader: NDArray[np.intp]) -> NDArray[np.intp]:
    """The count of earlier rows with the same reader."""
    order = np.argsort(reader, kind="stable")
    grouped = reader[order]
    starts = np.flatnonzero(np.concatenate([[True], grouped[1:] != grouped[:-1]]))
    sizes = np.diff(np.append(starts, len(reader)))
    number = np.empty(len(reader), dtype=np.intp)
    number[order] = np.arange(len(reader)) - np.repeat(starts, sizes)
    return number
