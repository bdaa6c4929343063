"""Reads layers, experiments and the rest from JSON objects, collecting every fault; checks only the shape."""

from collections.abc import Callable
from typing import Final, TypeVar

from lamella.experiments.fields import Fields
from lamella.experiments.measures import read_metric
from lamella.experiments.model import (
    AnalysisPlan,
    BucketRange,
    Configuration,
    Domain,
    Eligibility,
    Experiment,
    Guardrail,
    Holdout,
    Layer,
    Parameter,
    ParameterType,
    Phase,
    Prerequisite,
    Ramp,
    RampStep,
    Status,
    UnitKind,
    Variant,
)

T = TypeVar("T")
# The defaults that the model states, read from it once.
_PLAN: Final = AnalysisPlan(primary_metric="")


def read_layer(document: object, where: str, faults: list[str]) -> Layer:
    """The layer that the document describes; what is wrong with it is added to `faults`."""
    fields = Fields(document, where, faults)
    key = fields.text("key")
    layer = Layer(
        key=key,
        salt=fields.text("salt", key),
        unit=fields.choice("unit", UnitKind, UnitKind.USER),
        description=fields.text("description", ""),
        domain=fields.optional_text("domain"),
        is_launch=fields.boolean("is_launch", default=False),
        project=fields.text("project", "default"),
    )
    fields.end()
    return layer


def read_domain(document: object, where: str, faults: list[str]) -> Domain:
    """The domain that the document describes; what is wrong with it is added to `faults`."""
    fields = Fields(document, where, faults)
    domain = Domain(
        key=fields.text("key"),
        ranges=_each(fields, "ranges", _range),
        layer=fields.optional_text("layer"),
        is_overlapping=fields.boolean("is_overlapping", default=True),
        unit=fields.choice("unit", UnitKind, UnitKind.USER),
        description=fields.text("description", ""),
    )
    fields.end()
    return domain


def read_holdout(document: object, where: str, faults: list[str]) -> Holdout:
    """The holdout that the document describes; what is wrong with it is added to `faults`."""
    fields = Fields(document, where, faults)
    key = fields.text("key")
    holdout = Holdout(
        key=key,
        salt=fields.text("salt", f"holdout:{key}"),
        ranges=_each(fields, "ranges", _range),
        domain=fields.optional_text("domain"),
        unit=fields.choice("unit", UnitKind, UnitKind.USER),
        starts_at=fields.optional_time("starts_at"),
        ends_at=fields.optional_time("ends_at"),
        description=fields.text("description", ""),
    )
    fields.end()
    return holdout


def read_parameter(document: object, where: str, faults: list[str]) -> Parameter:
    """The parameter that the document describes; what is wrong with it is added to `faults`."""
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


def read_experiment(document: object, where: str, faults: list[str]) -> Experiment:
    """The experiment that the document describes; what is wrong with it is added to `faults`."""
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
        requires=_each(fields, "requires", _prerequisite),
        eligibility=fields.choice("eligibility", Eligibility, Eligibility.LEAVE),
        ramp=_ramp(fields),
        starts_at=fields.optional_time("starts_at"),
        ends_at=fields.optional_time("ends_at"),
        ramped_at=fields.optional_time("ramped_at"),
        start_faults=_text_list(fields, "start_faults"),
        accept_underpowered=fields.boolean("accept_underpowered", default=False),
    )
    fields.end()
    return experiment


def _plan(fields: Fields) -> AnalysisPlan:
    plan = AnalysisPlan(
        primary_metric=fields.text("primary_metric"),
        guardrails=_each(fields, "guardrails", _guardrail),
        secondary_metrics=_text_list(fields, "secondary_metrics"),
        method=fields.text("method", _PLAN.method),
        alpha=fields.number("alpha", _PLAN.alpha),
        power=fields.number("power", _PLAN.power),
        minimum_effect=fields.number("minimum_effect", _PLAN.minimum_effect),
        planned_days=fields.optional_integer("planned_days", _PLAN.planned_days),
        looks=fields.integer("looks", _PLAN.looks),
        minimum_days=fields.integer("minimum_days", _PLAN.minimum_days),
        correction=fields.text("correction", _PLAN.correction),
        covariate_days=fields.integer("covariate_days", _PLAN.covariate_days),
        covariate_metrics=_text_list(fields, "covariate_metrics"),
        on_verdict=fields.text("on_verdict", _PLAN.on_verdict),
    )
    fields.end()
    return plan


def read_configuration(document: object, where: str, faults: list[str]) -> Configuration:
    """The configuration that the document describes; what is wrong with it is added to `faults`."""
    fields = Fields(document, where, faults)
    configuration = Configuration(
        version=fields.integer("version", 0),
        layers=_each(fields, "layers", read_layer),
        parameters=_each(fields, "parameters", read_parameter),
        experiments=_each(fields, "experiments", read_experiment),
        killed=fields.boolean("killed", default=False),
        domains=_each(fields, "domains", read_domain),
        holdouts=_each(fields, "holdouts", read_holdout),
        metrics=_each(fields, "metrics", read_metric),
    )
    fields.end()
    return configuration


def _prerequisite(document: object, where: str, faults: list[str]) -> Prerequisite:
    fields = Fields(document, where, faults)
    prerequisite = Prerequisite(experiment=fields.text("experiment"), variants=_text_list(fields, "variants"))
    fields.end()
    return prerequisite


def _ramp(fields: Fields) -> Ramp | None:
    if fields.is_null("ramp"):
        return None
    inner = fields.inner("ramp")
    ramp = Ramp(steps=_each(inner, "steps", _ramp_step), is_gated=inner.boolean("is_gated", default=True))
    inner.end()
    return ramp


def _ramp_step(document: object, where: str, faults: list[str]) -> RampStep:
    fields = Fields(document, where, faults)
    step = RampStep(share=fields.number("share"), hold_hours=fields.number("hold_hours"))
    fields.end()
    return step


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


def _text_list(fields: Fields, key: str) -> tuple[str, ...]:
    found = fields.items(key)
    if not all(isinstance(one, str) for one in found):
        fields.faults.append(f"{fields.where}: {key!r} holds something that is no text; list texts only")
    return tuple(str(one) for one in found)
