"""The client of a service that runs elsewhere: recommendations, events and administration over HTTP."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote

from lamella.client.transport import Transport
from lamella.client.wire import (
    Document,
    EventsReceipt,
    Recommendation,
    as_document,
    as_documents,
    event_document,
    parse_evaluation,
    parse_receipt,
    parse_recommendation,
)
from lamella.events.contract import Event
from lamella.experiments.flags import Evaluation
from lamella.experiments.model import Json

MAX_EVENTS: Final = 1_000
_MAX_ITEMS: Final = 1_000


class RemoteClient:
    """Calls one service with one API key; safe to share between threads.

    What may be repeated without harm (recommendations and events, by their ids; everything that only reads) is tried
    again for up to `patience_seconds`. Every method raises the LamellaError that the service names, with its own
    sentence, and Unavailable where no answer came.
    """

    def __init__(
        self, base_url: str, key: str, *, timeout_seconds: float = 30.0, patience_seconds: float = 60.0
    ) -> None:
        self._transport = Transport(base_url, key, timeout_seconds=timeout_seconds, patience_seconds=patience_seconds)

    def recommend(
        self,
        unit: str,
        *,
        context: Mapping[str, Json] | None = None,
        k: int | None = None,
        exclude: Sequence[str] = (),
        request_id: str | None = None,
    ) -> Recommendation:
        """A slate for `unit`. A repeat with the same `request_id` is recorded once; a fresh id where it is missing."""
        body: dict[str, object] = {"unit": unit, "request_id": request_id or uuid.uuid4().hex}
        if context:
            body["context"] = context
        if k is not None:
            body["k"] = k
        if exclude:
            body["exclude"] = list(exclude)
        return parse_recommendation(self._transport.call("POST", "/v1/recommendations", body, is_repeatable=True))

    def send_events(self, events: Sequence[Event]) -> EventsReceipt:
        """How many of the events are durable now; sent in batches of up to 1,000."""
        accepted, rejected = 0, list[str]()
        for at in range(0, len(events), MAX_EVENTS):
            body = {"events": [event_document(event) for event in events[at : at + MAX_EVENTS]]}
            receipt = parse_receipt(self._transport.call("POST", "/v1/events", body, is_repeatable=True))
            accepted += receipt.accepted
            rejected += receipt.rejected
        return EventsReceipt(accepted=accepted, rejected=tuple(rejected))

    def flag(self, key: str, context: Mapping[str, Json]) -> Evaluation:
        """One parameter for the unit that the context calls `targetingKey`, evaluated by the service; records nothing.

        Raises NotFound for an unknown parameter, InvalidInput for a bad unit or context.
        """
        path = f"/ofrep/v1/evaluate/flags/{quote(key, safe='')}"
        return parse_evaluation(self._transport.call("POST", path, {"context": dict(context)}, is_repeatable=True))

    def send_exposures(self, exposures: Sequence[Document]) -> EventsReceipt:
        """How many of the exposures are durable now: {exposure_id, unit, experiment or parameter, variant?, time?}."""
        accepted, rejected = 0, list[str]()
        for at in range(0, len(exposures), MAX_EVENTS):
            body = {"exposures": list(exposures[at : at + MAX_EVENTS])}
            receipt = parse_receipt(self._transport.call("POST", "/v1/exposures", body, is_repeatable=True))
            accepted += receipt.accepted
            rejected += receipt.rejected
        return EventsReceipt(accepted=accepted, rejected=tuple(rejected))

    def put_items(self, items: Sequence[Mapping[str, object]]) -> int:
        """How many items were inserted or replaced: {key, title, published_at?, attributes?}."""
        stored = 0
        for at in range(0, len(items), _MAX_ITEMS):
            body = {"items": list(items[at : at + _MAX_ITEMS])}
            answer = as_document(self._transport.call("PUT", "/v1/admin/items", body, is_repeatable=True))
            stored += int(str(answer["stored"]))
        return stored

    def create_layer(self, layer: Document) -> Document:
        """The layer as it was stored."""
        return self._post("/v1/admin/layers", layer)

    def create_parameter(self, parameter: Document) -> Document:
        """The parameter as it was stored."""
        return self._post("/v1/admin/parameters", parameter)

    def create_experiment(self, experiment: Document) -> Document:
        """The draft as it was stored."""
        return self._post("/v1/admin/experiments", experiment)

    def move_experiment(self, key: str, move: str) -> Document:
        """The experiment after start, pause, resume, stop or archive."""
        return self._post(f"/v1/admin/experiments/{quote(key, safe='')}/{move}", {})

    def experiment(self, key: str) -> Document:
        """The experiment with its status and phases."""
        return self._get(f"/v1/admin/experiments/{quote(key, safe='')}")

    def report(self, key: str) -> Document:
        """The newest report of the experiment. Raises NotFound before the first."""
        return self._get(f"/v1/admin/experiments/{quote(key, safe='')}/report")

    def reports(self, key: str) -> Sequence[Document]:
        """Every report of the current phase, oldest first."""
        return as_documents(self._get(f"/v1/admin/experiments/{quote(key, safe='')}/reports")["reports"])

    def explain(self, unit: str, *, context: Mapping[str, Json] | None = None) -> Document:
        """Why `unit` gets what it gets, step by step; nothing is recorded."""
        body = {"unit": unit, "context": context or {}}
        return as_document(self._transport.call("POST", "/v1/admin/explain", body, is_repeatable=True))

    def request_training(
        self, kind: str, name: str, *, hyperparameters: Mapping[str, Json] | None = None, seed: int = 0
    ) -> Document:
        """The queued run; follow it with `training(run["id"])`."""
        body: Document = {"kind": kind, "name": name, "hyperparameters": hyperparameters or {}, "seed": seed}
        return self._post("/v1/admin/trainings", body)

    def training(self, run_id: str) -> Document:
        """How far a training is: status, progress 0..1, message, reference."""
        return self._get(f"/v1/admin/trainings/{quote(run_id, safe='')}")

    def models(self) -> Sequence[Document]:
        """Every published model version, newest first."""
        return as_documents(self._get("/v1/admin/models")["models"])

    def counts(self) -> Mapping[str, int]:
        """Rows of each fact, of the exposures, of the quarantine and of the inbox."""
        return {kind: int(str(count)) for kind, count in self._get("/v1/admin/record/counts").items()}

    def create_key(self, name: str, role: str) -> str:
        """A new key, which nobody can read again."""
        return str(self._post("/v1/admin/keys", {"name": name, "role": role})["key"])

    def close(self) -> None:
        """Closes the calling thread's connection."""
        self._transport.close()

    def _get(self, path: str) -> Document:
        return as_document(self._transport.call("GET", path, is_repeatable=True))

    def _post(self, path: str, body: Document) -> Document:
        return as_document(self._transport.call("POST", path, body))


def item_document(*, key: str, title: str, published_at: datetime, attributes: Mapping[str, Json]) -> dict[str, object]:
    """An item as PUT /v1/admin/items takes it."""
    return {"key": key, "title": title, "published_at": published_at, "attributes": attributes}
