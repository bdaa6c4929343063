"""Metrics that an installation declares: their documents, what may go together, and their place in a configuration.

Every figure is made of a unit's events from its first exposure on, whatever list they came from: none before counts.
A mean is the sum of the measure over all exposed units; a proportion the share of units with at least one event; a
ratio the sum of the measure over the sum of the denominator; a quantile that of the events' property, clustered by
unit; retention the share of units with an event in the window, among those whose window is over.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Final

from lamella.errors import ConfigurationInvalid, Conflict, InvalidInput, NotFound, ThingInUse
from lamella.experiments.checklist import key_fault, long_fault
from lamella.experiments.conditions import Condition, PropertyType, read_condition
from lamella.experiments.fields import Fields, plain
from lamella.experiments.model import (
    Configuration,
    DeclaredMetric,
    Json,
    Measure,
    MeasuredKind,
    Status,
    Window,
)
from lamella.experiments.selection import near

_ITEM: Final = {"item": PropertyType.TEXT}
PROPERTIES: Final[Mapping[str, Mapping[str, PropertyType]]] = {
    "exposure": {},
    "slate": {
        "items": PropertyType.NUMBER,
        "latency_ms": PropertyType.NUMBER,
        "snapshot": PropertyType.NUMBER,
        "fallback": PropertyType.BOOLEAN,
        "error": PropertyType.BOOLEAN,
    },
    "impression": {
        **_ITEM,
        "rank": PropertyType.NUMBER,
        "score": PropertyType.NUMBER,
        "source": PropertyType.TEXT,
        "propensity": PropertyType.NUMBER,
    },
    "click": _ITEM,
    "read": {**_ITEM, "read_seconds": PropertyType.NUMBER, "completion": PropertyType.NUMBER},
    "interaction": {**_ITEM, "action": PropertyType.TEXT},
    "custom": {**_ITEM, "name": PropertyType.TEXT, "value": PropertyType.NUMBER},
}
"""The kinds of events, each with the properties that a measure may sum or compare."""

LONGEST_HOURS: Final = 24.0 * 730
_COSMETIC: Final = ("label", "label_zh", "description")


class _Direction(StrEnum):
    INCREASE = "increase"
    DECREASE = "decrease"


class _Unit(StrEnum):
    SHARE = "share"
    SECONDS = "seconds"
    COUNT = "count"


def metric_document(metric: DeclaredMetric) -> dict[str, Json]:
    """The metric as a JSON object with every field."""
    return {
        "key": metric.key,
        "label": metric.label,
        "label_zh": metric.label_zh,
        "kind": metric.kind.value,
        "measure": _measure_document(metric.measure),
        "denominator": None if metric.denominator is None else _measure_document(metric.denominator),
        "window": {"start_hours": metric.window.start_hours, "end_hours": metric.window.end_hours},
        "winsorise": metric.winsorise,
        "quantile": metric.quantile,
        "direction": metric.direction,
        "minimum_effect": metric.minimum_effect,
        "unit": metric.unit,
        "description": metric.description,
    }


def metric_from_document(document: Mapping[str, Json]) -> DeclaredMetric:
    """The metric that the object describes. Raises InvalidInput."""
    faults: list[str] = []
    metric = read_metric(document, "metric", faults)
    if faults:
        raise InvalidInput(*faults)
    return metric


def read_metric(document: object, where: str, faults: list[str]) -> DeclaredMetric:
    """The metric that the document describes; what is wrong with its shape is added to `faults`."""
    fields = Fields(document, where, faults)
    key = fields.text("key")
    label = fields.text("label", key)
    metric = DeclaredMetric(
        key=key,
        label=label,
        label_zh=fields.text("label_zh", label),
        kind=fields.choice("kind", MeasuredKind),
        measure=_measure(fields.inner("measure")),
        denominator=None if fields.is_null("denominator") else _measure(fields.inner("denominator")),
        window=Window() if fields.is_null("window") else _window(fields.inner("window")),
        winsorise=_optional_number(fields, "winsorise"),
        quantile=_optional_number(fields, "quantile"),
        direction=fields.choice("direction", _Direction, _Direction.INCREASE).value,
        minimum_effect=_optional_number(fields, "minimum_effect"),
        unit=fields.choice("unit", _Unit, _Unit.COUNT).value,
        description=fields.text("description", ""),
    )
    fields.end()
    return metric


def metric_of(configuration: Configuration, key: str) -> DeclaredMetric:
    """The declared metric with this key. Raises NotFound, naming what is close."""
    for one in configuration.metrics:
        if one.key == key:
            return one
    raise NotFound("metric", key, next_step=near(key, [one.key for one in configuration.metrics]))


def condition_of(measure: Measure) -> Condition:
    """The measure's filter, ready to use. Raises InvalidInput where it is none."""
    faults: list[str] = []
    found = read_condition(measure.filter, PROPERTIES.get(measure.event, {}), "filter", faults)
    if faults:
        raise InvalidInput(*faults)
    return found


