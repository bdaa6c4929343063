"""The bodies of the admin API as strict models: no coercion, no unknown field; they also make the OpenAPI document.

They check shapes; the laws (weights, buckets, ownership) are checked by the use cases, which name every fault.
"""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from lamella.services.model_ports import MODEL_NAME


def _time(value: object) -> object:
    # What is not text stays as it is, and the strict model refuses it.
    return datetime.fromisoformat(value) if isinstance(value, str) else value


Time: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_time, json_schema_input_type=str)]
Key: TypeAlias = Annotated[str, Field(min_length=1, max_length=128)]
Identifier: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]
Text: TypeAlias = Annotated[str, Field(max_length=10_000)]
UnitName: TypeAlias = Literal["user", "device", "session"]
ParameterTypeName: TypeAlias = Literal["string", "integer", "float", "boolean", "object"]
Role: TypeAlias = Literal["collector", "client", "viewer", "experimenter", "approver", "admin"]


class Strict(BaseModel):
    """The base of every body."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())


class LayerBody(Strict):
    """A layer. `salt` is the key where it is missing; it never changes once traffic was assigned."""

    key: Key
    salt: Key | None = None
    unit: UnitName = "user"
    description: Text = ""
    domain: Key | None = None
    is_launch: bool = False
    project: Key = "default"


class LayerPatch(Strict):
    """What of a layer is to change; a missing field stays."""

    salt: Key | None = None
    unit: UnitName | None = None
    description: Text | None = None
    domain: Key | None = None
    is_launch: bool | None = None
    project: Key | None = None


class ParameterPatch(Strict):
    """What of a parameter is to change; a missing field stays."""

    type: ParameterTypeName | None = None
    default: JsonValue = None
    layer: Key | None = None
    description: Text | None = None


class ParameterBody(Strict):
    """A parameter that a layer owns; `default` must have the stated type."""

    key: Key
    type: ParameterTypeName
    default: JsonValue
    layer: Key
    description: Text = ""


class VariantBody(Strict):
    """One treatment: an integer weight (0 means nobody) and the parameter values that it sets."""

    key: Key
    weight: Annotated[int, Field(ge=0, le=1_000_000)]
    is_control: bool = False
    values: dict[str, JsonValue] = Field(default_factory=dict)


class RangeBody(Strict):
    """Buckets `start` up to, not including, `stop`."""

    start: Annotated[int, Field(ge=0, le=9_999)]
    stop: Annotated[int, Field(ge=1, le=10_000)]


class GuardrailBody(Strict):
    """A metric that must not get worse by more than `margin`, a relative share."""

    metric: Key
    margin: float


class PlanBody(Strict):
    """What will be tested and how; fixed when the experiment starts."""

    primary_metric: Key
    guardrails: list[GuardrailBody] = Field(default_factory=list)
    secondary_metrics: list[Key] = Field(default_factory=list)
    method: Literal["group_sequential", "always_valid", "fixed_horizon"] = "group_sequential"
    alpha: float = 0.05
    power: float = 0.8
    minimum_effect: float = 0.02
    planned_days: int | None = 14
    looks: int = 5
    minimum_days: int = 7
    correction: str = "holm"
    covariate_days: int = 0
    covariate_metrics: list[Key] = Field(default_factory=list)
    on_verdict: str = "recommend"


class PrerequisiteBody(Strict):
    """A unit must be in one of `variants` of `experiment`, which runs in another layer."""

    experiment: Key
    variants: list[Key]


class RampStepBody(Strict):
    """A share of the layer's buckets, kept for at least `hold_hours`."""

    share: Annotated[float, Field(gt=0, le=1)]
    hold_hours: float


class RampBody(Strict):
    """Steps of growing share; a gated ramp takes a step only while the newest report finds no harm."""

    steps: list[RampStepBody]
    is_gated: bool = True


class ExperimentBody(Strict):
    """An experiment, on `ranges` or (a new draft only) on free buckets for a `share` of its layer.

    What GET adds (`status`, `phases`, `ramped_at`, `start_faults`) may be sent back; writing it changes nothing.
    """

    key: Key
    layer: Key
    name: Text | None = None
    hypothesis: Text = ""
    owner: Text = ""
    rule: JsonValue = None
    forced: dict[str, str] = Field(default_factory=dict)
    ranges: list[RangeBody] = Field(default_factory=list)
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    variants: list[VariantBody]
    plan: PlanBody
    requires: list[PrerequisiteBody] = Field(default_factory=list)
    eligibility: Literal["leave", "stick"] = "leave"
    ramp: RampBody | None = None
    starts_at: str | None = None
    ends_at: str | None = None
    accept_underpowered: bool = False
    status: str | None = None
    phases: list[dict[str, JsonValue]] | None = None
    ramped_at: str | None = None
    start_faults: list[str] | None = None


class ExperimentPatch(Strict):
    """What of an experiment is to change; a missing field stays, `plan` and `variants` are replaced whole."""

    layer: Key | None = None
    name: Text | None = None
    hypothesis: Text | None = None
    owner: Text | None = None
    rule: JsonValue = None
    forced: dict[str, str] | None = None
    ranges: list[RangeBody] | None = None
    variants: list[VariantBody] | None = None
    plan: PlanBody | None = None
    requires: list[PrerequisiteBody] | None = None
    eligibility: Literal["leave", "stick"] | None = None
    ramp: RampBody | None = None
    starts_at: str | None = None
    ends_at: str | None = None
    accept_underpowered: bool | None = None


class StartBody(Strict):
    """Whether it may start though the measured traffic is too small for its plan; the revision keeps who said so."""

    accept_underpowered: bool = False


class PromoteBody(Strict):
    """The variant whose values become the defaults of its parameters."""

    variant: Key


