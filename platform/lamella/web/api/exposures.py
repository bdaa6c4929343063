"""Exposures told by those that evaluate elsewhere: in process, by OFREP or with flagd."""

import orjson
from apiflask import APIBlueprint
from flask import Response, request
from flask.typing import ResponseReturnValue

from lamella.errors import Unavailable
from lamella.web.api.serving import CountingAppends
from lamella.web.auth import needs
from lamella.web.parsing import parse_batch
from lamella.web.requests import read_object
from lamella.web.wiring import services, telemetry

blueprint = APIBlueprint("exposures", __name__, url_prefix="/v1", tag="Serving")


@blueprint.post("/exposures")
@blueprint.doc(responses={202: "Durable: how many were accepted, and why each other was rejected", 429: "Inbox full"})
@needs("client")
def take_exposures() -> ResponseReturnValue:
    """Takes first exposures that no slate shows; each is accepted or rejected by itself, a repeat changes nothing."""
    exposures = parse_batch(read_object(request.get_data()), "exposures")
    if not services().snapshots.is_loaded:
        raise Unavailable("no configuration was loaded yet; retry, and see /readyz")
    with CountingAppends(telemetry(), "exposures"):
        receipt = services().exposing.exposures(exposures)
    document = {
        "accepted": receipt.accepted,
        "rejected": [
            {"index": each.index, "exposure_id": each.event_id, "code": each.code, "reason": each.reason}
            for each in receipt.rejected
        ],
    }
    return Response(orjson.dumps(document), status=202, content_type="application/json")
