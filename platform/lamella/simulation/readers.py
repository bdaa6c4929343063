"""Seeded readers: how often they come, what they like, and whether they click what they are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lamella.errors import InvalidInput
from lamella.simulation.catalogue import Newsroom

DEVICES: Final = ("mobile", "desktop", "tablet")
DEVICE_SHARES: Final = (66 / 101, 28 / 101, 7 / 101)
SLATE_SIZE: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What the simulator assumes of readers; docs/demo.md names the source of each value.

    `examination` is η: rank r is looked at with probability 1/r^η. `engaged_share` of the visits click at all.
    `taste_focus` is the total concentration of the Dirichlet that draws a reader's taste (small is picky) and
    `taste_weight` how much of the click rate follows taste rather than everybody's appeal. `comment_share` and
    `share_share` are per read.
    """

    activity_log_sd: float = 1.0
    subscriber_share: float = 0.63
    examination: float = 0.7
    engaged_share: float = 0.6
    mean_click_rate: float = 0.04
    taste_focus: float = 1.0
    taste_weight: float = 0.95
    comment_share: float = 0.01
    share_share: float = 0.02

    def examination_at(self, ranks: ArrayLike) -> NDArray[np.float64]:
        """The probability that each rank (from 1) is looked at by an engaged visitor."""
        seen: NDArray[np.float64] = np.asarray(ranks, dtype=np.float64) ** -self.examination
        return seen


@dataclass(frozen=True, eq=False, kw_only=True)
class Readers:
    """Who may come, as parallel arrays of n readers.

    `activity`: (n,) relative visit rate, mean 1, log-normal. `taste`: (n, topics) click rate relative to that of
    everybody, mean 1 over readers for each topic. `habit`: (n,) normal score of how long each reads.
    """

    units: tuple[str, ...]
    activity: NDArray[np.float64]
    taste: NDArray[np.float64]
    habit: NDArray[np.float64]
    device: NDArray[np.intp]
    subscriber: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.units)

    def context_of(self, reader: int) -> dict[str, str | bool]:
        """The context that a request of this reader carries."""
        return {"device": DEVICES[int(self.device[reader])], "subscriber": bool(self.subscriber[reader])}


def draw_readers(n: int, newsroom: Newsroom, *, behaviour: Behaviour, seed: int) -> Readers:
    """`n` readers, named reader-00001 and on. Raises InvalidInput for n < 1."""
    if n < 1:
        raise InvalidInput(f"{n} readers cannot visit anything; ask for 1 or more")
    rng = np.random.default_rng([seed, 1])
    share = np.maximum(newsroom.topic_share, 0.5 / len(newsroom))
    share = share / share.sum()
    log_sd = behaviour.activity_log_sd
    taste = rng.dirichlet(behaviour.taste_focus * share, size=n) / share
    return Readers(
        units=tuple(f"reader-{number:05d}" for number in range(1, n + 1)),
        activity=np.exp(log_sd * rng.standard_normal(n) - log_sd**2 / 2),
        taste=(1 - behaviour.taste_weight) + behaviour.taste_weight * taste,
        habit=rng.standard_normal(n),
        device=rng.choice(len(DEVICES), size=n, p=DEVICE_SHARES),
        subscriber=rng.random(n) < behaviour.subscriber_share,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class ClickModel:
    """The true probability that a reader clicks a headline at a rank.

    P(click) = engaged_share · 1/rank^η · (1 − exp(−scale · appeal · taste)), with appeal relative to the mean
    headline and taste to the mean reader. `engaged` is drawn once a visit, so that many pages get no click.
    """

    newsroom: Newsroom
    readers: Readers
    behaviour: Behaviour
    scale: float

    def attraction(self, reader: int, items: Sequence[int] | NDArray[np.intp]) -> NDArray[np.float64]:
        """(k,) probability that an engaged reader clicks each item once it is looked at."""
        newsroom = self.newsroom
        relative = newsroom.appeal[items] / newsroom.appeal.mean()
        taste = self.readers.taste[reader, newsroom.topic[items]]
        attraction: NDArray[np.float64] = -np.expm1(-self.scale * relative * taste)
        return attraction

    def engaged_click(self, reader: int, items: Sequence[int] | NDArray[np.intp]) -> NDArray[np.float64]:
        """(k,) click probability of each item of a slate, in rank order, given that the visit is engaged."""
        return self.behaviour.examination_at(np.arange(1, len(items) + 1)) * self.attraction(reader, items)

    def expected_clicks(self, reader: int, items: Sequence[int] | NDArray[np.intp]) -> float:
        """The expected number of clicks on a slate, given in rank order."""
        return self.behaviour.engaged_share * float(self.engaged_click(reader, items).sum())


def calibrate(newsroom: Newsroom, readers: Readers, behaviour: Behaviour, *, slates: NDArray[np.intp]) -> ClickModel:
    """The click model whose mean click rate over `slates` is `behaviour.mean_click_rate`.

    `slates`: (n, k) item indices in rank order, slate i shown to a reader drawn by activity. Deterministic.
    Raises InvalidInput where no scale reaches the wanted rate.
    """
    share = np.cumsum(readers.activity / readers.activity.sum())
    who = np.searchsorted(share, (np.arange(len(slates)) + 0.5) / len(slates)).clip(max=len(readers) - 1)
    who = np.random.default_rng(0).permutation(who)
    relative = newsroom.appeal[slates] / newsroom.appeal.mean() * readers.taste[who[:, None], newsroom.topic[slates]]
    seen = behaviour.engaged_share * behaviour.examination_at(np.arange(1, slates.shape[1] + 1))
    if behaviour.mean_click_rate >= seen.mean():
        raise InvalidInput(
            f"a mean click rate of {behaviour.mean_click_rate:g} is out of reach; stay under {seen.mean():.3f}"
        )
    low, high = 0.0, 1e3
    for _ in range(80):
        middle = (low + high) / 2
        rate = float((-np.expm1(-middle * relative) * seen).mean())
        low, high = (middle, high) if rate < behaviour.mean_click_rate else (low, middle)
    return ClickModel(newsroom=newsroom, readers=readers, behaviour=behaviour, scale=(low + high) / 2)
