"""The query strings of the admin API: text comes in, so types are read from it; an unknown name is refused."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Cursor: TypeAlias = Annotated[str, Field(max_length=2_000)]
Limit: TypeAlias = Annotated[int, Field(ge=1, le=1_000)]


class Query(BaseModel):
    """The base of every query string: text comes in, so types are read from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ExplainQuery(Query):
    """Whom to explain; `context` is a JSON object."""

    unit: str
    context: str = "{}"
    preview: str | None = None


class RevisionsQuery(Query):
    """Which revisions to show."""

    kind: Literal["domain", "layer", "parameter", "experiment", "holdout", "metric", "configuration"] | None = None
    key: str | None = None
    author: str | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class QuarantineQuery(Query):
    """Which refused records to show."""

    reason: Annotated[str, Field(max_length=64)] | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class PageQuery(Query):
    """How many to show, and where to go on: what `next_cursor` said."""

    limit: Limit = 100
    cursor: Cursor | None = None


class SegmentsQuery(Query):
    """The attributes of the context, and the metrics, each separated by commas."""

    by: Annotated[str, Field(max_length=300)]
    metric: Annotated[str, Field(max_length=2_000)] = ""


class ParametersQuery(PageQuery):
    """Which parameters to show."""

    layer: str | None = None


class LayersQuery(PageQuery):
    """Which layers to show."""

    project: str | None = None
    domain: str | None = None


class AuditQuery(PageQuery):
    """Which deeds to show."""

    actor: str | None = None
    route: str | None = None
    path: str | None = None


class ProposalsQuery(PageQuery):
    """Which proposals to show."""

    status: Literal["open", "applied", "rejected", "withdrawn"] | None = None


class ModelsQuery(PageQuery):
    """Which model versions to show."""

    name: str | None = None
    kind: str | None = None


class ConfigurationQuery(Query):
    """How to show or take the whole configuration."""

    dry_run: bool = False
    format: Literal["json", "yaml"] | None = None


class ExperimentsQuery(PageQuery):
    """Which experiments to show."""

    layer: str | None = None
    owner: str | None = None
    project: str | None = None
    status: Literal["draft", "scheduled", "running", "paused", "stopped", "archived"] | None = None
