"""The bodies of the hot path, read by hand: every fault in one answer, nothing coerced, nothing guessed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from lamella.errors import InvalidInput
from lamella.events.validation import shown
from lamella.experiments.fields import value_fault
from lamella.experiments.model import Json, UnitKind
from lamella.services.assigning import UnitsGiven, size_fault
from lamella.services.recommending import Wish

TEXT_LENGTH: Final = 256
LONGEST_TOKEN: Final = 2_000
MOST_ITEMS: Final = 100
MOST_NAMED: Final = 1_000
MOST_REQUESTS: Final = 100
MOST_EVENTS: Final = 1_000
_SHOWN: Final = 60

_WANTED: Final = frozenset({"unit", "context", "k", "exclude", "candidates", "request_id", "preview"})
_EXPLAINED: Final = frozenset({"unit", "units", "context", "preview"})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_WHOLE: Final = re.compile(r"[0-9]{1,9}")


def parse_wish(body: Mapping[str, object]) -> Wish:
    """What the body asks for. Raises InvalidInput that names every fault."""
    strange = () if body.keys() <= _WANTED else sorted(body.keys() - _WANTED)
    faults = [f"{name[:80]}: is not a known field" for name in strange]
    unit = parse_text("unit", body.get("unit"), faults)
    context = parse_context(body.get("context", {}), faults)
    k = _parse_k(body.get("k"), faults)
    exclude = _parse_items("exclude", body["exclude"], faults) if "exclude" in body else []
    among = body.get("candidates")
    candidates = None if among is None else tuple(_parse_items("candidates", among, faults))
    chosen = body.get("request_id")
    request_id = None if chosen is None else parse_text("request_id", chosen, faults)
    token = body.get("preview")
    preview = None if token is None else parse_text("preview", token, faults, most=LONGEST_TOKEN)
    if faults:
        raise InvalidInput(*faults)
    return Wish(
        unit=unit,
        context=context,
        k=k,
        exclude=frozenset(exclude),
        candidates=candidates,
        request_id=request_id,
        preview=preview,
        is_checked=True,
    )


def parse_query(query: Mapping[str, str]) -> Wish:
    """The same from a query string: `context` is a JSON object, `exclude` and `candidates` are parted by commas."""
    body: dict[str, object] = dict(query)
    faults: list[str] = []
    if "k" in query:
        body["k"] = int(query["k"]) if _WHOLE.fullmatch(query["k"]) else query["k"]
    for name in ("exclude", "candidates"):
        if name in query:
            body[name] = query[name].split(",")
    if "context" in query:
        try:
            body["context"] = orjson.loads(query["context"])
        except orjson.JSONDecodeError as error:
            faults.append(f'context: is not JSON ({error}); write it as {{"country":"CN"}}, URL-encoded')
    if faults:
        raise InvalidInput(*faults)
    return parse_wish(body)


def parse_wishes(body: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    """The requests of a batch, each still to be read. Raises InvalidInput if it is no batch at all."""
    found = parse_batch(body, "requests", most=MOST_REQUESTS)
    faults = [
        f"requests[{index}]: is {_shown(each)}; send an object"
        for index, each in enumerate(found)
        if not isinstance(each, dict)
    ]
    if faults:
        raise InvalidInput(*faults)
    return [each for each in found if isinstance(each, dict)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A parsed request for an explanation."""

    units: UnitsGiven
    context: Mapping[str, Json]
    preview: str | None = None


def parse_explained(body: Mapping[str, object]) -> Explained:
    """Whom to explain: `unit`, or `units` by kind. Raises InvalidInput that names every fault."""
    faults = [f"{name[:80]}: is not a known field" for name in sorted(body.keys() - _EXPLAINED)]
    units = _parse_units(body, faults)
    context = parse_context(body.get("context", {}), faults)
    token = body.get("preview")
    preview = None if token is None else parse_text("preview", token, faults, most=LONGEST_TOKEN)
    if faults:
        raise InvalidInput(*faults)
    return Explained(units=units, context=context, preview=preview)


def _parse_units(body: Mapping[str, object], faults: list[str]) -> UnitsGiven:
    named = body.get("units")
    if named is None:
        return parse_text("unit", body.get("unit"), faults)
    kinds = [kind.value for kind in UnitKind]
    if body.get("unit") is not None or not isinstance(named, dict) or not named or not named.keys() <= set(kinds):
        faults.append(f"units: send an object of {', '.join(kinds)}, or a user as unit")
        return ""
    return {kind: parse_text(f"units.{kind}", unit, faults) for kind, unit in named.items()}


def parse_text(name: str, text: object, faults: list[str], *, most: int = TEXT_LENGTH) -> str:
    """An identifier: 1 to `most` characters without control characters; empty after a fault was added."""
    if text is None:
        faults.append(f"{name}: is missing")
    elif not isinstance(text, str):
        faults.append(f"{name}: is {_shown(text)}; send text")
    elif not text:
        faults.append(f"{name}: is empty; send 1 to {most} characters")
    elif len(text) > most:
        faults.append(f"{name}: has {len(text)} characters; send at most {most}")
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
    fault = value_fault(context) or size_fault(context)
    if fault is not None:
        faults.append(f"context: {fault}")
        return {}
    return context


def parse_batch(body: Mapping[str, object], field: str = "events", *, most: int = MOST_EVENTS) -> Sequence[object]:
    """The events or exposures of a batch, each still to be read. Raises InvalidInput if it is no batch at all."""
    faults = [f"{name[:80]}: is not a known field" for name in sorted(body.keys() - {field})]
    events = body.get(field)
    if field not in body:
        faults.append(f"{field}: is missing")
    elif not isinstance(events, list):
        faults.append(f"{field}: is {_shown(events)}; send an array of {field}")
    elif not 1 <= len(events) <= most:
        faults.append(f"{field}: holds {len(events)}; send 1 to {most} at a time")
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


def _parse_items(name: str, found: object, faults: list[str]) -> list[str]:
    if not isinstance(found, list) or len(found) > MOST_NAMED:
        shown = f"holds {len(found)} items" if isinstance(found, list) else f"is {_shown(found)}"
        faults.append(f"{name}: {shown}; send an array of at most {MOST_NAMED} item keys")
        return []
    return [parse_text(f"{name}[{index}]", item, faults) for index, item in enumerate(found)]


def _shown(value: object) -> str:
    text = shown(value, most=_SHOWN + 1)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
