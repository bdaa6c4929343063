"""The configuration as immutable values: domains, layers, parameters, experiments, variants, phases, holdouts.

An admin change is a pure function from one Configuration to the next (`lifecycle`, `allocation`); the store
commits it against the version that it was made from; web processes compile it (`snapshot`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"

BUCKETS: Final = 10_000
ROOT_SALT: Final = "lamella:domains"
"""The salt of the root space, which the top-level domains split; no layer, phase or holdout may have it."""


class UnitKind(StrEnum):
    """What a layer randomises."""

    USER = "user"
    DEVICE = "device"
    SESSION = "session"


class ParameterType(StrEnum):
    """The type of a parameter's value, in OpenFeature's terms."""

    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    OBJECT = "object"


class Status(StrEnum):
    """Where an experiment stands in its life."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    ARCHIVED = "archived"


class Eligibility(StrEnum):
    """What becomes of a unit that was exposed in the phase and that the rule or a prerequisite no longer lets in."""

    LEAVE = "leave"
    STICK = "stick"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A typed, named value that the product reads; exactly one layer owns it."""

    key: str
    type: ParameterType
    default: Json
    layer: str
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A set of parameters that may be varied together; its experiments exclude each other.

    `salt` picks a unit's bucket; it never changes once traffic was assigned. `domain` is the share of traffic that
    the layer lies in, None for all that no non-overlapping domain takes. A launch layer, always over all traffic, may
    set any parameter: its values stand in for the defaults, and those of the owning layer go before them.
    A key that is limited to some projects reaches the layers of those `project`s only.
    """

    key: str
    salt: str
    unit: UnitKind = UnitKind.USER
    description: str = ""
    domain: str | None = None
    is_launch: bool = False
    project: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketRange:
    """Buckets `start` up to, not including, `stop`; 0 <= start < stop <= 10,000."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A share of traffic that holds layers: buckets `ranges` of `layer`, or, where that is None, of the root space.

    The root space is hashed by `unit` with ROOT_SALT; top-level domains share one kind of unit, and a nested domain
    has that of its layer. A domain that is not overlapping holds one layer, which may set every parameter that the
    space around it may; a top-level one takes its units out of every other layer but the launch layers.
    """

    key: str
    ranges: tuple[BucketRange, ...]
    layer: str | None = None
    is_overlapping: bool = True
    unit: UnitKind = UnitKind.USER
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """Units that get no experiment: in the layers inside `domain`, or in all where that is None.

    They are the buckets `ranges` of a space of the holdout's own, hashed by `unit` with `salt`. It is in force from
    `starts_at` up to, not including, `ends_at`; None leaves that side open. Launch layers are held out too.
    """

    key: str
    salt: str
    ranges: tuple[BucketRange, ...]
    domain: str | None = None
    unit: UnitKind = UnitKind.USER
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One treatment: an integer weight (0 means nobody) and the parameter values that it sets."""

    key: str
    weight: int
    values: Mapping[str, Json] = field(default_factory=dict)
    is_control: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of an experiment during which nothing that matters changed.

    `id` is unique over the whole configuration and small: it is what the record refers to. `salt` picks the
    variant among the units of the experiment's buckets. `weights` are those in force during the phase.
    """

    id: int
    number: int
    salt: str
    started_at: datetime
    weights: Mapping[str, int]
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrail:
    """A metric that must not get worse by more than `margin`, a relative share (0.02 is 2 %)."""

    metric: str
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisPlan:
    """What will be tested and how; fixed when the experiment starts.

    `method` is group_sequential (needs `planned_days`), always_valid or fixed_horizon. `alpha` is two-sided.
    `power` is the wanted chance to find `minimum_effect`, a relative lift. The verdict waits for `minimum_days`.
    `on_verdict` says what the worker does by itself: recommend (nothing), stop (what does harm), or promote (that, and
    where a variant is to ship, stop and make its values the defaults).
    The past of `covariate_days` adjusts every metric by itself, and by that of the built-in `covariate_metrics` too.
    """

    primary_metric: str
    guardrails: tuple[Guardrail, ...] = ()
    secondary_metrics: tuple[str, ...] = ()
    method: str = "group_sequential"
    alpha: float = 0.05
    power: float = 0.8
    minimum_effect: float = 0.02
    planned_days: int | None = 14
    looks: int = 5
    minimum_days: int = 7
    correction: str = "holm"
    covariate_days: int = 0
    covariate_metrics: tuple[str, ...] = ()
    on_verdict: str = "recommend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prerequisite:
    """A unit must be in one of `variants` of `experiment`, which runs in another layer."""

    experiment: str
    variants: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RampStep:
    """A share of the layer's buckets, 0 < share <= 1, kept for at least `hold_hours` before the next step."""

    share: float
    hold_hours: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """Steps of growing share. A gated ramp takes a step only while the newest report finds no harm and no fault."""

    steps: tuple[RampStep, ...]
    is_gated: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Buckets of one layer, a targeting rule, weighted variants, and an analysis plan.

    `rule` is JsonLogic over the request's context, or None for everybody. `forced` maps unit to variant: logged,
    but out of the analysis. The last of `phases` is the current one. A unit must meet every one of `requires`.
    A scheduled experiment starts once `starts_at` has come, a live one stops at `ends_at`. `accept_underpowered` lets
    it start though its traffic is measured to be too small for its plan. Kept by the life cycle alone: `ramped_at`,
    when the ramp last took a step; `start_faults`, why the scheduled start was refused.
    """

    key: str
    layer: str
    name: str
    hypothesis: str
    variants: tuple[Variant, ...]
    plan: AnalysisPlan
    ranges: tuple[BucketRange, ...]
    rule: Json = None
    forced: Mapping[str, str] = field(default_factory=dict)
    status: Status = Status.DRAFT
    phases: tuple[Phase, ...] = ()
    owner: str = ""
    requires: tuple[Prerequisite, ...] = ()
    eligibility: Eligibility = Eligibility.LEAVE
    ramp: Ramp | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    ramped_at: datetime | None = None
    start_faults: tuple[str, ...] = ()
    accept_underpowered: bool = False


class MeasuredKind(StrEnum):
    """How a declared metric makes one figure of the events of an arm's units."""

    MEAN = "mean"
    PROPORTION = "proportion"
    RATIO = "ratio"
    QUANTILE = "quantile"
    RETENTION = "retention"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Events of one kind that meet `filter` (JsonLogic over their properties): how many, or the sum of `property`."""

    event: str
    property: str | None = None
    filter: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The time since a unit's first exposure that counts: from `start_hours` up to, not including, `end_hours`.

    Without an end everything until the report counts.
    """

    start_hours: float = 0.0
    end_hours: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredMetric:
    """A metric that the installation declares; `measures` says what its fields mean and what may go together."""

    key: str
    label: str
    label_zh: str
    kind: MeasuredKind
    measure: Measure
    denominator: Measure | None = None
    window: Window = field(default_factory=Window)
    winsorise: float | None = None
    quantile: float | None = None
    direction: str = "increase"
    minimum_effect: float | None = None
    unit: str = "count"
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Everything that decides an assignment, at one version. Keys are unique within each tuple."""

    version: int = 0
    layers: tuple[Layer, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    experiments: tuple[Experiment, ...] = ()
    killed: bool = False
    domains: tuple[Domain, ...] = ()
    holdouts: tuple[Holdout, ...] = ()
    metrics: tuple[DeclaredMetric, ...] = ()