class ShareBody(Strict):
    """The share of the layer's buckets that the experiment is to grow to."""

    share: Annotated[float, Field(gt=0, le=1)]


class PhaseBody(Strict):
    """What a new phase changes; a missing field stays. `rerandomise` gives every unit a fresh variant."""

    variants: list[VariantBody] | None = None
    rule: JsonValue = None
    ranges: list[RangeBody] | None = None
    rerandomise: bool = True
    salt: Key | None = None


class OverrideBody(Strict):
    """The variant that a unit is to get."""

    variant: Key


class PreviewBody(Strict):
    """The variant that the link shows, for how long it works, and whose page it shows (missing: nobody's)."""

    variant: Key
    hours: Annotated[int, Field(ge=1, le=720)] = 24
    unit: Identifier | None = None


class DomainBody(Strict):
    """A share of traffic that holds layers: buckets of the root space, or of a layer that it is nested in."""

    key: Key
    ranges: list[RangeBody]
    layer: Key | None = None
    is_overlapping: bool = True
    unit: UnitName = "user"
    description: Text = ""


class DomainPatch(Strict):
    """What of a domain is to change; a missing field stays."""

    ranges: list[RangeBody] | None = None
    layer: Key | None = None
    is_overlapping: bool | None = None
    unit: UnitName | None = None
    description: Text | None = None


class HoldoutBody(Strict):
    """Units that get no experiment in a domain, or in all of them, for a period."""

    key: Key
    ranges: list[RangeBody]
    salt: Key | None = None
    domain: Key | None = None
    unit: UnitName = "user"
    starts_at: str | None = None
    ends_at: str | None = None
    description: Text = ""


class HoldoutPatch(Strict):
    """What of a holdout is to change; a missing field stays."""

    ranges: list[RangeBody] | None = None
    salt: Key | None = None
    domain: Key | None = None
    unit: UnitName | None = None
    starts_at: str | None = None
    ends_at: str | None = None
    description: Text | None = None


class MeasureBody(Strict):
    """Events of one kind that meet `filter`, JsonLogic over their properties: how many, or the sum of `property`."""

    event: Literal["slate", "impression", "click", "read", "interaction", "custom", "exposure"]
    property: Key | None = None
    filter: JsonValue = None


class WindowBody(Strict):
    """The time since a unit's first exposure that counts, from `start_hours` up to, not including, `end_hours`."""

    start_hours: float = 0.0
    end_hours: float | None = None


class MetricBody(Strict):
    """A metric by declaration. A ratio has a `denominator`, a quantile its `quantile`, retention a window's end."""

    key: Key
    kind: Literal["mean", "proportion", "ratio", "quantile", "retention"]
    measure: MeasureBody
    label: Text | None = None
    label_zh: Text | None = None
    denominator: MeasureBody | None = None
    window: WindowBody | None = None
    winsorise: float | None = None
    quantile: float | None = None
    direction: Literal["increase", "decrease"] = "increase"
    minimum_effect: float | None = None
    unit: Literal["share", "seconds", "count"] = "count"
    description: Text = ""


class WebhookBody(Strict):
    """Whom to tell, and about which events: `experiment.start`, `experiment.*` or `*`."""

    url: Annotated[str, Field(max_length=2_000)]
    events: Annotated[list[Annotated[str, Field(max_length=100)]], Field(min_length=1, max_length=50)]


class WebhookPatch(Strict):
    """What of a subscription is to change; one that is not active gets no further events."""

    url: Annotated[str, Field(max_length=2_000)] | None = None
    events: Annotated[list[Annotated[str, Field(max_length=100)]], Field(min_length=1, max_length=50)] | None = None
    is_active: bool | None = None


class KillSwitchBody(Strict):
    """Whether every unit gets the defaults everywhere."""

    killed: bool


class ItemBody(Strict):
    """An item of the catalogue. `published_at` is now where it is missing."""

    key: Identifier
    title: Annotated[str, Field(max_length=2_000)]
    published_at: Time | None = None
    attributes: dict[str, JsonValue] = Field(default_factory=dict)


class ItemsBody(Strict):
    """Items to insert or replace by key."""

    items: Annotated[list[ItemBody], Field(min_length=1, max_length=10_000)]


class TrainingBody(Strict):
    """A training to queue: kind of model, name to publish it under, hyperparameters, seed, stage of its version."""

    kind: Key
    name: Annotated[str, Field(pattern=f"^{MODEL_NAME}$")]
    hyperparameters: dict[str, JsonValue] = Field(default_factory=dict)
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    stage: Literal["live", "candidate"] = "live"


class UploadForm(Strict):
    """A model from outside, as multipart/form-data."""

    kind: Annotated[str, Field(description="a registered kind, or onnx")]
    name: Annotated[str, Field(pattern=f"^{MODEL_NAME}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$", description="of the weights")]
    hyperparameters: Annotated[str, Field(description="a JSON object")] = "{}"
    weights: Annotated[str, Field(json_schema_extra={"contentMediaType": "application/octet-stream"})]
    rows: Annotated[str, Field(json_schema_extra={"contentMediaType": "application/json"})]


class StageBody(Strict):
    """Where a model version is to stand; shadow and canary take a share of the traffic."""

    stage: Literal["candidate", "shadow", "canary", "live", "retired"]
    share: Annotated[float, Field(ge=0, le=1)] = 0.0


class KeyBody(Strict):
    """A key to make."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    role: Role
    projects: Annotated[list[Key], Field(min_length=1, max_length=100)] | None = None
    expires_at: Time | None = None


class FlagBody(Strict):
    """Why a unit is left out of every analysis."""

    reason: Literal["bot", "internal"] = "internal"
    detail: Annotated[str, Field(max_length=256)] = ""
