"""The newsroom's logged past: days of pages that a partly random desk chose, and what readers did with them."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lamella.events.contract import Click, Impression, Slate
from lamella.simulation.catalogue import Newsroom
from lamella.simulation.readers import SLATE_SIZE
from lamella.simulation.schedule import HOURS_A_DAY, draw_schedule
from lamella.simulation.visit import Visit, respond
from lamella.simulation.world import DESK_SIZE, EXPLORED_SHARE, Record, World

PART: Final = 0
# The desk ranks headlines by (clicks + 1) / (impressions + _PRIOR_IMPRESSIONS): a rate of 4 % until it has seen some.
_PRIOR_IMPRESSIONS: Final = 25.0
_SPARE_DRAWS: Final = 2


class Desk:
    """The policy of the past: each place of a page is explored, or filled from the headlines that got clicked most.

    The first day explores only. After each day the desk takes the DESK_SIZE headlines with the best smoothed click
    rate so far. `rate`: (headlines,) that rate. `propensity`: (headlines,) the probability that one draw for one
    place takes each headline; sums to 1.
    """

    def __init__(self, newsroom: Newsroom) -> None:
        self._keys = newsroom.keys
        self._impressions = np.zeros(len(newsroom))
        self._clicks = np.zeros(len(newsroom))
        self.rate = np.full(len(newsroom), 1 / _PRIOR_IMPRESSIONS)
        self.propensity = np.full(len(newsroom), 1 / len(newsroom))

    def pages(self, count: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
        """`count` pages of distinct headline indices in random order."""
        size = min(SLATE_SIZE, len(self._impressions))
        draws = rng.choice(len(self._impressions), size=(count, _SPARE_DRAWS * SLATE_SIZE), p=self.propensity)
        rest = range(len(self._impressions))
        return [_first_distinct(row, rest, size) for row in draws.tolist()]

    def show(self, page: NDArray[np.intp]) -> tuple[Impression, ...]:
        """The page as it is logged, with the desk's rates as scores and its propensities."""
        scores, propensities = self.rate[page].tolist(), self.propensity[page].tolist()
        return tuple(
            Impression(
                item=self._keys[item],
                rank=at + 1,
                score=round(scores[at], 6),
                source="desk",
                propensity=round(propensities[at], 9),
            )
            for at, item in enumerate(page.tolist())
        )

    def learn(self, pages: list[NDArray[np.intp]], clicked: list[int]) -> None:
        """Takes in a day's pages and the headlines clicked on them, and fills the desk anew."""
        self._impressions += np.bincount(np.concatenate(pages), minlength=len(self._impressions)) if pages else 0
        np.add.at(self._clicks, clicked, 1)
        self.rate = (self._clicks + 1) / (self._impressions + _PRIOR_IMPRESSIONS)
        desk = np.argsort(-self.rate, kind="stable")[:DESK_SIZE]
        self.propensity = np.full(len(self.rate), EXPLORED_SHARE / len(self.rate))
        self.propensity[desk] += (1 - EXPLORED_SHARE) / len(desk)


def simulate_past(world: World, *, start: datetime, days: int, mean_visits: float) -> Iterator[list[Record]]:
    """The records of the past, one list a day in order: every page as a slate, followed by what it led to.

    `mean_visits` is what a reader comes on average in all the days. The slates were served under no experiment.
    """
    schedule = draw_schedule(world.readers, days=days, mean_visits=mean_visits, seed=world.seed, part=PART)
    desk = Desk(world.newsroom)
    for day in range(days):
        rows = range(schedule.in_hour(day * HOURS_A_DAY).start, schedule.in_hour((day + 1) * HOURS_A_DAY).start)
        pages = desk.pages(len(rows), np.random.default_rng([world.seed, 5, day]))
        records: list[Record] = []
        for row, page in zip(rows, pages, strict=True):
            visit = Visit(
                seed=world.seed, part=PART, reader=int(schedule.reader[row]), number=int(schedule.number[row])
            )
            shown_at = start + timedelta(hours=int(schedule.hour[row]))
            records += _page_records(world, desk, visit, page, shown_at)
        yield records
        index = world.newsroom.index
        desk.learn(pages, [index[record.item] for record in records if isinstance(record, Click)])


def _first_distinct(draws: list[int], rest: range, size: int) -> NDArray[np.intp]:
    distinct = list(dict.fromkeys(draws))[:size]
    if len(distinct) < size:
        distinct = list(dict.fromkeys([*distinct, *rest]))[:size]
    return np.array(distinct, dtype=np.intp)


def _page_records(world: World, desk: Desk, visit: Visit, page: NDArray[np.intp], shown_at: datetime) -> list[Record]:
    slate = Slate(
        request_id=visit.request_id,
        unit=world.readers.units[visit.reader],
        time=shown_at,
        exposures=(),
        impressions=desk.show(page),
        snapshot=0,
        context=world.readers.context_of(visit.reader),
    )
    return [slate, *respond(visit, world.clicks, page, shown_at=shown_at)]
