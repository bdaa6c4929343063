"""Experiments: draft, change, and move through their life."""

from functools import partial

from apiflask import APIBlueprint
from flask import request
from flask.typing import ResponseReturnValue
from pydantic import ValidationError

from lamella.errors import IllegalTransition, InvalidInput
from lamella.experiments.document import experiment_document, experiment_from_document
from lamella.experiments.model import Configuration, Experiment, Json
from lamella.experiments.selection import experiment_of
from lamella.services.changes import Change
from lamella.web.approvals import submit
from lamella.web.auth import needs
from lamella.web.paging import page
from lamella.web.preconditions import changed, shown
from lamella.web.problems import sentences
from lamella.web.queries import ExperimentsQuery
from lamella.web.requests import read_object
from lamella.web.schemas import ExperimentBody, ExperimentPatch, PromoteBody, ShareBody, StartBody
from lamella.web.scopes import of_experiment, own_scope, reached_layers, require_layer
from lamella.web.wiring import services

blueprint = APIBlueprint("experiments", __name__, url_prefix="/v1/admin/experiments", tag="Experiments")

_MOVE = {
    202: "Proposed; a second person has to approve it",
    409: "Its status does not allow this move",
    412: "It is not what If-Match names",
}
_READ_ONLY = {"status", "phases", "share", "ramped_at", "start_faults"}


@blueprint.get("")
@blueprint.input(ExperimentsQuery, location="query")
@needs("viewer", scope=own_scope)
def list_experiments(query_data: ExperimentsQuery) -> ResponseReturnValue:
    """Every experiment, or those of a layer, a status, an owner or a project."""
    now = services().configuration.load()
    reached = {each.key for each in reached_layers(now) if query_data.project in (None, each.project)}
    found = [
        each
        for each in now.experiments
        if each.layer in reached
        and query_data.layer in (None, each.layer)
        and query_data.status in (None, each.status.value)
        and query_data.owner in (None, each.owner)
    ]
    experiments, cursor = page(found, query_data, lambda each: each.key)
    return {"experiments": [experiment_document(each) for each in experiments], "next_cursor": cursor}


@blueprint.post("")
@blueprint.input(ExperimentBody)
@blueprint.doc(responses={201: "The draft as stored", 409: "The key is taken"})
@needs("experimenter", scope=own_scope)
def create_experiment(json_data: ExperimentBody) -> ResponseReturnValue:
    """Adds a draft, on the buckets of `ranges` or on free ones for a `share` of the layer."""
    require_layer(json_data.layer)
    create = partial(services().configuring.create_experiment, _experiment(json_data), share=json_data.share)
    return shown(experiment_document(changed(create, _nothing)), 201)


@blueprint.get("/<key>")
@needs("viewer", scope=of_experiment)
def show_experiment(key: str) -> ResponseReturnValue:
    """The experiment with its phases, and its ETag."""
    return shown(experiment_document(experiment_of(services().configuration.load(), key)))


@blueprint.put("/<key>")
@blueprint.input(ExperimentBody)
@blueprint.doc(responses=_MOVE)
@needs("experimenter", scope=of_experiment)
def update_experiment(key: str, json_data: ExperimentBody) -> ResponseReturnValue:
    """Changes a draft in everything, a running experiment in what moves nobody; a missing field gets its default."""
    if json_data.key != key:
        raise InvalidInput(f"key: is {json_data.key!r} in the body and {key!r} in the path; a key never changes")
    if json_data.share is not None:
        raise InvalidInput("share: chooses the buckets of a new draft only; send ranges")
    require_layer(json_data.layer)
    return submit("update", key, experiment_document(_experiment(json_data)))


@blueprint.patch("/<key>")
@blueprint.input(ExperimentPatch)
@blueprint.doc(responses=_MOVE)
@needs("experimenter", scope=of_experiment)
def patch_experiment(key: str, json_data: ExperimentPatch) -> ResponseReturnValue:
    """Changes the fields that the body names, under the same laws; the others stay."""
    require_layer(json_data.layer)
    before = experiment_document(experiment_of(services().configuration.load(), key))
    wanted: dict[str, Json] = {**before, **json_data.model_dump(exclude_unset=True)}
    return submit("update", key, experiment_document(experiment_from_document(wanted)))


@blueprint.delete("/<key>")
@blueprint.doc(responses={204: "The draft is gone", 409: "It ran, or another one requires it", 412: _MOVE[412]})
@needs("experimenter", scope=of_experiment)
def delete_experiment(key: str) -> ResponseReturnValue:
    """Removes an experiment that never ran; what ran has a record and can be archived."""
    change = Change(operation="delete", key=key)
    changed(
        lambda **options: services().changes.perform(change, **options),
        lambda now: experiment_document(experiment_of(now, key)),
    )
    return "", 204


