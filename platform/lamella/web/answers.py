"""What the admin API answers, as models: they make the OpenAPI document, and a test holds the real answers to them."""

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel, Field, JsonValue, create_model

from lamella.web.allocation_answers import AvailabilityAnswer
from lamella.web.insight_answers import INSIGHT_ANSWERS
from lamella.web.metric_answers import AnyMetricAnswer, DeclaredMetricAnswer, MetricAnswer, SegmentsAnswer
from lamella.web.model_answers import ModelAnswer, TrainingAnswer, VersionAnswer
from lamella.web.record_answers import RECORD_ANSWERS
from lamella.web.schemas import PlanBody, PrerequisiteBody, RampBody, RangeBody, VariantBody
from lamella.web.shadow_answers import ShadowAnswer


class LayerAnswer(BaseModel):
    """A layer as stored."""

    key: str
    salt: str
    unit: str
    description: str
    domain: str | None
    is_launch: bool
    project: str


class ParameterAnswer(BaseModel):
    """A parameter as stored."""

    key: str
    type: str
    default: JsonValue
    layer: str
    description: str


class DomainAnswer(BaseModel):
    """A domain as stored."""

    key: str
    ranges: list[RangeBody]
    layer: str | None
    is_overlapping: bool
    unit: str
    description: str


class HoldoutAnswer(BaseModel):
    """A holdout as stored."""

    key: str
    salt: str
    ranges: list[RangeBody]
    domain: str | None
    unit: str
    starts_at: str | None
    ends_at: str | None
    description: str


class PhaseAnswer(BaseModel):
    """A stretch of an experiment during which nothing that matters changed."""

    id: int
    number: int
    salt: str
    started_at: str
    ended_at: str | None
    weights: dict[str, int]


class ExperimentAnswer(BaseModel):
    """An experiment as stored."""

    key: str
    layer: str
    name: str
    hypothesis: str
    owner: str
    status: str
    rule: JsonValue
    forced: dict[str, str]
    ranges: list[RangeBody]
    variants: list[VariantBody]
    plan: PlanBody
    phases: list[PhaseAnswer]
    requires: list[PrerequisiteBody]
    eligibility: str
    ramp: RampBody | None
    starts_at: str | None
    ends_at: str | None
    ramped_at: str | None
    start_faults: list[str]
    accept_underpowered: bool


class ChecksAnswer(BaseModel):
    """What the start check-list finds."""

    may_start: bool
    faults: list[str]
    warnings: list[str]


class OverrideAnswer(BaseModel):
    """A unit that is given a variant by name."""

    unit: str
    variant: str


class PreviewAnswer(BaseModel):
    """A signed token that shows one variant until it ends."""

    experiment: str
    variant: str
    preview: str
    url: str
    expires_at: str


class KillSwitchAnswer(BaseModel):
    """Whether every unit gets the defaults."""

    killed: bool


class RevisionAnswer(BaseModel):
    """One change: who, when, what, before and after."""

    number: int
    version: int
    author: str
    at: str
    action: str
    kind: str
    key: str
    before: JsonValue
    after: JsonValue


class ChangeAnswer(BaseModel):
    """One value that differs."""

    path: str
    before: JsonValue
    after: JsonValue
    change: str


class DifferenceAnswer(BaseModel):
    """What a revision changed."""

    number: int
    kind: str
    key: str
    changes: list[ChangeAnswer]


class RevertAnswer(BaseModel):
    """The revision that undid another; null where there was nothing to undo."""

    version: int
    revision: RevisionAnswer | None


class ProposalAnswer(BaseModel):
    """A change that waits, or waited, for a second person."""

    id: str
    operation: str
    key: str
    body: dict[str, JsonValue]
    author: str
    created_at: str
    status: str
    decided_by: str | None
    decided_at: str | None


class DeedAnswer(BaseModel):
    """A row of the audit log."""

    number: int
    at: str
    actor: str
    role: str
    address: str
    method: str
    route: str
    path: str
    request: str
    status: int | None
    code: str | None


class KeyAnswer(BaseModel):
    """A key's holder; `key` is there once, when it was made."""

    name: str
    role: str
    projects: list[str] | None
    expires_at: str | None
    key: str | None = None


class WebhookAnswer(BaseModel):
    """A subscription; `secret` is there once, when it was made."""

    id: str
    url: str
    events: list[str]
    created_at: str
    created_by: str
    is_active: bool
    secret: str | None = None


class DeliveryAnswer(BaseModel):
    """One event on its way to one webhook."""

    number: int
    event: str
    body: dict[str, JsonValue]
    created_at: str
    due_at: str
    status: str
    tries: int
    answer: str


class StoredAnswer(BaseModel):
    """How many were stored."""

    stored: int


class ConfigurationAnswer(BaseModel):
    """Everything that is configured."""

    schema_name: str = Field(alias="schema")
    killed: bool
    layers: list[LayerAnswer]
    parameters: list[ParameterAnswer]
    experiments: list[ExperimentAnswer]
    domains: list[DomainAnswer]
    holdouts: list[HoldoutAnswer]
    metrics: list[DeclaredMetricAnswer]


