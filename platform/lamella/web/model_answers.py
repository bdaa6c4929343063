"""The answers about model versions and trainings."""

from typing import Literal

from pydantic import BaseModel, JsonValue


class ModelAnswer(BaseModel):
    """A published model version with its offline metrics and its stage."""

    reference: str
    name: str
    number: int
    kind: str
    created_at: str
    digest: str
    size_bytes: int
    hyperparameters: dict[str, JsonValue]
    metrics: dict[str, float]
    stamp: dict[str, JsonValue]
    stage: Literal["candidate", "shadow", "canary", "live", "retired"]
    share: float
    reason: str


class FileAnswer(BaseModel):
    """A file of a version."""

    name: str
    sha256: str
    size_bytes: int | None


class VersionAnswer(ModelAnswer):
    """A version with what was recorded when it was published."""

    signature: dict[str, JsonValue] | None
    probe_max_error: float | None
    files: list[FileAnswer]


class TrainingAnswer(BaseModel):
    """A training and how far it is."""

    id: str
    kind: str
    name: str
    hyperparameters: dict[str, JsonValue]
    seed: int
    status: str
    progress: float
    message: str
    requested_at: str
    requested_by: str
    reference: str | None
    stage: Literal["live", "candidate"]
