"""The bodies of the admin API as strict models: no coercion, no unknown field; they also make the OpenAPI document.

They check shapes; the laws (weights, buckets, ownership) are checked by the use cases, which name every fault.
"""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue


def _time(value: object) -> object:
    # What is not text stays as it is, and the strict model refuses it.
    return datetime.fromisoformat(value) if isinstance(value, str) else value


Time: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_time, json_schema_input_type=str)]
Key: TypeAlias = Annotated[str, Field(min_length=1, max_length=128)]
Identifier: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]
Text: TypeAlias = Annotated[str, Field(max_length=10_000)]
Role: TypeAlias = Literal["client", "viewer", "experimenter", "approver", "admin"]


class Strict(BaseModel):
    """The base of every body."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())


class LayerBody(Strict):
    """A layer. `salt` is the key where it is missing; it never changes once traffic was assigned."""

    key: Key
    salt: Key | None = None
    unit: Literal["user", "device", "session"] = "user"
    description: Text = ""


class ParameterBody(Strict):
    """A parameter that a layer owns; `default` must have the stated type."""

    key: Key
    type: Literal["string", "integer", "float", "boolean", "object"]
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
    on_verdict: str = "recommend"


class ExperimentBody(Strict):
    """An experiment, on `ranges` or (a new draft only) on free buckets for a `share` of its layer.

    What GET adds (`status`, `phases`) may be sent back; writing it changes nothing.
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
    status: str | None = None
    phases: list[dict[str, JsonValue]] | None = None


class KillSwitchBody(Strict):
    """Whether every unit gets the defaults everywhere."""

    killed: bool


class Query(BaseModel):
    """The base of every query string: text comes in, so types are read from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ExplainQuery(Query):
    """Whom to explain; `context` is a JSON object."""

    unit: str
    context: str = "{}"


class RevisionsQuery(Query):
    """Which revisions to show."""

    kind: Literal["layer", "parameter", "experiment", "configuration"] | None = None
    key: str | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100


class ExperimentsQuery(Query):
    """Which experiments to show."""

    layer: str | None = None
    status: Literal["draft", "scheduled", "running", "paused", "stopped", "archived"] | None = None


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
    """A training to queue: the kind of model, the name to publish it under, hyperparameters, seed."""

    kind: Key
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    hyperparameters: dict[str, JsonValue] = Field(default_factory=dict)
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


class KeyBody(Strict):
    """A key to make."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    role: Role


class RecommendationBody(Strict):
    """Who asks, what is known about the request, and how many items are wanted (missing: the layers decide).

    A caller that retries sends its own `request_id`: the same one is recorded once.
    """

    unit: Identifier
    context: dict[str, JsonValue] = Field(default_factory=dict)
    k: Annotated[int, Field(ge=1, le=100)] | None = None
    exclude: Annotated[list[Identifier], Field(max_length=1_000)] = Field(default_factory=list)
    request_id: Identifier | None = None


class EventBody(BaseModel):
    """One event; `read_seconds` and `completion` belong to a read, `action` to an interaction."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["click", "read", "interaction"]
    event_id: Identifier
    request_id: Identifier
    unit: Identifier
    item: Identifier
    time: Time
    read_seconds: float | None = None
    completion: float | None = None
    action: Annotated[str, Field(max_length=32)] | None = None


class EventsBody(Strict):
    """Up to 1,000 events; each is accepted or rejected by itself."""

    events: Annotated[list[EventBody], Field(min_length=1, max_length=1_000)]


class Problem(BaseModel):
    """Every error (RFC 9457). `code` is stable; `faults` has a sentence for each thing that is wrong."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str
    faults: list[str] | None = None
