"""The hot path: recommendations and events. Bodies are read by hand and answers written by orjson."""

from collections.abc import Iterator
from contextlib import contextmanager

import orjson
from apiflask import APIBlueprint
from flask import Response, request
from flask.typing import ResponseReturnValue

from lamella.errors import ModelFault, NotFound, Overloaded, StoreUnavailable, Unavailable
from lamella.services.keys import COLLECTOR
from lamella.services.recommending import Answer
from lamella.web.auth import needs
from lamella.web.parsing import Wanted, parse_events, parse_wanted
from lamella.web.requests import read_events, read_object
from lamella.web.wiring import services, telemetry

blueprint = APIBlueprint("serving", __name__, url_prefix="/v1", tag="Serving")


@blueprint.post("/recommendations")
@blueprint.doc(responses={200: "The list, what decided it, and the request id that its events name", 429: "Inbox full"})
@needs("client")
def recommend() -> ResponseReturnValue:
    """Assigns the unit in every layer, runs the recommender that the assignment chose, and records what was shown."""
    wanted = parse_wanted(read_object(request.get_data()))
    if not services().snapshots.is_loaded:
        raise Unavailable("no configuration was loaded yet; retry, and see /readyz")
    answer = _answer(wanted)
    _count(answer)
    return Response(orjson.dumps(_document(answer)), content_type="application/json")


@blueprint.post("/events")
@blueprint.doc(responses={202: "Durable: what became of each event, and why", 429: "Inbox full"})
@needs(COLLECTOR, is_key_in_query=True)
def take_events() -> ResponseReturnValue:
    """Takes clicks, reads, interactions, custom numbers and exposures; each is accepted, duplicate or rejected."""
    events, sent_at = parse_events(read_events(request.get_data()))
    with counting_appends("events"):
        receipt = services().recording.events(events, sent_at=sent_at)
    numbers = telemetry()
    numbers.events.labels("accepted").inc(receipt.accepted)
    numbers.events.labels("duplicate").inc(receipt.duplicate)
    numbers.events.labels("rejected").inc(len(receipt.rejected))
    for each in receipt.rejected:
        numbers.rejections.labels(each.code).inc()
    document = {
        "accepted": receipt.accepted,
        "duplicate": receipt.duplicate,
        "verdicts": receipt.verdicts,
        "rejected": [
            {"index": each.index, "event_id": each.event_id, "code": each.code, "reason": each.reason}
            for each in receipt.rejected
        ],
    }
    return Response(orjson.dumps(document), status=202, content_type="application/json")


def _answer(wanted: Wanted) -> Answer:
    with counting_appends("slate"):
        try:
            return services().recommending.recommend(
                wanted.unit,
                wanted.context,
                k=wanted.k,
                exclude=wanted.exclude,
                request_id=wanted.request_id,
                preview=wanted.preview,
            )
        except NotFound as error:
            # The caller named no model: what is missing is missing on our side, and may come.
            raise ModelFault(str(error)) from error


@contextmanager
def counting_appends(use: str) -> Iterator[None]:
    """Counts what became of the append to the inbox inside; a request that never got there counts nothing."""
    try:
        yield
    except (Overloaded, StoreUnavailable) as error:
        telemetry().appends.labels(use, error.code).inc()
        raise
    telemetry().appends.labels(use, "ok").inc()


def _count(answer: Answer) -> None:
    numbers = telemetry()
    for assignment in answer.assignments:
        if assignment.experiment is not None and assignment.variant is not None:
            numbers.recommendations.labels(assignment.experiment, assignment.variant).inc()
    for stage, reason in answer.fallbacks.items():
        numbers.fallbacks.labels(stage, reason).inc()


def _document(answer: Answer) -> dict[str, object]:
    return {
        "request_id": answer.request_id,
        "unit": answer.unit,
        "items": [
            {"item": i.item, "rank": i.rank, "score": i.score, "source": i.source, "propensity": i.propensity}
            for i in answer.items
        ],
        "parameters": answer.parameters,
        "assignments": [
            {
                "layer": each.layer,
                "experiment": each.experiment,
                "variant": each.variant,
                "phase": each.phase,
                "reason": each.reason,
            }
            for each in answer.assignments
        ],
        "snapshot": answer.snapshot,
        "models": answer.models,
        "fallbacks": answer.fallbacks,
    }