class ConfigurationBody(BaseModel):
    """The configuration as it should be; what a list leaves out is removed where that is legal."""

    schema_name: str = Field("lamella.configuration/1", alias="schema")
    killed: bool = False
    layers: list[dict[str, JsonValue]] = Field(default_factory=list)
    parameters: list[dict[str, JsonValue]] = Field(default_factory=list)
    experiments: list[dict[str, JsonValue]] = Field(default_factory=list)
    domains: list[dict[str, JsonValue]] = Field(default_factory=list)
    holdouts: list[dict[str, JsonValue]] = Field(default_factory=list)
    metrics: list[dict[str, JsonValue]] = Field(default_factory=list)


class PathChangeAnswer(BaseModel):
    """One path that differs."""

    path: str
    before: JsonValue
    after: JsonValue


class AppliedAnswer(BaseModel):
    """What applying the document changed, or would change."""

    version: int
    dry_run: bool
    changes: list[PathChangeAnswer]


def _page(name: str, of: type[BaseModel]) -> type[BaseModel]:
    """A page of a list under `name`."""
    title = f"{name.capitalize()}Page"
    made: type[BaseModel] = create_model(
        title,
        __doc__=f"A page of {name}.",
        **{name: (list[of], ...), "next_cursor": (str | None, ...)},  # type: ignore[valid-type, call-overload]
    )
    return made


_OF_EXPERIMENT: Final = (
    "experiments.create_experiment",
    "experiments.show_experiment",
    "experiments.update_experiment",
    "experiments.patch_experiment",
    "experiments.ramp_experiment",
    "experiments.promote_variant",
    "parts.add_variant",
    "parts.update_variant",
    "parts.delete_variant",
    "parts.open_phase",
    "parts.put_override",
    "parts.delete_override",
    *(
        f"experiments.{move}_experiment"
        for move in ("schedule", "unschedule", "start", "pause", "resume", "stop", "archive")
    ),
)

ANSWERS: Final[Mapping[str, type[BaseModel]]] = {
    **dict.fromkeys(_OF_EXPERIMENT, ExperimentAnswer),
    **dict.fromkeys(("layers.create_layer", "layers.show_layer", "layers.update_layer"), LayerAnswer),
    **dict.fromkeys(("layers.create_parameter", "layers.show_parameter", "layers.update_parameter"), ParameterAnswer),
    **dict.fromkeys(("spaces.create_domain", "spaces.show_domain", "spaces.update_domain"), DomainAnswer),
    **dict.fromkeys(("spaces.create_holdout", "spaces.show_holdout", "spaces.update_holdout"), HoldoutAnswer),
    **dict.fromkeys(("configuration.show_kill_switch", "configuration.set_kill_switch"), KillSwitchAnswer),
    **dict.fromkeys(("history.show_proposal", "history.approve_proposal", "history.reject_proposal"), ProposalAnswer),
    **dict.fromkeys(("webhooks.create_webhook", "webhooks.show_webhook", "webhooks.update_webhook"), WebhookAnswer),
    **dict.fromkeys(("models.request_training", "models.show_training", "uploads.upload_model"), TrainingAnswer),
    "models.cancel_training": TrainingAnswer,
    "layers.show_availability": AvailabilityAnswer,
    "layers.list_layers": _page("layers", LayerAnswer),
    "layers.list_parameters": _page("parameters", ParameterAnswer),
    "spaces.list_domains": _page("domains", DomainAnswer),
    "spaces.list_holdouts": _page("holdouts", HoldoutAnswer),
    "experiments.list_experiments": _page("experiments", ExperimentAnswer),
    "experiments.check_experiment": ChecksAnswer,
    "parts.list_variants": _page("variants", VariantBody),
    "parts.list_phases": _page("phases", PhaseAnswer),
    "parts.list_overrides": _page("overrides", OverrideAnswer),
    "parts.make_preview": PreviewAnswer,
    **RECORD_ANSWERS,
    "metrics.list_metrics": _page("metrics", MetricAnswer),
    "metrics.show_metric": AnyMetricAnswer,
    **dict.fromkeys(("metrics.create_metric", "metrics.replace_metric"), DeclaredMetricAnswer),
    "reports.show_segments": SegmentsAnswer,
    "history.list_revisions": _page("revisions", RevisionAnswer),
    "history.show_revision": RevisionAnswer,
    "history.show_difference": DifferenceAnswer,
    "history.revert_revision": RevertAnswer,
    "history.list_proposals": _page("proposals", ProposalAnswer),
    "history.list_audit": _page("audit", DeedAnswer),
    "keys.list_keys": _page("keys", KeyAnswer),
    "keys.create_key": KeyAnswer,
    "webhooks.list_webhooks": _page("webhooks", WebhookAnswer),
    "webhooks.list_deliveries": _page("deliveries", DeliveryAnswer),
    "models.list_models": _page("models", ModelAnswer),
    "models.stage_model": ModelAnswer,
    "uploads.show_model": VersionAnswer,
    "models.list_trainings": _page("trainings", TrainingAnswer),
    "models.put_items": StoredAnswer,
    "shadows.show_shadow": ShadowAnswer,
    **INSIGHT_ANSWERS,
    "whole.show_configuration": ConfigurationAnswer,
    "whole.put_configuration": AppliedAnswer,
}
"""The model of each route's good answer, by endpoint."""

PROPOSING: Final = ProposalAnswer
"""What 202 shows where a change waits for a second person."""
