"""The kill switch and explanations."""

import orjson
from apiflask import APIBlueprint
from flask import request
from flask.typing import ResponseReturnValue

from lamella.errors import InvalidInput
from lamella.web.approvals import submit
from lamella.web.auth import needs
from lamella.web.parsing import Explained, parse_explained
from lamella.web.preconditions import shown
from lamella.web.queries import ExplainQuery
from lamella.web.requests import read_object
from lamella.web.schemas import KillSwitchBody
from lamella.web.wiring import services

blueprint = APIBlueprint("configuration", __name__, url_prefix="/v1/admin", tag="Configuration")


@blueprint.get("/kill-switch")
@needs("viewer")
def show_kill_switch() -> ResponseReturnValue:
    """Whether every unit gets the defaults everywhere."""
    return shown({"killed": services().configuration.load().killed})


@blueprint.put("/kill-switch")
@blueprint.input(KillSwitchBody)
@blueprint.doc(responses={412: "It is not what If-Match names"})
@needs("experimenter")
def set_kill_switch(json_data: KillSwitchBody) -> ResponseReturnValue:
    """Turns all experiments off at once, or on again."""
    return submit("kill" if json_data.killed else "unkill")


@blueprint.get("/explain")
@blueprint.input(ExplainQuery, location="query")
@needs("viewer")
def explain_unit(query_data: ExplainQuery) -> ResponseReturnValue:
    """Why this unit gets what it gets, step by step, by the snapshot in force. Records nothing."""
    found = query_data.model_dump(exclude_unset=True)
    return _explained(parse_explained({**found, "context": _read_context(query_data.context)}))


@blueprint.post("/explain")
@needs("viewer")
def explain_body() -> ResponseReturnValue:
    """The same for units by kind, and for contexts that no URL can hold."""
    return _explained(parse_explained(read_object(request.get_data())))


def _explained(wanted: Explained) -> ResponseReturnValue:
    return services().assigning.explain(wanted.units, wanted.context, preview=wanted.preview)


def _read_context(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"context: is not JSON: {error}") from None
