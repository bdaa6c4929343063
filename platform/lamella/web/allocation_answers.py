"""What the allocation planner answers, as models."""

from pydantic import BaseModel

from lamella.web.schemas import RangeBody


class ReleaseAnswer(BaseModel):
    """Buckets that become free at a planned end; at null, when somebody stops the experiment."""

    at: str | None
    experiment: str
    ranges: list[RangeBody]
    free: list[RangeBody]
    free_share: float


class AvailabilityAnswer(BaseModel):
    """What is free in a layer, and when more will be."""

    layer: str
    at: str
    free: list[RangeBody]
    free_share: float
    domains: list[RangeBody]
    releases: list[ReleaseAnswer]
