"""The link of a preview: one variant as a reader would get it, for a time, without a key and out of the analysis."""

import uuid
from datetime import UTC
from typing import Final

import orjson
from apiflask import APIBlueprint
from flask import Flask, Response, render_template, request
from flask.typing import ResponseReturnValue

from lamella.errors import Conflict, Forbidden, InvalidInput, ModelFault, NotFound, Unavailable
from lamella.events.contract import Impressions
from lamella.experiments.model import Json
from lamella.services.previewing import Preview
from lamella.services.rates import Rates
from lamella.services.recommending import Answer, Wish
from lamella.web.api.recommendations import answer_document
from lamella.web.api.serving import CountingAppends
from lamella.web.auth import PUBLIC, needs
from lamella.web.parsing import LONGEST_TOKEN
from lamella.web.wiring import services, telemetry

ENDPOINT: Final = "previews.show_preview"
_HEADERS: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}

blueprint = APIBlueprint("previews", __name__, tag="Serving")


def install_previews(app: Flask, rates: Rates) -> None:
    """Refuses an address that opens links too often with 429 and Retry-After: nobody shows a key here."""

    @app.before_request
    def take() -> None:
        if request.endpoint == ENDPOINT:
            rates.take(f"preview from {request.remote_addr}")


@blueprint.get("/preview/<token>")
@blueprint.doc(
    responses={
        200: "What the variant shows: items, parameters, assignments; a page where the client prefers one",
        403: "The link is not of this installation, was changed, or has ended",
        409: "Nothing can be previewed: the experiment is over, or a holdout or the kill switch goes before it",
        503: "Something that lamella needs does not answer; see Retry-After",
    }
)
@needs(PUBLIC)
def show_preview(token: str) -> ResponseReturnValue:
    """Shows the variant that the link was made for. It is recorded as a preview, and in no layer's analysis."""
    if not services().snapshots.is_loaded:
        raise Unavailable("no configuration was loaded yet; retry, and see /readyz")
    found = _opened(token)
    answer = _answer(found, token)
    _require_shown(found, answer)
    about: dict[str, Json] = {
        "experiment": found.experiment,
        "variant": found.variant,
        "expires_at": found.ends_at.astimezone(UTC).isoformat(),
    }
    document = {"preview": about, **answer_document(answer)}
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        return render_template("preview.html", about=about, document=document), 200, _HEADERS
    return Response(orjson.dumps(document), headers=_HEADERS, content_type="application/json")


def _opened(token: str) -> Preview:
    try:
        return services().previews.open(token[:LONGEST_TOKEN])
    except InvalidInput as error:
        raise Forbidden(str(error)) from None


def _answer(found: Preview, token: str) -> Answer:
    unit = found.unit or f"preview:{found.experiment}:{found.variant}"[:256]
    try:
        with CountingAppends(telemetry(), "preview"):
            return services().recommending.recommend(Wish(unit=unit, context={}, preview=token, is_counted=False))
    except InvalidInput as error:
        # The link is good; what it shows is gone.
        raise Conflict(str(error)) from None
    except (ModelFault, NotFound):
        # No model answers, and the parameters are still worth a look: an exposure is recorded, and no slate.
        decision = services().assigning.assign(unit, {}, preview=token)
        services().exposing.exposures([_exposure(found, unit)])
        return Answer(
            request_id="",
            unit=unit,
            items=Impressions((), (), ""),
            parameters=decision.parameters,
            assignments=decision.assignments,
            snapshot=decision.version,
            models={},
            fallbacks={"recall": "missing"},
        )


def _exposure(found: Preview, unit: str) -> dict[str, object]:
    """What was seen without a slate; a variant of what did not start yet is in no phase, and is not recorded."""
    return {
        "exposure_id": f"preview-{uuid.uuid4().hex}",
        "unit": unit,
        "experiment": found.experiment,
        "variant": found.variant,
        "counted": False,
    }


def _require_shown(found: Preview, answer: Answer) -> None:
    """Returns where the variant was given. Raises Conflict that says what went before it."""
    layer = next((each for each in answer.assignments if each.experiment == found.experiment), None)
    if layer is not None and layer.variant == found.variant:
        return
    raise Conflict(
        f"variant {found.variant!r} of {found.experiment!r} cannot be shown now: a holdout or the kill switch goes "
        f"before it, or its layer is not one of users; GET /v1/admin/explain says which"
    )