def metric_faults(metric: DeclaredMetric, *, reserved: Collection[str] = ()) -> list[str]:
    """A sentence for each thing that is wrong with the metric; `reserved` are keys that it may not have."""
    faults = [
        key_fault("metric", metric.key),
        long_fault("label", metric.label),
        long_fault("label_zh", metric.label_zh),
        long_fault("description", metric.description),
    ]
    if metric.key in reserved:
        faults.append(f"metric key {metric.key!r} is that of a built-in metric; choose another")
    if not metric.label.strip():
        faults.append("the label is empty; say what the metric is")
    found = [fault for fault in faults if fault]
    found += _measure_faults("measure", metric.measure)
    if metric.denominator is not None:
        found += _measure_faults("denominator", metric.denominator)
    return [*found, *_kind_faults(metric), *_window_faults(metric), *_number_faults(metric)]


def add_metric(configuration: Configuration, metric: DeclaredMetric, *, reserved: Collection[str]) -> Configuration:
    """The configuration with one more metric. Raises Conflict if the key is taken, ConfigurationInvalid."""
    if any(one.key == metric.key for one in configuration.metrics):
        raise Conflict(f"metric {metric.key!r} exists already; choose another key, or change that one")
    _refuse(metric_faults(metric, reserved=reserved))
    return replace(configuration, metrics=(*configuration.metrics, metric))


def update_metric(configuration: Configuration, metric: DeclaredMetric) -> Configuration:
    """The configuration with the metric of that key changed.

    Labels and description may change at any time, what it measures only while no experiment that was scheduled or
    started, and is not archived, plans with it. Raises NotFound, ThingInUse, ConfigurationInvalid.
    """
    before = metric_of(configuration, metric.key)
    cosmetic = {name: getattr(metric, name) for name in _COSMETIC}
    if replace(before, **cosmetic) != metric:
        _refuse_used(metric.key, _planners(configuration, metric.key, drafts=False))
    _refuse(metric_faults(metric))
    metrics = tuple(metric if one.key == metric.key else one for one in configuration.metrics)
    return replace(configuration, metrics=metrics)


def remove_metric(configuration: Configuration, key: str) -> Configuration:
    """The configuration without the metric. Raises NotFound, or ThingInUse while a plan names it."""
    metric_of(configuration, key)
    _refuse_used(key, _planners(configuration, key, drafts=True))
    return replace(configuration, metrics=tuple(one for one in configuration.metrics if one.key != key))


def _measure_document(measure: Measure) -> dict[str, Json]:
    return {"event": measure.event, "property": measure.property, "filter": plain(measure.filter)}


def _measure(fields: Fields) -> Measure:
    measure = Measure(
        event=fields.text("event"),
        property=fields.optional_text("property"),
        filter=fields.value("filter", required=False),
    )
    fields.end()
    return measure


def _window(fields: Fields) -> Window:
    window = Window(start_hours=fields.number("start_hours", 0.0), end_hours=_optional_number(fields, "end_hours"))
    fields.end()
    return window


def _optional_number(fields: Fields, key: str) -> float | None:
    return None if fields.is_null(key) else fields.number(key)


