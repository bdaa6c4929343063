"""Events. Bodies are read by hand and answers written by orjson."""

from http import HTTPStatus

import orjson
from apiflask import APIBlueprint
from flask import Response, request
from flask.typing import ResponseReturnValue

from lamella.errors import Overloaded, StoreUnavailable
from lamella.services.keys import COLLECTOR
from lamella.web.auth import needs
from lamella.web.parsing import parse_events
from lamella.web.requests import read_events
from lamella.web.telemetry import Telemetry
from lamella.web.wiring import Services, services, telemetry

blueprint = APIBlueprint("serving", __name__, url_prefix="/v1", tag="Serving")


@blueprint.post("/events")
@blueprint.doc(responses={202: "Durable: what became of each event, and why", 429: "Inbox full"})
@needs(COLLECTOR, is_key_in_query=True)
def take_events() -> ResponseReturnValue:
    """Takes clicks, reads, interactions, custom numbers and exposures; each is accepted, duplicate or rejected."""
    document = taken(services(), telemetry(), request.get_data())
    return Response(document, status=HTTPStatus.ACCEPTED, content_type="application/json")


def taken(services: Services, telemetry: Telemetry, body: bytes) -> bytes:
    """What became of the events of a body, as JSON; it is durable. Raises what is wrong with the body as a whole."""
    events, sent_at = parse_events(read_events(body))
    with CountingAppends(telemetry, "events"):
        receipt = services.recording.events(events, sent_at=sent_at)
    telemetry.took(receipt)
    return orjson.dumps(
        {
            "accepted": receipt.accepted,
            "duplicate": receipt.duplicate,
            "verdicts": receipt.verdicts,
            "rejected": [
                {"index": each.index, "event_id": each.event_id, "code": each.code, "reason": each.reason}
                for each in receipt.rejected
            ],
        }
    )


class CountingAppends:
    """Counts what became of the append to the inbox inside; a request that never got there counts nothing."""

    __slots__ = ("_telemetry", "_use")

    def __init__(self, telemetry: Telemetry, use: str) -> None:
        self._telemetry, self._use = telemetry, use

    def __enter__(self) -> None:
        """Nothing is counted yet."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            self._telemetry.appended(self._use)
        elif isinstance(error, Overloaded | StoreUnavailable):
            self._telemetry.appends.labels(self._use, error.code).inc()
