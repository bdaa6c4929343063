"""The hot path: recommendations and events. Bodies are read by hand and answers written by orjson."""

from collections.abc import Iterator
from contextlib import contextmanager

import orjson
from apiflask import APIBlueprint
from flask import Response, request
from flask.typing import ResponseReturnValue

from lamella.errors import ModelFault, NotFound, Overloaded, StoreUnavailable, Unavailable
from lamella.services.recommending import Answer
from lamella.web.auth import needs
from lamella.web.parsing import Wanted, parse_batch, parse_wanted
from lamella.web.requests import read_object
from lamella.web.telemetry import Telemetry
from lamella.web.wiring import Services, services, telemetry

blueprint = APIBlueprint("serving", __name__, url_prefix="/v1", tag="Serving")


@blueprint.post("/recommendations")
@blueprint.doc(responses={200: "The list, what decided it, and the request id that its events name", 429: "Inbox full"})
@needs("client")
def recommend() -> ResponseReturnValue:
    """Assigns the unit in every layer, runs the recommender that the assignment chose, and records what was shown."""
    return Response(recommended(services(), telemetry(), request.get_data()), content_type="application/json")


@blueprint.post("/events")
@blueprint.doc(responses={202: "Durable: how many were accepted, and why each other was rejected", 429: "Inbox full"})
@needs("client")
def take_events() -> ResponseReturnValue:
    """Takes clicks, reads and interactions; each is accepted or rejected by itself."""
    events = parse_batch(read_object(request.get_data()))
    with counting_appends(telemetry(), "events"):
        receipt = services().recording.events(events)
    telemetry().events.labels("accepted").inc(receipt.accepted)
    telemetry().events.labels("rejected").inc(len(receipt.rejected))
    document = {
        "accepted": receipt.accepted,
        "rejected": [
            {"index": each.index, "event_id": each.event_id, "code": each.code, "reason": each.reason}
            for each in receipt.rejected
        ],
    }
    return Response(orjson.dumps(document), status=202, content_type="application/json")


def recommended(services: Services, telemetry: Telemetry, body: bytes) -> bytes:
    """The answer to a request for recommendations, as JSON. Raises what is wrong with it, and what went wrong."""
    wanted = parse_wanted(read_object(body))
    if not services.snapshots.is_loaded:
        raise Unavailable("no configuration was loaded yet; retry, and see /readyz")
    answer = _answer(services, telemetry, wanted)
    _count(telemetry, answer)
    return orjson.dumps(_document(answer))


def _answer(services: Services, telemetry: Telemetry, wanted: Wanted) -> Answer:
    with counting_appends(telemetry, "slate"):
        try:
            return services.recommending.recommend(
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
def counting_appends(telemetry: Telemetry, use: str) -> Iterator[None]:
    """Counts what became of the append to the inbox inside; a request that never got there counts nothing."""
    try:
        yield
    except (Overloaded, StoreUnavailable) as error:
        telemetry.appends.labels(use, error.code).inc()
        raise
    telemetry.appended(use)


def _count(telemetry: Telemetry, answer: Answer) -> None:
    for assignment in answer.assignments:
        if assignment.experiment is not None and assignment.variant is not None:
            telemetry.served(assignment.experiment, assignment.variant)
    for stage, reason in answer.fallbacks.items():
        telemetry.fallbacks.labels(stage, reason).inc()


def _document(answer: Answer) -> dict[str, object]:
    return {
        "request_id": answer.request_id,
        "unit": answer.unit,
        "items": answer.items,
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
