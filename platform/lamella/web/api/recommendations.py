"""Recommendations: one, by GET for curl, or up to 100 at once. Bodies are read by hand, answers written by orjson."""

from collections.abc import Mapping

import orjson
from apiflask import APIBlueprint
from flask import Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

from lamella.errors import InvalidInput, LamellaError, ModelFault, NotFound, Unavailable
from lamella.services.recommending import Answer, Wish
from lamella.web.api.serving import CountingAppends
from lamella.web.auth import needs
from lamella.web.parsing import parse_query, parse_wish, parse_wishes
from lamella.web.problems import document_of
from lamella.web.requests import read_object
from lamella.web.telemetry import Telemetry
from lamella.web.wiring import Services, services, telemetry

blueprint = APIBlueprint("recommendations", __name__, url_prefix="/v1", tag="Serving")

_ANSWERS = {200: "The list, what decided it, and the request id that its events name", 429: "Inbox full"}


@blueprint.post("/recommendations")
@blueprint.doc(responses=_ANSWERS)
@needs("client")
def recommend() -> ResponseReturnValue:
    """Assigns the unit in every layer, runs the recommender that the assignment chose, and records what was shown."""
    return _json(recommended(services(), telemetry(), request.get_data()))


@blueprint.get("/recommendations")
@blueprint.doc(responses=_ANSWERS)
@needs("client")
def recommend_by_query() -> ResponseReturnValue:
    """The same for curl: `?unit=ann&k=10&context={"country":"CN"}`. It records what is shown, like the POST."""
    if request.method == "HEAD":  # its answer shows nobody anything, and would be recorded as shown
        raise MethodNotAllowed(valid_methods=["GET", "POST", "OPTIONS"])
    answer = _json(_answered(services(), telemetry(), parse_query(request.args.to_dict())))
    answer.headers["Cache-Control"] = "no-store"
    return answer


@blueprint.post("/recommendations/batch")
@blueprint.doc(responses={200: "An answer, or a problem, for each request in its order", 429: "Inbox full"})
@needs("client")
def recommend_many() -> ResponseReturnValue:
    """Up to 100 lists at once, each for itself, recorded in one commit."""
    _require_snapshot(services())
    outcomes: list[Wish | LamellaError] = []
    for body in parse_wishes(read_object(request.get_data())):
        try:
            outcomes.append(parse_wish(body))
        except InvalidInput as error:
            outcomes.append(error)
    wishes = [each for each in outcomes if isinstance(each, Wish)]
    with CountingAppends(telemetry(), "slate"):
        answers = iter(services().recommending.recommend_many(wishes))
    documents = [_outcome(next(answers) if isinstance(each, Wish) else each) for each in outcomes]
    return _json(orjson.dumps({"answers": documents}))


def recommended(services: Services, telemetry: Telemetry, body: bytes) -> bytes:
    """The answer to a request for recommendations, as JSON. Raises what is wrong with it, and what went wrong."""
    return _answered(services, telemetry, parse_wish(read_object(body)))


def _answered(services: Services, telemetry: Telemetry, wish: Wish) -> bytes:
    _require_snapshot(services)
    with CountingAppends(telemetry, "slate"):
        try:
            answer = services.recommending.recommend(wish)
        except NotFound as error:
            raise _ours(error) from error
    count(telemetry, answer)
    return orjson.dumps(answer_document(answer))


def _require_snapshot(services: Services) -> None:
    if not services.snapshots.is_loaded:
        raise Unavailable("no configuration was loaded yet; retry, and see /readyz")


def _ours(error: NotFound) -> ModelFault:
    """The caller named no model: what is missing is missing on our side, and may come."""
    return ModelFault(str(error))


def _outcome(outcome: Answer | LamellaError) -> Mapping[str, object]:
    if isinstance(outcome, Answer):
        count(telemetry(), outcome)
        return answer_document(outcome)
    return {"problem": document_of(_ours(outcome) if isinstance(outcome, NotFound) else outcome)}


def _json(body: bytes) -> Response:
    return Response(body, content_type="application/json")


def count(telemetry: Telemetry, answer: Answer) -> None:
    """Counts a list that is recorded, under the variants that it was served under."""
    variants = [
        (each.experiment, each.variant)
        for each in answer.assignments
        if each.experiment is not None and each.variant is not None
    ]
    telemetry.served(variants)
    for stage, reason in answer.fallbacks.items():
        telemetry.fallbacks.labels(stage, reason).inc()
        for variant in variants:
            telemetry.variant_fallbacks.labels(*variant, stage, reason).inc()


def answer_document(answer: Answer) -> dict[str, object]:
    """The answer as orjson writes it."""
    shown = answer.items
    return {
        "request_id": answer.request_id,
        "unit": answer.unit,
        "items": [
            {"item": item, "rank": rank, "score": score, "source": shown.source, "propensity": propensity}
            for rank, item, score, propensity in shown.rows()
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
