"""The configuration as JSON documents and back, exactly: what the store keeps and the API speaks.

Every document holds every field. Reading one back, a field that has a default in `model` may be missing; an unknown
field, a missing required one or one of the wrong type is a fault, and InvalidInput lists all of them. Reading checks
the shape only; `lifecycle` checks the laws.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from lamella.errors import InvalidInput
from lamella.experiments import parsing
from lamella.experiments.fields import plain
from lamella.experiments.measures import metric_document
from lamella.experiments.model import (
    AnalysisPlan,
    BucketRange,
    Configuration,
    Domain,
    Experiment,
    Holdout,
    Json,
    Layer,
    Parameter,
    Phase,
    Ramp,
    Variant,
)

T = TypeVar("T")


def layer_document(layer: Layer) -> dict[str, Json]:
    """The layer as a JSON object."""
    return {
        "key": layer.key,
        "salt": layer.salt,
        "unit": layer.unit.value,
        "description": layer.description,
        "domain": layer.domain,
        "is_launch": layer.is_launch,
        "project": layer.project,
    }


def layer_from_document(document: Mapping[str, Json]) -> Layer:
    """The layer that the object describes; `salt` may be missing and is then the key. Raises InvalidInput."""
    return _read(document, "layer", parsing.read_layer)


def domain_document(domain: Domain) -> dict[str, Json]:
    """The domain as a JSON object."""
    return {
        "key": domain.key,
        "ranges": ranges_document(domain.ranges),
        "layer": domain.layer,
        "is_overlapping": domain.is_overlapping,
        "unit": domain.unit.value,
        "description": domain.description,
    }


def domain_from_document(document: Mapping[str, Json]) -> Domain:
    """The domain that the object describes. Raises InvalidInput."""
    return _read(document, "domain", parsing.read_domain)


def holdout_document(holdout: Holdout) -> dict[str, Json]:
    """The holdout as a JSON object."""
    return {
        "key": holdout.key,
        "salt": holdout.salt,
        "ranges": ranges_document(holdout.ranges),
        "domain": holdout.domain,
        "unit": holdout.unit.value,
        "starts_at": _iso(holdout.starts_at),
        "ends_at": _iso(holdout.ends_at),
        "description": holdout.description,
    }


def holdout_from_document(document: Mapping[str, Json]) -> Holdout:
    """The holdout that the object describes; `salt` may be missing and is then `holdout:` and the key.

    Raises InvalidInput.
    """
    return _read(document, "holdout", parsing.read_holdout)


def ranges_document(ranges: Sequence[BucketRange]) -> list[Json]:
    """The ranges as a JSON list of objects."""
    return [{"start": one.start, "stop": one.stop} for one in ranges]


def parameter_document(parameter: Parameter) -> dict[str, Json]:
    """The parameter as a JSON object."""
    return {
        "key": parameter.key,
        "type": parameter.type.value,
        "default": plain(parameter.default),
        "layer": parameter.layer,
        "description": parameter.description,
    }


def parameter_from_document(document: Mapping[str, Json]) -> Parameter:
    """The parameter that the object describes. Raises InvalidInput."""
    return _read(document, "parameter", parsing.read_parameter)


def experiment_document(experiment: Experiment) -> dict[str, Json]:
    """The experiment with its variants, plan, ranges and phases as a JSON object."""
    return {
        "key": experiment.key,
        "layer": experiment.layer,
        "name": experiment.name,
        "hypothesis": experiment.hypothesis,
        "owner": experiment.owner,
        "status": experiment.status.value,
        "rule": plain(experiment.rule),
        "forced": dict(experiment.forced),
        "ranges": ranges_document(experiment.ranges),
        "variants": [_variant_document(one) for one in experiment.variants],
        "plan": plan_document(experiment.plan),
        "phases": [_phase_document(one) for one in experiment.phases],
        "requires": [{"experiment": one.experiment, "variants": list(one.variants)} for one in experiment.requires],
        "eligibility": experiment.eligibility.value,
        "ramp": None if experiment.ramp is None else _ramp_document(experiment.ramp),
        "starts_at": _iso(experiment.starts_at),
        "ends_at": _iso(experiment.ends_at),
        "ramped_at": _iso(experiment.ramped_at),
        "start_faults": list(experiment.start_faults),
        "accept_underpowered": experiment.accept_underpowered,
    }


def experiment_from_document(document: Mapping[str, Json]) -> Experiment:
    """The experiment that the object describes; a draft without phases where it does not say. Raises InvalidInput."""
    return _read(document, "experiment", parsing.read_experiment)


def plan_document(plan: AnalysisPlan) -> dict[str, Json]:
    """The analysis plan as a JSON object with every field."""
    return {
        "primary_metric": plan.primary_metric,
        "guardrails": [{"metric": one.metric, "margin": one.margin} for one in plan.guardrails],
        "secondary_metrics": list(plan.secondary_metrics),
        "method": plan.method,
        "alpha": plan.alpha,
        "power": plan.power,
        "minimum_effect": plan.minimum_effect,
        "planned_days": plan.planned_days,
        "looks": plan.looks,
        "minimum_days": plan.minimum_days,
        "correction": plan.correction,
        "covariate_days": plan.covariate_days,
        "covariate_metrics": list(plan.covariate_metrics),
        "on_verdict": plan.on_verdict,
    }


def configuration_document(configuration: Configuration) -> dict[str, Json]:
    """The whole configuration as a JSON object."""
    return {
        "version": configuration.version,
        "killed": configuration.killed,
        "layers": [layer_document(one) for one in configuration.layers],
        "parameters": [parameter_document(one) for one in configuration.parameters],
        "experiments": [experiment_document(one) for one in configuration.experiments],
        "domains": [domain_document(one) for one in configuration.domains],
        "holdouts": [holdout_document(one) for one in configuration.holdouts],
        "metrics": [metric_document(one) for one in configuration.metrics],
    }


def configuration_from_document(document: Mapping[str, Json]) -> Configuration:
    """The configuration that the object describes. Raises InvalidInput."""
    return _read(document, "configuration", parsing.read_configuration)


def _variant_document(variant: Variant) -> dict[str, Json]:
    values: dict[str, Json] = {key: plain(value) for key, value in variant.values.items()}
    return {"key": variant.key, "weight": variant.weight, "is_control": variant.is_control, "values": values}


def _phase_document(phase: Phase) -> dict[str, Json]:
    return {
        "id": phase.id,
        "number": phase.number,
        "salt": phase.salt,
        "started_at": _iso(phase.started_at),
        "ended_at": _iso(phase.ended_at),
        "weights": dict(phase.weights),
    }


def _ramp_document(ramp: Ramp) -> dict[str, Json]:
    steps: list[Json] = [{"share": one.share, "hold_hours": one.hold_hours} for one in ramp.steps]
    return {"steps": steps, "is_gated": ramp.is_gated}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _read(document: Mapping[str, Json], where: str, parse: Callable[[object, str, list[str]], T]) -> T:
    faults: list[str] = []
    value = parse(document, where, faults)
    if faults:
        raise InvalidInput(*faults)
    return value
