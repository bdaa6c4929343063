"""What is recorded, as immutable values. All times are aware and in UTC."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, repeat
from typing import Final, TypeAlias, overload


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """The variant of one phase that a unit got. `counted` is False where it was forced."""

    phase: int
    variant: str
    counted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Impression:
    """One item of a slate. `rank` starts at 1; `propensity` is 1.0 where nothing was randomised."""

    item: str
    rank: int
    score: float
    source: str
    propensity: float = 1.0


class Impressions(Sequence[Impression]):
    """The impressions of one list as columns, in the order of their ranks, which run from 1.

    A sequence like any other to whoever reads it; who writes or answers it takes the columns, and no object is made
    for an item. `propensities` is empty where nothing was randomised. Raises ValueError for columns of unlike length.
    """

    __slots__ = ("items", "propensities", "scores", "source")

    def __init__(
        self, items: tuple[str, ...], scores: tuple[float, ...], source: str, propensities: tuple[float, ...] = ()
    ) -> None:
        if len(items) != len(scores) or len(propensities) not in (0, len(items)):
            raise ValueError(f"{len(items)} items, {len(scores)} scores, {len(propensities)} propensities")
        self.items, self.scores, self.source, self.propensities = items, scores, source, propensities

    def rows(self) -> Iterator[tuple[int, str, float, float]]:
        """Rank, item, score and propensity of each."""
        propensities = self.propensities or repeat(1.0)
        return zip(count(1), self.items, self.scores, propensities, strict=False)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, place: int) -> Impression: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Impression, ...]: ...
    def __getitem__(self, place: int | slice) -> Impression | tuple[Impression, ...]:
        return tuple(self)[place]

    def __iter__(self) -> Iterator[Impression]:
        for rank, item, score, propensity in self.rows():
            yield Impression(item=item, rank=rank, score=score, source=self.source, propensity=propensity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slate:
    """The list that was shown, with everything that decided it.

    `models` maps stage to the version that answered ("mf@3"); `fallbacks` maps stage to why the wanted model did
    not answer. `latency_ms` is the time from parsed request to ordered list.
    """

    request_id: str
    unit: str
    time: datetime
    exposures: tuple[Exposed, ...]
    impressions: Sequence[Impression]
    snapshot: int
    models: Mapping[str, str] = field(default_factory=dict)
    fallbacks: Mapping[str, str] = field(default_factory=dict)
    context: Mapping[str, object] = field(default_factory=dict)
    latency_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """A reader opened an item of a slate."""

    event_id: str
    request_id: str
    unit: str
    item: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A reader read an item: `read_seconds` >= 0, `completion` 0..1 or None where it was not measured."""

    event_id: str
    request_id: str
    unit: str
    item: str
    time: datetime
    read_seconds: float
    completion: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """A reader did more than read; `action` is comment, share, like or another word of up to 32 characters."""

    event_id: str
    request_id: str
    unit: str
    item: str
    time: datetime
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Custom:
    """A number that the product gave a name: revenue, minutes watched, a rating; `value` is finite, of any sign.

    With `request_id` it belongs to the arm of that slate. Without, it belongs to no arm: the analysis counts it for
    each phase that its unit had met by `time`.
    """

    event_id: str
    unit: str
    time: datetime
    name: str
    value: float
    request_id: str | None = None
    item: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """A unit met a variant of one phase outside of any slate: said by whoever evaluated it elsewhere."""

    exposure_id: str
    unit: str
    time: datetime
    exposed: Exposed


Feedback: TypeAlias = Click | Read | Interaction
Event: TypeAlias = Feedback | Custom

EXPOSURE_MARK: Final = "\x1e"
"""What the id of an exposure begins with among those of events, none of which holds a control character."""

KINDS: Final[Mapping[str, type[Click] | type[Read] | type[Interaction] | type[Custom]]] = {
    "click": Click,
    "read": Read,
    "interaction": Interaction,
    "custom": Custom,
}
