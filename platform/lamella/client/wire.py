"""What goes over the wire and what comes back, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lamella.errors import Unavailable
from lamella.events.contract import Click, Custom, Event, Interaction, Read
from lamella.experiments.flags import Evaluation
from lamella.experiments.model import Json

Document: TypeAlias = Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What one layer decided: the experiment's variant and phase, or none of them; `reason` says why."""

    layer: str
    reason: str
    experiment: str | None = None
    variant: str | None = None
    phase: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """A slate as it was served: item keys in rank order and everything that decided it."""

    request_id: str
    unit: str
    items: tuple[str, ...]
    assignments: tuple[Assignment, ...]
    parameters: Document
    snapshot: int
    fallbacks: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsReceipt:
    """How many events are durable, and for each of the others a sentence that begins with its id."""

    accepted: int
    rejected: tuple[str, ...]


def event_document(event: Event) -> dict[str, object]:
    """The event as POST /v1/events takes it."""
    document: dict[str, object] = {
        "event_id": event.event_id,
        "request_id": event.request_id,
        "unit": event.unit,
        "item": event.item,
        "time": event.time,
    }
    match event:
        case Custom():
            stated = {name: value for name, value in document.items() if value is not None}
            return {"kind": "custom", **stated, "name": event.name, "value": event.value}
        case Click():
            return {"kind": "click", **document}
        case Read():
            return {"kind": "read", **document, "read_seconds": event.read_seconds, "completion": event.completion}
        case Interaction():
            return {"kind": "interaction", **document, "action": event.action}


def parse_recommendation(answer: object) -> Recommendation:
    """The slate in an answer. Raises Unavailable if the answer is none: something else listens there."""
    try:
        document = as_document(answer)
        return Recommendation(
            request_id=str(document["request_id"]),
            unit=str(document["unit"]),
            items=tuple(str(each["item"]) for each in as_documents(document["items"])),
            assignments=tuple(_assignment(each) for each in as_documents(document.get("assignments", []))),
            parameters=as_document(document.get("parameters", {})),
            snapshot=int(str(document.get("snapshot", 0))),
            fallbacks={str(stage): str(why) for stage, why in as_document(document.get("fallbacks", {})).items()},
        )
    except (KeyError, ValueError) as error:
        raise Unavailable(f"the answer is not a recommendation ({error}); is this a lamella service?") from None


def parse_receipt(answer: object) -> EventsReceipt:
    """The receipt in an answer. Raises Unavailable if the answer is none."""
    try:
        document = as_document(answer)
        return EventsReceipt(
            # Repeats are durable too: a batch that was sent again after a time-out is a good one.
            accepted=int(str(document["accepted"])) + int(str(document.get("duplicate", 0))),
            rejected=tuple(
                f"{each.get('event_id', each.get('exposure_id'))}: {each.get('reason')}"
                for each in as_documents(document.get("rejected", []))
            ),
        )
    except (KeyError, ValueError) as error:
        raise Unavailable(f"the answer is not a receipt ({error}); is this a lamella service?") from None


def parse_evaluation(answer: object) -> Evaluation:
    """The flag in an OFREP answer. Raises Unavailable if the answer is none."""
    document = as_document(answer)
    try:
        metadata = as_document(document.get("metadata", {}))
        scalars = {name: value for name, value in metadata.items() if isinstance(value, (str, int, bool))}
        return Evaluation(
            str(document["key"]), document["value"], str(document["variant"]), str(document["reason"]), scalars
        )
    except KeyError as error:
        raise Unavailable(f"the answer is not a flag ({error} is missing); is this a lamella service?") from None


def as_document(answer: object) -> Document:
    """A JSON object. Raises Unavailable for anything else."""
    if not isinstance(answer, Mapping):
        raise Unavailable(f"expected a JSON object, found {str(answer)[:80]!r}; is this a lamella service?")
    return answer


def as_documents(answer: object) -> Sequence[Document]:
    """A JSON array of objects. Raises Unavailable for anything else."""
    if not isinstance(answer, Sequence) or isinstance(answer, str):
        raise Unavailable(f"expected a JSON array, found {str(answer)[:80]!r}; is this a lamella service?")
    return [as_document(each) for each in answer]


def _assignment(document: Document) -> Assignment:
    phase = document.get("phase")
    return Assignment(
        layer=str(document["layer"]),
        reason=str(document.get("reason", "")),
        experiment=_text(document.get("experiment")),
        variant=_text(document.get("variant")),
        phase=phase if isinstance(phase, int) else None,
    )


def _text(value: Json) -> str | None:
    return None if value is None else str(value)
