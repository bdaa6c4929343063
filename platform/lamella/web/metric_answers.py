"""The good answers about metrics and segments as models."""

from pydantic import BaseModel, JsonValue, RootModel


class MetricAnswer(BaseModel):
    """A metric that a plan may name."""

    key: str
    label: str
    label_zh: str
    kind: str
    unit: str
    direction: str
    numerator: list[str]
    denominator: str | None
    is_built_in: bool
    declaration: dict[str, JsonValue] | None


class MeasureAnswer(BaseModel):
    """Events of a kind that meet a filter: how many, or the sum of a property."""

    event: str
    property: str | None
    filter: JsonValue


class WindowAnswer(BaseModel):
    """The time since a unit's first exposure that counts."""

    start_hours: float
    end_hours: float | None


class DeclaredMetricAnswer(BaseModel):
    """A declared metric as stored."""

    key: str
    label: str
    label_zh: str
    kind: str
    measure: MeasureAnswer
    denominator: MeasureAnswer | None
    window: WindowAnswer
    winsorise: float | None
    quantile: float | None
    direction: str
    minimum_effect: float | None
    unit: str
    description: str


class AnyMetricAnswer(RootModel[DeclaredMetricAnswer | MetricAnswer]):
    """A metric: declared, or built in."""


class SegmentsAnswer(BaseModel):
    """An experiment's metrics within segments of its units."""

    label: str
    experiment: str
    phase: int
    as_of: str
    by: list[str]
    segments: list[dict[str, JsonValue]]
    heterogeneity: list[dict[str, JsonValue]]
