"""The bodies of the serving routes, as the OpenAPI document describes them, and the shapes of errors."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from lamella.web.schemas import Identifier, Key, Strict, Time

Token: TypeAlias = Annotated[str, Field(min_length=1, max_length=2_000)]


class RecommendationBody(Strict):
    """Who asks, what is known about the request, and how many items are wanted (missing: the layers decide).

    A caller that retries sends its own `request_id`: the same one is recorded once. `preview` is the token of a link
    that shows one variant. `candidates` stand in for recall.
    """

    unit: Identifier
    context: dict[str, JsonValue] = Field(default_factory=dict)
    k: Annotated[int, Field(ge=1, le=100)] | None = None
    exclude: Annotated[list[Identifier], Field(max_length=1_000)] = Field(default_factory=list)
    candidates: Annotated[list[Identifier], Field(max_length=1_000)] | None = None
    request_id: Identifier | None = None
    preview: Token | None = None


class RecommendationsBody(Strict):
    """Up to 100 requests, each answered by itself."""

    requests: Annotated[list[RecommendationBody], Field(min_length=1, max_length=100)]


class ExplainBody(Strict):
    """Whom to explain: a user as `unit`, or `units` by kind; `preview` is the token of a link."""

    unit: Identifier | None = None
    units: dict[Literal["user", "device", "session"], Identifier] | None = None
    context: dict[str, JsonValue] = Field(default_factory=dict)
    preview: Token | None = None


class EventBody(BaseModel):
    """One event; `read_seconds` and `completion` belong to a read, `action` to an interaction.

    A custom event has a `name` and a `value`, and may leave out `request_id` and `item`. An exposure has neither of
    those; it names an experiment, a parameter or a phase, as in POST /v1/exposures.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["click", "read", "interaction", "custom", "exposure"]
    event_id: Identifier
    unit: Identifier
    request_id: Identifier | None = None
    item: Identifier | None = None
    time: Time | None = None
    read_seconds: float | None = None
    completion: float | None = None
    action: Annotated[str, Field(max_length=32)] | None = None
    name: Annotated[str, Field(max_length=64)] | None = None
    value: Annotated[float, Field(ge=-1e12, le=1e12)] | None = None
    experiment: Key | None = None
    parameter: Key | None = None
    phase: int | None = None
    variant: Identifier | None = None
    counted: bool = True
    context: dict[str, JsonValue] | None = None


class EventsBody(Strict):
    """Up to 1,000 events, each accepted, duplicate or rejected; with `sent_at`, a wrong clock is set right."""

    events: Annotated[list[EventBody], Field(min_length=1, max_length=1_000)]
    sent_at: Time | None = None


class ExposureBody(BaseModel):
    """The first time that a unit met a variant outside of a slate; names an experiment, a parameter or a phase.

    A stated `variant` is recorded as it is; where it is missing, the unit is assigned as the exposure arrives.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    exposure_id: Identifier
    unit: Identifier
    experiment: Key | None = None
    parameter: Key | None = None
    phase: int | None = None
    variant: Identifier | None = None
    counted: bool = True
    time: Time | None = None
    context: dict[str, JsonValue] | None = None


class ExposuresBody(Strict):
    """Up to 1,000 exposures; each is accepted or rejected by itself."""

    exposures: Annotated[list[ExposureBody], Field(min_length=1, max_length=1_000)]


class EvaluationBody(BaseModel):
    """OFREP's request: `context` holds `targetingKey`, perhaps `deviceKey` and `sessionKey`, and the attributes."""

    context: dict[str, JsonValue]


class EvaluationFailure(BaseModel):
    """OFREP's failure. `key` is there where one flag was asked for; `code` is our own stable word."""

    key: str | None = None
    errorCode: Literal["PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "FLAG_NOT_FOUND", "GENERAL"]  # noqa: N815 - the protocol's name
    errorDetails: str  # noqa: N815 - the protocol's name
    code: str


class Problem(BaseModel):
    """Every error (RFC 9457). `code` is stable; `faults` has a sentence for each thing that is wrong."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str
    faults: list[str] | None = None
