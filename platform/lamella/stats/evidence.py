"""What a verdict is made from and what it is: checks, contenders with their guardrails, progress, decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from lamella.stats.undefined import Undefined

MINIMUM_DAYS: Final = "minimum_days"


class Decision(StrEnum):
    """What to do with the experiment."""

    SHIP = "ship"
    KEEP_CONTROL = "keep_control"
    NO_DIFFERENCE = "no_difference"
    KEEP_RUNNING = "keep_running"
    STOP_FOR_HARM = "stop_for_harm"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One condition of a valid result: `passed` is None where it does not apply; `detail` is a sentence."""

    check: str
    passed: bool | None
    blocking: bool
    p: float | None
    detail: str

    @property
    def blocks(self) -> bool:
        """Whether this check alone stops the verdict."""
        return self.blocking and self.passed is False


class Safety(StrEnum):
    """What a guardrail shows: no worse than its margin; worse than it; or neither yet."""

    SAFE = "safe"
    UNCLEAR = "unclear"
    HARMED = "harmed"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailReading:
    """A guardrail of one variant: its relative margin, what it shows, and the relative interval (None: no bound)."""

    label: str
    margin: float
    safety: Safety
    low: float | None = None
    high: float | None = None
    undefined: Undefined | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A treatment: the primary metric against control at this look's boundary, and its guardrails.

    `lift`, `low` and `high` are relative; `good` is the effect in the metric's good direction, by which contenders
    are ranked. `is_better` and `is_worse` are significant, after correction. `is_adjusted` where CUPED was used.
    """

    variant: str
    lift: float | None
    low: float | None
    high: float | None
    p: float | None
    good: float
    is_better: bool
    is_worse: bool
    is_adjusted: bool = False
    undefined: Undefined | None = None
    guardrails: tuple[GuardrailReading, ...] = ()

    @property
    def is_safe(self) -> bool:
        """Whether every guardrail is shown to be no worse than its margin."""
        return all(reading.safety is Safety.SAFE for reading in self.guardrails)

    @property
    def is_harmful(self) -> bool:
        """Whether the primary is significantly worse or a guardrail is shown to be worse than its margin."""
        return self.is_worse or any(reading.safety is Safety.HARMED for reading in self.guardrails)

    def is_within(self, effect: float) -> bool:
        """Whether the whole interval lies inside ±effect."""
        return self.low is not None and self.high is not None and -effect < self.low and self.high < effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the experiment is.

    `is_final`: nothing more will come under this plan. `has_ended`: the traffic has ended. `waits_for` and `ending`
    are sentences: what the next judgement waits for, and which end was reached. `can_stop_early_for_nothing`:
    no_difference may be said before the end (always-valid plans).
    """

    elapsed_days: float
    minimum_days: float
    is_final: bool
    has_ended: bool = False
    waits_for: str = ""
    ending: str = "The planned end is reached."
    can_stop_early_for_nothing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the experiment asks: the primary metric's label, the least lift that matters, the level of intervals."""

    label: str
    minimum_effect: float
    level: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The decision, the variant that it is about (None: none in particular), a sentence, and the numbers in it."""

    decision: Decision
    variant: str | None
    reason: str
    numbers: Mapping[str, float | None] = field(default_factory=dict)
