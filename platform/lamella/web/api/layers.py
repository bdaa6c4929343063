"""Layers and parameters."""

from functools import partial

from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue

from lamella.experiments.document import (
    layer_document,
    layer_from_document,
    parameter_document,
    parameter_from_document,
)
from lamella.experiments.model import Configuration, Json
from lamella.experiments.planner import availability, availability_document
from lamella.experiments.selection import layer_of, parameter_of
from lamella.services.things import DELETE, UPDATE
from lamella.web.approvals import submit_thing
from lamella.web.auth import needs
from lamella.web.paging import page
from lamella.web.preconditions import changed, shown
from lamella.web.queries import LayersQuery, ParametersQuery
from lamella.web.schemas import LayerBody, LayerPatch, ParameterBody, ParameterPatch
from lamella.web.scopes import of_layer, of_parameter, own_scope, reached_layers, require_layer, require_project
from lamella.web.wiring import services

blueprint = APIBlueprint("layers", __name__, url_prefix="/v1/admin", tag="Configuration")

_PROPOSED = "Proposed; a second person has to approve it"
_STALE = "It is not what If-Match names"
_IN_USE = "Something still needs it, and is named"


@blueprint.get("/layers")
@blueprint.input(LayersQuery, location="query")
@needs("viewer", scope=own_scope)
def list_layers(query_data: LayersQuery) -> ResponseReturnValue:
    """Every layer, in the order in which they assign, or those of a project or a domain."""
    found = [
        each
        for each in reached_layers(services().configuration.load())
        if query_data.project in (None, each.project) and query_data.domain in (None, each.domain)
    ]
    layers, cursor = page(found, query_data, lambda each: each.key)
    return {"layers": [layer_document(each) for each in layers], "next_cursor": cursor}


@blueprint.post("/layers")
@blueprint.input(LayerBody)
@blueprint.doc(responses={201: "The layer as stored", 409: "The key is taken"})
@needs("experimenter", scope=own_scope)
def create_layer(json_data: LayerBody) -> ResponseReturnValue:
    """Adds a layer; its salt is fixed once one of its experiments was scheduled or started."""
    require_project(json_data.project)
    layer = layer_from_document(json_data.model_dump(exclude_unset=True))
    stored = changed(partial(services().configuring.create_layer, layer), _nothing)
    return shown(layer_document(stored), 201)


@blueprint.get("/layers/<key>")
@needs("viewer", scope=of_layer)
def show_layer(key: str) -> ResponseReturnValue:
    """The layer, and its ETag."""
    return shown(layer_document(layer_of(services().configuration.load(), key)))


@blueprint.get("/layers/<key>/availability")
@needs("viewer", scope=of_layer)
def show_availability(key: str) -> ResponseReturnValue:
    """The layer's free buckets, and when more will be free by the planned ends of what holds the others."""
    now = services().configuration.load()
    return availability_document(now, availability(now, key, services().clock.now()))


@blueprint.patch("/layers/<key>")
@blueprint.input(LayerPatch)
@blueprint.doc(responses={202: _PROPOSED, 409: _IN_USE, 412: _STALE})
@needs("experimenter", scope=of_layer)
def update_layer(key: str, json_data: LayerPatch) -> ResponseReturnValue:
    """Changes description and project at any time; salt, unit and domain until an experiment ran in it."""
    wanted = json_data.model_dump(exclude_unset=True)
    if json_data.project is not None:
        require_project(json_data.project)
    return submit_thing("layer", UPDATE, key, wanted)


@blueprint.delete("/layers/<key>")
@blueprint.doc(responses={204: "The layer is gone", 202: _PROPOSED, 409: _IN_USE, 412: _STALE})
@needs("experimenter", scope=of_layer)
def delete_layer(key: str) -> ResponseReturnValue:
    """Removes a layer without parameters, experiments and nested domains."""
    return submit_thing("layer", DELETE, key)


@blueprint.get("/parameters")
@blueprint.input(ParametersQuery, location="query")
@needs("viewer", scope=own_scope)
def list_parameters(query_data: ParametersQuery) -> ResponseReturnValue:
    """Every parameter with its type, default and the layer that owns it, or those of a layer."""
    now = services().configuration.load()
    reached = {each.key for each in reached_layers(now)}
    found = [each for each in now.parameters if each.layer in reached and query_data.layer in (None, each.layer)]
    parameters, cursor = page(found, query_data, lambda each: each.key)
    return {"parameters": [parameter_document(each) for each in parameters], "next_cursor": cursor}


@blueprint.post("/parameters")
@blueprint.input(ParameterBody)
@blueprint.doc(responses={201: "The parameter as stored", 409: "The key is taken"})
@needs("experimenter", scope=own_scope)
def create_parameter(json_data: ParameterBody) -> ResponseReturnValue:
    """Adds a parameter to the layer that owns it from now on."""
    require_layer(json_data.layer)
    parameter = parameter_from_document(json_data.model_dump(exclude_unset=True))
    stored = changed(partial(services().configuring.create_parameter, parameter), _nothing)
    return shown(parameter_document(stored), 201)


@blueprint.get("/parameters/<key>")
@needs("viewer", scope=of_parameter)
def show_parameter(key: str) -> ResponseReturnValue:
    """The parameter, and its ETag."""
    return shown(parameter_document(parameter_of(services().configuration.load(), key)))


@blueprint.patch("/parameters/<key>")
@blueprint.input(ParameterPatch)
@blueprint.doc(responses={202: _PROPOSED, 409: _IN_USE, 412: _STALE})
@needs("experimenter", scope=of_parameter)
def update_parameter(key: str, json_data: ParameterPatch) -> ResponseReturnValue:
    """Changes the description at any time; type, default and layer while no experiment that is not over sets it."""
    wanted = json_data.model_dump(exclude_unset=True)
    require_layer(json_data.layer)
    return submit_thing("parameter", UPDATE, key, wanted)


@blueprint.delete("/parameters/<key>")
@blueprint.doc(responses={204: "The parameter is gone", 202: _PROPOSED, 409: _IN_USE, 412: _STALE})
@needs("experimenter", scope=of_parameter)
def delete_parameter(key: str) -> ResponseReturnValue:
    """Removes a parameter that no experiment which is not over sets."""
    return submit_thing("parameter", DELETE, key)


def _nothing(_: Configuration) -> dict[str, Json]:
    """What a creation may be made from: If-Match names something that is there, so it never matches."""
    return {}
