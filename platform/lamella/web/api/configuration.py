"""Layers, parameters, the kill switch, explanations and revisions."""

from collections.abc import Mapping

import orjson
from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue

from lamella.errors import InvalidInput
from lamella.experiments.document import (
    layer_document,
    layer_from_document,
    parameter_document,
    parameter_from_document,
)
from lamella.experiments.explain import explain
from lamella.experiments.model import Json
from lamella.services.ports import Revision
from lamella.web.auth import needs, principal
from lamella.web.parsing import parse_context, parse_text
from lamella.web.preconditions import tagged
from lamella.web.schemas import ExplainQuery, KillSwitchBody, LayerBody, ParameterBody, RevisionsQuery
from lamella.web.wiring import refresh_snapshot, services

blueprint = APIBlueprint("configuration", __name__, url_prefix="/v1/admin", tag="Configuration")


@blueprint.get("/layers")
@needs("viewer")
def list_layers() -> ResponseReturnValue:
    """Every layer, in the order in which they assign."""
    return {"layers": [layer_document(each) for each in services().configuration.load().layers]}


@blueprint.post("/layers")
@blueprint.input(LayerBody)
@blueprint.doc(responses={201: "The layer as stored", 409: "The key is taken"})
@needs("experimenter")
def create_layer(json_data: LayerBody) -> ResponseReturnValue:
    """Adds a layer; its salt is fixed from now on."""
    layer = layer_from_document(json_data.model_dump(exclude_unset=True))
    stored = layer_document(services().configuring.create_layer(layer, author=principal().name))
    refresh_snapshot()
    return stored, 201, tagged(stored)


@blueprint.get("/parameters")
@needs("viewer")
def list_parameters() -> ResponseReturnValue:
    """Every parameter with its type, default and the layer that owns it."""
    return {"parameters": [parameter_document(each) for each in services().configuration.load().parameters]}


@blueprint.post("/parameters")
@blueprint.input(ParameterBody)
@blueprint.doc(responses={201: "The parameter as stored", 409: "The key is taken"})
@needs("experimenter")
def create_parameter(json_data: ParameterBody) -> ResponseReturnValue:
    """Adds a parameter to the layer that owns it from now on."""
    parameter = parameter_from_document(json_data.model_dump(exclude_unset=True))
    stored = parameter_document(services().configuring.create_parameter(parameter, author=principal().name))
    refresh_snapshot()
    return stored, 201, tagged(stored)


@blueprint.get("/kill-switch")
@needs("viewer")
def show_kill_switch() -> ResponseReturnValue:
    """Whether every unit gets the defaults everywhere."""
    return {"killed": services().configuration.load().killed}


@blueprint.put("/kill-switch")
@blueprint.input(KillSwitchBody)
@needs("experimenter")
def set_kill_switch(json_data: KillSwitchBody) -> ResponseReturnValue:
    """Turns all experiments off at once, or on again."""
    configuring = services().configuring
    change = configuring.kill if json_data.killed else configuring.unkill
    after = change(author=principal().name)
    refresh_snapshot()
    return {"killed": after.killed}


@blueprint.get("/explain")
@blueprint.input(ExplainQuery, location="query")
@needs("viewer")
def explain_unit(query_data: ExplainQuery) -> ResponseReturnValue:
    """Why this unit gets what it gets, step by step, by the snapshot in force. Records nothing."""
    faults: list[str] = []
    unit = parse_text("unit", query_data.unit, faults)
    context = parse_context(_read_context(query_data.context, faults), faults)
    if faults:
        raise InvalidInput(*faults)
    return explain(services().snapshots.current(), unit, context)


@blueprint.get("/revisions")
@blueprint.input(RevisionsQuery, location="query")
@needs("viewer")
def list_revisions(query_data: RevisionsQuery) -> ResponseReturnValue:
    """Who changed what and when, with before and after, newest first."""
    found = services().configuration.revisions(kind=query_data.kind, key=query_data.key, limit=query_data.limit)
    return {"revisions": [_revision(each) for each in found]}


def _read_context(text: str, faults: list[str]) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        faults.append(f"context: is not JSON: {error}")
        return {}


def _revision(revision: Revision) -> Mapping[str, Json]:
    return {
        "version": revision.version,
        "author": revision.author,
        "at": revision.at.isoformat(),
        "action": revision.action,
        "kind": revision.kind,
        "key": revision.key,
        "before": revision.before,
        "after": revision.after,
    }
