"""The metrics that a plan may name: the built-in ones, and those that the installation declares."""

from functools import partial

from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue

from lamella.errors import Conflict, InvalidInput
from lamella.experiments.measures import (
    add_metric,
    metric_document,
    metric_from_document,
    metric_of,
    remove_metric,
    update_metric,
)
from lamella.experiments.model import Configuration, DeclaredMetric, Json, Measure
from lamella.metrics.definitions import METRICS, Metric
from lamella.web.auth import needs
from lamella.web.paging import page
from lamella.web.preconditions import changed, shown
from lamella.web.queries import PageQuery
from lamella.web.schemas import MetricBody
from lamella.web.scopes import own_scope, require_whole
from lamella.web.wiring import services

blueprint = APIBlueprint("metrics", __name__, url_prefix="/v1/admin", tag="Metrics")

_STALE = "It is not what If-Match names"
_IN_USE = "A plan names it; the experiments are listed"


@blueprint.get("/metrics")
@blueprint.input(PageQuery, location="query")
@needs("viewer", scope=own_scope)
def list_metrics(query_data: PageQuery) -> ResponseReturnValue:
    """Every metric that a plan may name, built-in ones first, with how it is computed and which way is better."""
    declared = services().configuration.load().metrics
    rows = [*(_built_in(each) for each in METRICS.values()), *(_declared(each) for each in declared)]
    metrics, cursor = page(rows, query_data, lambda each: str(each["key"]))
    return {"metrics": list(metrics), "next_cursor": cursor}


@blueprint.post("/metrics")
@blueprint.input(MetricBody)
@blueprint.doc(responses={201: "The metric as stored", 409: "The key is taken"})
@needs("experimenter", scope=own_scope)
def create_metric(json_data: MetricBody) -> ResponseReturnValue:
    """Declares a metric: events of a kind, what of them counts, and how they make one figure. Every fault is named."""
    require_whole("metrics")
    metric = metric_from_document(json_data.model_dump(exclude_unset=True))
    add = partial(services().configuring.apply, "create", lambda now: add_metric(now, metric, reserved=METRICS))
    return shown(_stored(changed(add, _nothing), metric.key), 201)


@blueprint.get("/metrics/<key>")
@needs("viewer", scope=own_scope)
def show_metric(key: str) -> ResponseReturnValue:
    """The declared metric as it was stored, with its ETag; a built-in one as the list shows it."""
    if key in METRICS:
        return shown(_built_in(METRICS[key]))
    return shown(_stored(services().configuration.load(), key))


@blueprint.put("/metrics/<key>")
@blueprint.input(MetricBody)
@blueprint.doc(responses={409: _IN_USE, 412: _STALE})
@needs("experimenter", scope=own_scope)
def replace_metric(key: str, json_data: MetricBody) -> ResponseReturnValue:
    """Changes a declared metric; what it measures only while no plan that was fixed names it."""
    require_whole("metrics")
    _refuse_built_in(key)
    if json_data.key != key:
        raise InvalidInput(f"key: is {json_data.key!r}, the path says {key!r}; a metric keeps its key")
    metric = metric_from_document(json_data.model_dump(exclude_unset=True))
    edit = partial(services().configuring.apply, "update", lambda now: update_metric(now, metric))
    return shown(_stored(changed(edit, lambda now: _stored(now, key)), key))


@blueprint.delete("/metrics/<key>")
@blueprint.doc(responses={204: "The metric is gone", 409: _IN_USE, 412: _STALE})
@needs("experimenter", scope=own_scope)
def delete_metric(key: str) -> ResponseReturnValue:
    """Removes a declared metric that no plan of an experiment which is not archived names."""
    require_whole("metrics")
    _refuse_built_in(key)
    remove = partial(services().configuring.apply, "delete", lambda now: remove_metric(now, key))
    changed(remove, lambda now: _stored(now, key))
    return "", 204


def _stored(now: Configuration, key: str) -> dict[str, Json]:
    return metric_document(metric_of(now, key))


def _refuse_built_in(key: str) -> None:
    if key in METRICS:
        raise Conflict(f"metric {key!r} is built in and cannot be changed; declare one of your own")


def _built_in(metric: Metric) -> dict[str, Json]:
    return {
        "key": metric.key,
        "label": metric.label,
        "label_zh": metric.label_zh,
        "kind": metric.kind.value,
        "unit": metric.unit.value,
        "direction": metric.direction.value,
        "numerator": list(metric.numerator),
        "denominator": metric.denominator,
        "is_built_in": True,
        "declaration": None,
    }


def _declared(metric: DeclaredMetric) -> dict[str, Json]:
    return {
        "key": metric.key,
        "label": metric.label,
        "label_zh": metric.label_zh,
        "kind": metric.kind.value,
        "unit": metric.unit,
        "direction": metric.direction,
        "numerator": [_named(metric.measure)],
        "denominator": None if metric.denominator is None else _named(metric.denominator),
        "is_built_in": False,
        "declaration": metric_document(metric),
    }


def _named(measure: Measure) -> str:
    return measure.event if measure.property is None else f"{measure.event}.{measure.property}"


def _nothing(_: Configuration) -> dict[str, Json]:
    """What a creation is made from: If-Match names something that is there, so it never matches."""
    return {}