@blueprint.post("/<key>/schedule")
@blueprint.doc(responses=_MOVE)
@needs("experimenter", scope=of_experiment)
def schedule_experiment(key: str) -> ResponseReturnValue:
    """Checks the draft as a start does, reserves its buckets, and starts it once `starts_at` has come."""
    return submit("schedule", key, _start_body())


@blueprint.post("/<key>/unschedule")
@blueprint.doc(responses=_MOVE)
@needs("experimenter", scope=of_experiment)
def unschedule_experiment(key: str) -> ResponseReturnValue:
    """Makes it a draft again; its buckets are free."""
    return submit("unschedule", key)


@blueprint.post("/<key>/start")
@blueprint.doc(responses=_MOVE)
@needs("experimenter", scope=of_experiment)
def start_experiment(key: str) -> ResponseReturnValue:
    """Starts the first phase; the check-list names everything that is missing.

    A plan that the measured traffic cannot power is refused, unless the body says `accept_underpowered`.
    """
    return submit("start", key, _start_body())


@blueprint.post("/<key>/pause")
@blueprint.doc(responses=_MOVE)
@needs("experimenter", scope=of_experiment)
def pause_experiment(key: str) -> ResponseReturnValue:
    """Gives its units the defaults for a while; its buckets stay held."""
    return submit("pause", key)


@blueprint.post("/<key>/resume")
@blueprint.doc(responses=_MOVE)
@needs("experimenter", scope=of_experiment)
def resume_experiment(key: str) -> ResponseReturnValue:
    """Goes on in the same phase; every unit finds its variant again."""
    return submit("resume", key)


@blueprint.post("/<key>/stop")
@blueprint.doc(responses=_MOVE)
@needs("experimenter", scope=of_experiment)
def stop_experiment(key: str) -> ResponseReturnValue:
    """Ends the experiment for good; its buckets are free."""
    return submit("stop", key)


@blueprint.post("/<key>/archive")
@blueprint.doc(responses=_MOVE)
@needs("experimenter", scope=of_experiment)
def archive_experiment(key: str) -> ResponseReturnValue:
    """Puts it out of the way; its record stays."""
    return submit("archive", key)


@blueprint.get("/<key>/checks")
@needs("viewer", scope=of_experiment)
def check_experiment(key: str) -> ResponseReturnValue:
    """The start check-list without starting: every fault that a start would be refused for, and every warning.

    A plan that the measured traffic cannot power is a fault, and a warning where the experiment accepts that, or where
    no traffic was measured yet.
    """
    faults: list[str] = []
    try:
        services().changes.preview(Change(operation="start", key=key))
    except InvalidInput as error:
        faults += error.faults
    except IllegalTransition as error:
        faults.append(str(error))
    warnings = services().configuring.warnings(services().configuration.load(), key)
    return {"may_start": not faults, "faults": faults, "warnings": list(warnings)}


@blueprint.post("/<key>/ramp")
@blueprint.input(ShareBody)
@blueprint.doc(responses=_MOVE)
@needs("experimenter", scope=of_experiment)
def ramp_experiment(key: str, json_data: ShareBody) -> ResponseReturnValue:
    """Grows it to a share of its layer's buckets: those it has and more, so that nobody leaves."""
    return submit("ramp", key, {"share": json_data.share})


@blueprint.post("/<key>/promote")
@blueprint.input(PromoteBody)
@blueprint.doc(responses=_MOVE)
@needs("experimenter", scope=of_experiment)
def promote_variant(key: str, json_data: PromoteBody) -> ResponseReturnValue:
    """Stops it where it runs, and makes the variant's values the defaults of their parameters, as one change."""
    return submit("promote", key, {"variant": json_data.variant})


def _experiment(body: ExperimentBody) -> Experiment:
    """The experiment that the body describes; what the life cycle keeps is not the caller's to write."""
    return experiment_from_document(body.model_dump(exclude_unset=True, exclude=_READ_ONLY))


def _start_body() -> dict[str, Json]:
    """What a start says besides: nothing where there is no body."""
    body = request.get_data()
    if not body:
        return {}
    try:
        found = StartBody.model_validate(read_object(body))
    except ValidationError as error:
        raise InvalidInput(*sentences(error)) from None
    return {"accept_underpowered": True} if found.accept_underpowered else {}


def _nothing(_: Configuration) -> dict[str, Json]:
    """What a creation is made from: If-Match names something that is there, so it never matches."""
    return {}
