"""What the API answers about shadows, as models for the OpenAPI document."""

from pydantic import BaseModel


class ComparisonAnswer(BaseModel):
    """A shadow beside one live version in one stage; means are null where nothing was compared."""

    live: str
    stage: str
    requests: int
    compared: int
    errors: int
    dropped: int
    overlap_at_k: float | None
    rank_correlation: float | None
    live_ms: float | None
    shadow_ms: float | None


class ShadowAnswer(BaseModel):
    """What a shadow would have answered, beside what was."""

    reference: str
    items: int
    shown: int
    coverage: float | None
    comparisons: list[ComparisonAnswer]
