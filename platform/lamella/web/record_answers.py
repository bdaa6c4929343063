"""What the administration of the record answers, as models."""

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel, JsonValue


class QuarantinedAnswer(BaseModel):
    """A record that could not be stored, and why."""

    at: str
    reason: str
    detail: str
    kind: str
    key: str
    unit: str | None
    body: str


class QuarantineAnswer(BaseModel):
    """A page of the quarantine; `counts` has the number of each reason."""

    quarantine: list[QuarantinedAnswer]
    counts: dict[str, int]
    next_cursor: str | None


class ArchivedFileAnswer(BaseModel):
    """A Parquet file that holds a month of one fact."""

    fact: str
    month: str
    path: str
    rows: int
    sha256: str


class ArchiveAnswer(BaseModel):
    """A page of the archive."""

    files: list[ArchivedFileAnswer]
    next_cursor: str | None


class FlagAnswer(BaseModel):
    """A unit that no analysis counts."""

    unit: str
    reason: str
    detail: str
    at: str


class FlagsAnswer(BaseModel):
    """A page of the flagged units."""

    flags: list[FlagAnswer]
    next_cursor: str | None


class ExportAnswer(BaseModel):
    """Everything that is recorded of one unit; `forced_in` names the experiments that force a variant on it."""

    unit: str
    at: str
    tables: dict[str, list[dict[str, JsonValue]]]
    archive: dict[str, list[dict[str, JsonValue]]]
    forced_in: list[str]


class ErasureAnswer(BaseModel):
    """How many rows of each table and archived file are gone; `unit` is the digest that the audit log has."""

    unit: str
    erased_at: str
    tables: dict[str, int]
    archive: dict[str, int]
    forced_in: list[str]


RECORD_ANSWERS: Final[Mapping[str, type[BaseModel]]] = {
    "records.list_quarantine": QuarantineAnswer,
    "records.list_archive": ArchiveAnswer,
    "records.list_flags": FlagsAnswer,
    "records.put_flag": FlagAnswer,
    "records.export_unit": ExportAnswer,
    "records.erase_unit": ErasureAnswer,
}
"""The model of each route's good answer, by endpoint."""
