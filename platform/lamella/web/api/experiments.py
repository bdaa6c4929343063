"""Experiments: draft, change, and move through their life."""

from collections.abc import Callable
from functools import partial
from typing import Final

from apiflask import APIBlueprint
from flask import request
from flask.typing import ResponseReturnValue

from lamella.errors import ConfigurationMoved, InvalidInput
from lamella.experiments.document import experiment_document, experiment_from_document
from lamella.experiments.model import Experiment
from lamella.experiments.selection import experiment_of
from lamella.web.auth import needs, principal
from lamella.web.preconditions import check_if_match, tagged
from lamella.web.schemas import ExperimentBody, ExperimentsQuery
from lamella.web.wiring import refresh_snapshot, services

blueprint = APIBlueprint("experiments", __name__, url_prefix="/v1/admin/experiments", tag="Experiments")

_TRIES: Final = 4


@blueprint.get("")
@blueprint.input(ExperimentsQuery, location="query")
@needs("viewer")
def list_experiments(query_data: ExperimentsQuery) -> ResponseReturnValue:
    """Every experiment, or those of a layer or a status."""
    return {
        "experiments": [
            experiment_document(each)
            for each in services().configuration.load().experiments
            if query_data.layer in (None, each.layer) and query_data.status in (None, each.status.value)
        ]
    }


@blueprint.post("")
@blueprint.input(ExperimentBody)
@blueprint.doc(responses={201: "The draft as stored", 409: "The key is taken"})
@needs("experimenter")
def create_experiment(json_data: ExperimentBody) -> ResponseReturnValue:
    """Adds a draft, on the buckets of `ranges` or on free ones for a `share` of the layer."""
    stored = services().configuring.create_experiment(
        _experiment(json_data), share=json_data.share, author=principal().name
    )
    refresh_snapshot()
    return _shown(stored, 201)


@blueprint.get("/<key>")
@needs("viewer")
def show_experiment(key: str) -> ResponseReturnValue:
    """The experiment with its phases, and its ETag."""
    return _shown(experiment_of(services().configuration.load(), key))


@blueprint.put("/<key>")
@blueprint.input(ExperimentBody)
@blueprint.doc(responses={409: "Its status does not allow the change", 412: "It is not what If-Match names"})
@needs("experimenter")
def update_experiment(key: str, json_data: ExperimentBody) -> ResponseReturnValue:
    """Changes a draft in everything, a running experiment in what moves nobody; a missing field gets its default."""
    if json_data.key != key:
        raise InvalidInput(f"key: is {json_data.key!r} in the body and {key!r} in the path; a key never changes")
    if json_data.share is not None:
        raise InvalidInput("share: chooses the buckets of a new draft only; send ranges")
    wanted = _experiment(json_data)
    return _shown(_changed(key, partial(services().configuring.update_experiment, wanted)))


@blueprint.post("/<key>/start")
@blueprint.doc(responses={409: "Its status does not allow this move", 412: "It is not what If-Match names"})
@needs("experimenter")
def start_experiment(key: str) -> ResponseReturnValue:
    """Starts the first phase; the check-list names everything that is missing."""
    return _moved(key, "start")


@blueprint.post("/<key>/pause")
@blueprint.doc(responses={409: "Its status does not allow this move", 412: "It is not what If-Match names"})
@needs("experimenter")
def pause_experiment(key: str) -> ResponseReturnValue:
    """Gives its units the defaults for a while; its buckets stay held."""
    return _moved(key, "pause")


@blueprint.post("/<key>/resume")
@blueprint.doc(responses={409: "Its status does not allow this move", 412: "It is not what If-Match names"})
@needs("experimenter")
def resume_experiment(key: str) -> ResponseReturnValue:
    """Goes on in the same phase; every unit finds its variant again."""
    return _moved(key, "resume")


@blueprint.post("/<key>/stop")
@blueprint.doc(responses={409: "Its status does not allow this move", 412: "It is not what If-Match names"})
@needs("experimenter")
def stop_experiment(key: str) -> ResponseReturnValue:
    """Ends the experiment for good; its buckets are free."""
    return _moved(key, "stop")


@blueprint.post("/<key>/archive")
@blueprint.doc(responses={409: "Its status does not allow this move", 412: "It is not what If-Match names"})
@needs("experimenter")
def archive_experiment(key: str) -> ResponseReturnValue:
    """Puts it out of the way; its record stays."""
    return _moved(key, "archive")


def _moved(key: str, move: str) -> ResponseReturnValue:
    return _shown(_changed(key, partial(services().configuring.transition, key, move)))


def _changed(key: str, change: Callable[..., Experiment]) -> Experiment:
    """The experiment after the change, made only from a configuration in which it is what If-Match names.

    A change elsewhere in the configuration is no reason to refuse: the comparison is made again.
    """
    for tries_left in reversed(range(_TRIES)):
        expected = None
        if request.if_match:
            seen = services().configuration.load()
            check_if_match(experiment_document(experiment_of(seen, key)))
            expected = seen.version
        try:
            after = change(author=principal().name, expected=expected)
        except ConfigurationMoved:
            if expected is None or not tries_left:
                raise
        else:
            refresh_snapshot()
            return after
    raise AssertionError("unreachable: the last try returns or raises")  # pragma: no cover


def _shown(experiment: Experiment, status: int = 200) -> ResponseReturnValue:
    document = experiment_document(experiment)
    return document, status, tagged(document)


def _experiment(body: ExperimentBody) -> Experiment:
    """The experiment that the body describes; status and phases are not the caller's to write."""
    return experiment_from_document(body.model_dump(exclude_unset=True, exclude={"status", "phases", "share"}))
