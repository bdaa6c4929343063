"""The newsroom's catalogue: the real Upworthy headlines that ship with the package, and their true appeal."""

import csv
import gzip
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lamella.services.model_ports import Item
from lamella.simulation.topics import TOPICS, topic_of

_FILE: Final = "upworthy_headlines.csv.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """A headline with what its randomised test measured. `appeal` is the click rate, 0..1, shrunk a little."""

    key: str
    title: str
    topic: str
    published_at: datetime
    impressions: int
    clicks: int
    appeal: float

    def to_item(self) -> Item:
        """The headline as the service knows it: without its appeal, which the models must learn."""
        return Item(key=self.key, title=self.title, published_at=self.published_at, attributes={"topic": self.topic})


@dataclass(frozen=True, eq=False)
class Newsroom:
    """The headlines, and their appeal and topic as parallel arrays."""

    headlines: tuple[Headline, ...]

    def __len__(self) -> int:
        return len(self.headlines)

    @cached_property
    def index(self) -> dict[str, int]:
        """Where each key stands among `headlines`."""
        return {headline.key: at for at, headline in enumerate(self.headlines)}

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The keys in order."""
        return tuple(headline.key for headline in self.headlines)

    @cached_property
    def appeal(self) -> NDArray[np.float64]:
        """(n,) true click rates."""
        return np.array([headline.appeal for headline in self.headlines])

    @cached_property
    def topic(self) -> NDArray[np.intp]:
        """(n,) indices into TOPICS."""
        at = {name: number for number, name in enumerate(TOPICS)}
        return np.array([at[headline.topic] for headline in self.headlines], dtype=np.intp)

    @cached_property
    def topic_share(self) -> NDArray[np.float64]:
        """(topics,) share of the headlines that each topic has; sums to 1."""
        return np.bincount(self.topic, minlength=len(TOPICS)) / len(self)


def load_newsroom(limit: int | None = None) -> Newsroom:
    """All 8,954 shipped headlines in the file's order, or an evenly spread `limit` of them.

    >>> newsroom = load_newsroom()
    >>> len(newsroom), newsroom.headlines[0].key
    (8954, 'h0001')
    """
    rows = _read_rows()
    impressions = np.array([int(row["impressions"]) for row in rows], dtype=np.float64)
    clicks = np.array([int(row["clicks"]) for row in rows], dtype=np.float64)
    appeal = shrink_rates(clicks, impressions)
    headlines = [_headline(at, row, float(appeal[at])) for at, row in enumerate(rows)]
    if limit is not None and limit < len(headlines):
        headlines = [headlines[at] for at in np.linspace(0, len(headlines) - 1, limit).astype(int)]
    return Newsroom(tuple(headlines))


def shrink_rates(clicks: NDArray[np.float64], impressions: NDArray[np.float64]) -> NDArray[np.float64]:
    """The posterior mean click rate of each item under a beta prior fitted to all of them by moments.

    Empirical Bayes: the prior's mean is Σclicks/Σimpressions and its variance is that of the rates less what
    binomial noise explains; an item with many impressions keeps its own rate nearly unchanged.
    Source: Kleinman (1973), Proportions with extraneous variance.
    """
    mean = clicks.sum() / impressions.sum()
    weight = impressions / impressions.sum()
    observed = float(np.sum(weight * (clicks / impressions - mean) ** 2))
    noise = mean * (1 - mean) * len(clicks) / impressions.sum()
    variance = max(observed - noise, 1e-12)
    strength = max(mean * (1 - mean) / variance - 1, 1.0)
    shrunk: NDArray[np.float64] = (clicks + strength * mean) / (impressions + strength)
    return shrunk


def _read_rows() -> list[dict[str, str]]:
    packed = resources.files("lamella.data").joinpath(_FILE).read_bytes()
    with io.TextIOWrapper(gzip.GzipFile(fileobj=io.BytesIO(packed)), encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def _headline(at: int, row: dict[str, str], appeal: float) -> Headline:
    return Headline(
        key=f"h{at + 1:04d}",
        title=row["headline"],
        topic=topic_of(row["headline"]),
        published_at=_first_day(row["week"]),
        impressions=int(row["impressions"]),
        clicks=int(row["clicks"]),
        appeal=appeal,
    )


def _first_day(week: str) -> datetime:
    """The Monday of a week such as 201438, or 1 January for the days before a year's first Monday (week 00)."""
    year = int(week[:4])
    start = datetime(year, 1, 1, tzinfo=UTC)
    return max(start, datetime.strptime(f"{week}1+0000", "%Y%W%w%z"))