def _measure_faults(name: str, measure: Measure) -> list[str]:
    if measure.event not in PROPERTIES:
        return [f"{name}: no events of kind {measure.event!r}; {near(measure.event, list(PROPERTIES))}"]
    known, faults = PROPERTIES[measure.event], list[str]()
    if measure.property is not None and known.get(measure.property) is not PropertyType.NUMBER:
        numbers = ", ".join(key for key, kind in known.items() if kind is PropertyType.NUMBER) or "none, it is counted"
        faults.append(f"{name}: {measure.property!r} is no number of a {measure.event}; there are: {numbers}")
    read_condition(measure.filter, known, f"{name}: filter", faults)
    return faults


def _kind_faults(metric: DeclaredMetric) -> list[str]:
    kind, faults = metric.kind, []
    if (kind is MeasuredKind.RATIO) != (metric.denominator is not None):
        needs = "needs a denominator" if kind is MeasuredKind.RATIO else "has no denominator; make it a ratio"
        faults.append(f"a {kind} {needs}")
    if (kind is MeasuredKind.QUANTILE) != (metric.quantile is not None):
        needs = "needs the quantile, such as 0.9" if kind is MeasuredKind.QUANTILE else "has no quantile"
        faults.append(f"a {kind} {needs}")
    if kind is MeasuredKind.QUANTILE and metric.measure.property is None:
        faults.append("a quantile needs the property whose quantile it is")
    if kind in (MeasuredKind.PROPORTION, MeasuredKind.RETENTION) and metric.measure.property is not None:
        faults.append(f"a {kind} asks whether there is an event, and sums no property; take it out")
    if metric.winsorise is not None and kind not in (MeasuredKind.MEAN, MeasuredKind.RATIO):
        faults.append(f"a {kind} is not winsorised; only a mean and a ratio's numerator are")
    return faults


def _window_faults(metric: DeclaredMetric) -> list[str]:
    start, end = metric.window.start_hours, metric.window.end_hours
    faults = []
    if not 0.0 <= start <= LONGEST_HOURS:
        faults.append(f"the window starts after {start} hours; it must be 0 to {LONGEST_HOURS:g}")
    if end is not None and not start < end <= LONGEST_HOURS:
        faults.append(f"the window ends after {end} hours; it must be above its start and up to {LONGEST_HOURS:g}")
    if end is None and metric.kind is MeasuredKind.RETENTION:
        faults.append("retention needs a window with an end, such as 24 to 48 hours")
    faults += [
        f"the window's {hours} hours are no whole seconds; round them"
        for hours in (start, end)
        if hours is not None and not math.isclose(hours * 3600.0, round(hours * 3600.0), abs_tol=1e-6)
    ]
    return faults


def _number_faults(metric: DeclaredMetric) -> list[str]:
    faults = []
    if metric.winsorise is not None and not 0.5 <= metric.winsorise < 1.0:
        faults.append(f"winsorise is {metric.winsorise}; it must be a quantile from 0.5 to below 1 (0.99 is usual)")
    if metric.quantile is not None and not 0.0 < metric.quantile < 1.0:
        faults.append(f"the quantile is {metric.quantile}; it must lie between 0 and 1")
    if metric.minimum_effect is not None and not metric.minimum_effect > 0.0:
        faults.append(f"minimum_effect is {metric.minimum_effect}; it must be above 0 (0.02 is a lift of 2 %)")
    return faults


def _planners(configuration: Configuration, key: str, *, drafts: bool) -> list[str]:
    """The experiments whose plan names the metric and that are not archived."""
    return [
        f"experiment {each.key!r}"
        for each in configuration.experiments
        if each.status is not Status.ARCHIVED
        and (drafts or each.status is not Status.DRAFT)
        and key
        in (
            each.plan.primary_metric,
            *(one.metric for one in each.plan.guardrails),
            *each.plan.secondary_metrics,
        )
    ]


def _refuse_used(key: str, users: list[str]) -> None:
    if users:
        raise ThingInUse("metric", key, users)


def _refuse(faults: list[str]) -> None:
    if faults:
        raise ConfigurationInvalid(*faults)
