"""The bodies of the hot path, read by hand: every fault in one answer, nothing coerced, nothing guessed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from lamella.errors import InvalidInput
from lamella.experiments.fields import value_fault
from lamella.experiments.model import Json

TEXT_LENGTH: Final = 256
CONTEXT_BYTES: Final = 64 * 1024
MOST_ITEMS: Final = 100
MOST_EXCLUDED: Final = 1_000
MOST_EVENTS: Final = 1_000

_WANTED: Final = frozenset({"unit", "context", "k", "exclude", "request_id", "preview"})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A parsed request for recommendations; `k` is None where the layers decide, `request_id` where we choose it."""

    unit: str
    context: Mapping[str, Json]
    k: int | None
    exclude: frozenset[str]
    request_id: str | None = None
    preview: str | None = None


def parse_wanted(body: Mapping[str, object]) -> Wanted:
    """What the body asks for. Raises InvalidInput that names every fault."""
    faults = [f"{name}: is not a known field" for name in sorted(body.keys() - _WANTED)]
    unit = parse_text("unit", body.get("unit"), faults)
    context = parse_context(body.get("context", {}), faults)
    k = _parse_k(body.get("k"), faults)
    exclude = _parse_exclude(body.get("exclude", []), faults)
    chosen = body.get("request_id")
    request_id = None if chosen is None else parse_text("request_id", chosen, faults)
    token = body.get("preview")
    preview = None if token is None else parse_text("preview", token, faults)
    if faults:
        raise InvalidInput(*faults)
    return Wanted(unit=unit, context=context, k=k, exclude=exclude, request_id=request_id, preview=preview)


def parse_text(name: str, text: object, faults: list[str]) -> str:
    """An identifier: 1 to 256 characters without control characters; empty after a fault was added."""
    if text is None:
        faults.append(f"{name}: is missing")
    elif not isinstance(text, str):
        faults.append(f"{name}: is {_shown(text)}; send text")
    elif not text:
        faults.append(f"{name}: is empty; send 1 to {TEXT_LENGTH} characters")
    elif len(text) > TEXT_LENGTH:
        faults.append(f"{name}: has {len(text)} characters; send at most {TEXT_LENGTH}")
    elif not text.isprintable() and _CONTROL.search(text):
        faults.append(f"{name}: {_shown(text)} has a control character; send printable text")
    else:
        return text
    return ""


def parse_context(context: object, faults: list[str]) -> Mapping[str, Json]:
    """The context, or an empty one after a fault was added."""
    if not isinstance(context, dict):
        faults.append(f"context: is {_shown(context)}; send an object of attributes")
        return {}
    fault = value_fault(context)
    if fault is not None:
        faults.append(f"context: {fault}")
        return {}
    size = len(orjson.dumps(context))
    if size > CONTEXT_BYTES:
        faults.append(f"context: has {size} bytes; send at most {CONTEXT_BYTES}")
        return {}
    return context


def parse_batch(body: Mapping[str, object], field: str = "events") -> Sequence[object]:
    """The events or exposures of a batch, each still to be read. Raises InvalidInput if it is no batch at all."""
    faults = [f"{name}: is not a known field" for name in sorted(body.keys() - {field})]
    events = body.get(field)
    if field not in body:
        faults.append(f"{field}: is missing")
    elif not isinstance(events, list):
        faults.append(f"{field}: is {_shown(events)}; send an array of {field}")
    elif not 1 <= len(events) <= MOST_EVENTS:
        faults.append(f"{field}: holds {len(events)}; send 1 to {MOST_EVENTS} at a time")
    if faults or not isinstance(events, list):
        raise InvalidInput(*faults)
    return events


def parse_events(body: Mapping[str, object]) -> tuple[Sequence[object], object]:
    """The events of a batch, each still to be read, and the caller's time of sending (None where it states none)."""
    return parse_batch({name: value for name, value in body.items() if name != "sent_at"}), body.get("sent_at")


def _parse_k(k: object, faults: list[str]) -> int | None:
    if k is None:
        return None
    if isinstance(k, int) and not isinstance(k, bool) and 1 <= k <= MOST_ITEMS:
        return k
    faults.append(f"k: is {_shown(k)}; send a whole number from 1 to {MOST_ITEMS}, or leave it out")
    return None


def _parse_exclude(found: object, faults: list[str]) -> frozenset[str]:
    if not isinstance(found, list) or len(found) > MOST_EXCLUDED:
        shown = f"holds {len(found)} items" if isinstance(found, list) else f"is {_shown(found)}"
        faults.append(f"exclude: {shown}; send an array of at most {MOST_EXCLUDED} item keys")
        return frozenset()
    return frozenset(parse_text(f"exclude[{index}]", item, faults) for index, item in enumerate(found))


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
