"""A report as typed, frozen values: what the renderers draw. `document` makes them out of a report document."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from lamella.experiments.model import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A confidence interval; None is a side without a limit."""

    low: float | None
    high: float | None

    def scaled(self, sign: int) -> "Interval":
        """The interval of the same quantity times `sign`, which is 1 or -1."""
        if sign > 0:
            return self
        return Interval(low=None if self.high is None else -self.high, high=None if self.low is None else -self.low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bayes:
    """The Bayesian reading that stands beside the test: chance that the variant is better, and the expected loss."""

    chance_to_win: float | None
    expected_loss: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One variant against the control on one metric.

    `difference` is in the metric's own unit, `relative_lift` is a share (0.02 is 2 %). Where `undefined` holds a
    reason code, the lift is None, and where nothing at all could be compared the difference and p are None too.
    `adjusted` is the same comparison after CUPED.
    """

    variant: str
    difference: float | None
    difference_ci: Interval | None
    relative_lift: float | None
    ci: Interval | None
    p: float | None
    p_adjusted: float | None
    level: float | None
    method: str
    significant: bool
    undefined: str | None
    adjusted: "Comparison | None" = None
    bayes: Bayes | None = None

    @property
    def used(self) -> "Comparison":
        """What the verdict rests on: the adjusted comparison where it could be made."""
        return self if self.adjusted is None or self.adjusted.difference is None else self.adjusted

    @property
    def decisive_p(self) -> float | None:
        """The p-value that `significant` goes by: corrected for multiplicity where the plan corrects."""
        return self.p if self.p_adjusted is None else self.p_adjusted


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What one variant's units did: the metric's value, or None with the reason code in `undefined`."""

    variant: str
    units: int
    value: float | None
    numerator: float | None
    denominator: float | None
    undefined: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric of the plan with its arms (control first, as the document has them) and its comparisons."""

    key: str
    labels: Mapping[str, str]
    kind: str
    role: str
    direction: str
    unit: str
    arms: tuple[Arm, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def wanted_sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return -1 if self.direction == "decrease" else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A variant's traffic. `crossed` counts units that were also in another variant and are left out."""

    key: str
    is_control: bool
    weight: int
    units: int
    crossed: int
    slates: int
    fallback_slates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that must hold before a verdict; `passed` is None where it could not be judged yet."""

    key: str
    passed: bool | None
    blocking: bool
    p: float | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One look of a group-sequential test: the test statistic and the boundary that it had to cross."""

    information: float
    z: float | None
    boundary: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """How many of the planned analyses were made; `information` is the share of the planned information, 0..1."""

    taken: int
    planned: int | None
    information: float | None
    stops: tuple[Stop, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to do, for which variant, and why."""

    decision: str
    variant: str | None
    reason: str
    numbers: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was fixed at the start. `fields` holds every entry of the plan as the document has it."""

    primary_metric: str
    margins: Mapping[str, float]
    minimum_effect: float | None
    planned_days: float | None
    alpha: float | None
    fields: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a simulation planted, and whether the verdict says so."""

    planted: str
    relative_lift: float | None
    correct: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One analysis of one phase of an experiment. `explored` holds what stands beside the plan, as it is."""

    key: str
    name: str
    layer: str
    hypothesis: str
    status: str
    owner: str
    phase: int
    phase_number: int
    started_at: datetime
    as_of: datetime
    snapshot: int
    plan: Plan
    looks: Looks
    checks: tuple[Check, ...]
    variants: tuple[Variant, ...]
    metrics: tuple[Metric, ...]
    verdict: Verdict
    inputs: Mapping[str, Json]
    explored: Mapping[str, Json] = field(default_factory=dict)

    @property
    def control(self) -> str | None:
        """The control's key; None where no variant is marked as the control."""
        return next((variant.key for variant in self.variants if variant.is_control), None)

    @property
    def primary(self) -> Metric | None:
        """The primary metric; None where the document has no metric of that role."""
        return next((metric for metric in self.metrics if metric.role == "primary"), None)

    @property
    def units(self) -> int:
        """The analysed units of all variants."""
        return sum(variant.units for variant in self.variants)

    @property
    def days(self) -> float:
        """How long the phase had run, in days."""
        return (self.as_of - self.started_at).total_seconds() / 86_400
