"""What is recorded, as immutable values. All times are aware and in UTC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias


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
    impressions: tuple[Impression, ...]
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
