"""The configuration as JSON documents and back, exactly: what the store keeps and the API speaks.

Every document holds every field. Reading one back, a field that has a default in `model` may be missing; an unknown
field, a missing required one or one of the wrong type is a fault, and InvalidInput lists all of them. Reading checks
the shape only; `lifecycle` checks the laws.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeVar

from lamella.errors import InvalidInput
from lamella.experiments.fields import Fields, plain
from lamella.experiments.model import (
    AnalysisPlan,
    BucketRange,
    Configuration,
    Experiment,
    Guardrail,
    Json,
    Layer,
    Parameter,
    ParameterType,
    Phase,
    Status,
    UnitKind,
    Variant,
)

T = TypeVar("T")
# The defaults that the model states, read from it once.
_PLAN: Final = AnalysisPlan(primary_metric="")


def layer_document(layer: Layer) -> dict[str, Json]:
    """The layer as a JSON object."""
    return {"key": layer.key, "salt": layer.salt, "unit": layer.unit.value, "description": layer.description}


def layer_from_document(document: Mapping[str, Json]) -> Layer:
    """The layer that the object describes; `salt` may be missing and is then the key. Raises InvalidInput."""
    return _read(document, "layer", _layer)


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
    return _read(document, "parameter", _parameter)


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
        "ranges": [{"start": one.start, "stop": one.stop} for one in experiment.ranges],
        "variants": [_variant_document(one) for one in experiment.variants],
        "plan": plan_document(experiment.plan),
        "phases": [_phase_document(one) for one in experiment.phases],
    }


def experiment_from_document(document: Mapping[str, Json]) -> Experiment:
    """The experiment that the object describes; a draft without phases where it does not say. Raises InvalidInput."""
    return _read(document, "experiment", _experiment)


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
    }


def configuration_from_document(document: Mapping[str, Json]) -> Configuration:
    """The configuration that the object describes. Raises InvalidInput."""
    return _read(document, "configuration", _configuration)


def _variant_document(variant: Variant) -> dict[str, Json]:
    values: dict[str, Json] = {key: plain(value) for key, value in variant.values.items()}
    return {"key": variant.key, "weight": variant.weight, "is_control": variant.is_control, "values": values}


def _phase_document(phase: Phase) -> dict[str, Json]:
    return {
        "id": phase.id,
        "number": phase.number,
        "salt": phase.salt,
        "started_at": _iso(phase.started_at),
        "ended_at": None if phase.ended_at is None else _iso(phase.ended_at),
        "weights": dict(phase.weights),
    }


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _read(document: Mapping[str, Json], where: str, parse: Callable[[object, str, list[str]], T]) -> T:
    faults: list[str] = []
    value = parse(document, where, faults)
    if faults:
        raise InvalidInput(*faults)
    return value


def _layer(document: object, where: str, faults: list[str]) -> Layer:
    fields = Fields(document, where, faults)
    key = fields.text("key")
    layer = Layer(
        key=key,
        salt=fields.text("salt", key),
        unit=fields.choice("unit", UnitKind, UnitKind.USER),
        description=fields.text("description", ""),
    )
    fields.end()
    return layer


def _parameter(document: object, where: str, faults: list[str]) -> Parameter:
    fields = Fields(document, where, faults)
    parameter = Parameter(
        key=fields.text("key"),
        type=fields.choice("type", ParameterType),
        default=fields.value("default"),
        layer=fields.text("layer"),
        description=fields.text("description", ""),
    )
    fields.end()
    return parameter


def _experiment(document: object, where: str, faults: list[str]) -> Experiment:
    fields = Fields(document, where, faults)
    key = fields.text("key")
    experiment = Experiment(
        key=key,
        layer=fields.text("layer"),
        name=fields.text("name", key),
        hypothesis=fields.text("hypothesis", ""),
        owner=fields.text("owner", ""),
        status=fields.choice("status", Status, Status.DRAFT),
        rule=fields.value("rule", required=False),
        forced=_texts(fields, "forced"),
        ranges=_each(fields, "ranges", _range),
        variants=_each(fields, "variants", _variant),
        plan=_plan(fields.inner("plan")),
        phases=_each(fields, "phases", _phase),
    )
    fields.end()
    return experiment


def _plan(fields: Fields) -> AnalysisPlan:
    plan = AnalysisPlan(
        primary_metric=fields.text("primary_metric"),
        guardrails=_each(fields, "guardrails", _guardrail),
        secondary_metrics=_metrics(fields),
        method=fields.text("method", _PLAN.method),
        alpha=fields.number("alpha", _PLAN.alpha),
        power=fields.number("power", _PLAN.power),
        minimum_effect=fields.number("minimum_effect", _PLAN.minimum_effect),
        planned_days=fields.optional_integer("planned_days", _PLAN.planned_days),
        looks=fields.integer("looks", _PLAN.looks),
        minimum_days=fields.integer("minimum_days", _PLAN.minimum_days),
        correction=fields.text("correction", _PLAN.correction),
        covariate_days=fields.integer("covariate_days", _PLAN.covariate_days),
        on_verdict=fields.text("on_verdict", _PLAN.on_verdict),
    )
    fields.end()
    return plan


def _configuration(document: object, where: str, faults: list[str]) -> Configuration:
    fields = Fields(document, where, faults)
    configuration = Configuration(
        version=fields.integer("version", 0),
        layers=_each(fields, "layers", _layer),
        parameters=_each(fields, "parameters", _parameter),
        experiments=_each(fields, "experiments", _experiment),
        killed=fields.boolean("killed", default=False),
    )
    fields.end()
    return configuration


def _range(document: object, where: str, faults: list[str]) -> BucketRange:
    fields = Fields(document, where, faults)
    one = BucketRange(start=fields.integer("start"), stop=fields.integer("stop"))
    fields.end()
    return one


def _variant(document: object, where: str, faults: list[str]) -> Variant:
    fields = Fields(document, where, faults)
    variant = Variant(
        key=fields.text("key"),
        weight=fields.integer("weight"),
        values=fields.mapping("values"),
        is_control=fields.boolean("is_control", default=False),
    )
    fields.end()
    return variant


def _guardrail(document: object, where: str, faults: list[str]) -> Guardrail:
    fields = Fields(document, where, faults)
    guardrail = Guardrail(metric=fields.text("metric"), margin=fields.number("margin"))
    fields.end()
    return guardrail


def _phase(document: object, where: str, faults: list[str]) -> Phase:
    fields = Fields(document, where, faults)
    phase = Phase(
        id=fields.integer("id"),
        number=fields.integer("number"),
        salt=fields.text("salt"),
        started_at=fields.time("started_at"),
        ended_at=fields.optional_time("ended_at"),
        weights=_weights(fields),
    )
    fields.end()
    return phase


def _each(fields: Fields, key: str, parse: Callable[[object, str, list[str]], T]) -> tuple[T, ...]:
    where = f"{fields.where}: {key}"
    return tuple(parse(one, f"{where}[{i}]", fields.faults) for i, one in enumerate(fields.items(key)))


def _texts(fields: Fields, key: str) -> dict[str, str]:
    found = fields.mapping(key)
    wrong = [name for name, value in found.items() if not isinstance(value, str)]
    fields.faults.extend(f"{fields.where}: {key}[{name!r}] is no text; name a variant" for name in wrong)
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _weights(fields: Fields) -> dict[str, int]:
    inner = fields.inner("weights")
    return {name: inner.integer(name) for name in inner.names()}


def _metrics(fields: Fields) -> tuple[str, ...]:
    found = fields.items("secondary_metrics")
    if not all(isinstance(one, str) for one in found):
        fields.faults.append(f"{fields.where}: 'secondary_metrics' holds something that is no text; name metrics")
    return tuple(str(one) for one in found)
