"""The bodies of the hot path: recommendations, events and exposures."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from lamella.web.schemas import Identifier, Key, Strict, Time


class RecommendationBody(Strict):
    """Who asks, what is known about the request, and how many items are wanted (missing: the layers decide).

    A caller that retries sends its own `request_id`: the same one is recorded once. `preview` is the token of a link
    that shows one variant.
    """

    unit: Identifier
    context: dict[str, JsonValue] = Field(default_factory=dict)
    k: Annotated[int, Field(ge=1, le=100)] | None = None
    exclude: Annotated[list[Identifier], Field(max_length=1_000)] = Field(default_factory=list)
    request_id: Identifier | None = None
    preview: Identifier | None = None


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
