"""Events. Bodies are read by hand and answers written by orjson."""

from collections.abc import Iterator
from contextlib import contextmanager

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
from lamella.web.wiring import services, telemetry

blueprint = APIBlueprint("serving", __name__, url_prefix="/v1", tag="Serving")


@blueprint.post("/events")
@blueprint.doc(responses={202: "Durable: what became of each event, and why", 429: "Inbox full"})
@needs(COLLECTOR, is_key_in_query=True)
def take_events() -> ResponseReturnValue:
    """Takes clicks, reads, interactions, custom numbers and exposures; each is accepted, duplicate or rejected."""
    events, sent_at = parse_events(read_events(request.get_data()))
    with counting_appends(telemetry(), "events"):
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


@contextmanager
def counting_appends(telemetry: Telemetry, use: str) -> Iterator[None]:
    """Counts what became of the append to the inbox inside; a request that never got there counts nothing."""
    try:
        yield
    except (Overloaded, StoreUnavailable) as error:
        telemetry.appends.labels(use, error.code).inc()
        raise
    telemetry.appended(use)
