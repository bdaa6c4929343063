"""Reads JSON objects field by field and collects what is wrong, so that one answer names every fault."""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TypeVar

from lamella.experiments.model import Json

DEEPEST: Final = 32
E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")


def text_fault(text: str) -> str | None:
    """Why `text` cannot be stored everywhere (a NUL, half of a surrogate pair), or None if it can."""
    if "\0" in text:
        return "holds a NUL character; take it out"
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, so it is not valid Unicode; send proper UTF-8"
    return None


def value_fault(value: object, *, deepest: int = DEEPEST) -> str | None:
    """Why `value` is no JSON value that every store keeps exactly, or None if it is one."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return text_fault(value)
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else f"{value} does not fit into 64 bits; send it as a string"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value} is no JSON number; send a finite one or null"
    if isinstance(value, (dict, list, Mapping, Sequence)) and not isinstance(value, (bytes, bytearray)):
        return _container_fault(value, deepest)
    return f"a {type(value).__name__} is no JSON value; send text, a number, true, false, null, a list or an object"


def _container_fault(value: Mapping[object, object] | Sequence[object], deepest: int) -> str | None:
    if not deepest:
        return f"is nested more than {DEEPEST} levels deep; make it flatter"
    if isinstance(value, (dict, Mapping)):
        for key in value:
            if not isinstance(key, str):
                return "has a key that is no text; JSON keys are text"
        inner: Sequence[object] = [*value.keys(), *value.values()]
    else:
        inner = value
    for part in inner:
        if fault := value_fault(part, deepest=deepest - 1):
            return fault
    return None


def plain(value: Json) -> Json:
    """A copy of `value` out of dicts and lists only, sharing nothing with it."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(part) for part in value]
    return value


def kind_of(value: object) -> str:
    """The JSON word for the type of `value`, with its article, for messages."""
    words = {bool: "a boolean", int: "an integer", float: "a number", str: "text", type(None): "null"}
    return words.get(type(value)) or ("an object" if isinstance(value, Mapping) else "a list")


class Fields:
    """The fields of one JSON object. Each method takes one; a wrong one is added to `faults` and stood in for.

    The values returned are only good if `faults` is still empty after `end`. `where` begins every sentence. One that
    `is_broken` is no object: that is said already, and its fields are not asked for.
    """

    def __init__(self, document: object, where: str, faults: list[str]) -> None:
        self.where, self.faults = where, faults
        self._taken: list[str] = []
        self._left: dict[str, object] = {}
        if not isinstance(document, Mapping):
            faults.append(f"{where} is {kind_of(document)}; send an object")
            self.is_broken = True
            return
        self.is_broken = False
        self._left = {str(key): value for key, value in document.items()}

    def end(self) -> None:
        """Nothing; adds a fault for each field that nobody took."""
        for key in self._left:
            close = difflib.get_close_matches(key, self._taken, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(self._taken)}"
            self.faults.append(f"{self.where} has an unknown field {key!r}; {hint}")

    def _take(self, key: str, wanted: str, accepts: Callable[[object], bool], default: T | None, stand_in: T) -> object:
        self._taken.append(key)
        if key not in self._left:
            if default is None and not self.is_broken:
                self.faults.append(f"{self.where} lacks {key!r}; add {wanted}")
            return stand_in if default is None else default
        value = self._left.pop(key)
        if accepts(value):
            return value
        self.faults.append(f"{self.where}: {key!r} is {kind_of(value)}; it must be {wanted}")
        return stand_in

    def text(self, key: str, default: str | None = None) -> str:
        """The text of field `key`; `default` where it is missing, required where that is None."""
        value = str(self._take(key, "text", lambda found: isinstance(found, str), default, ""))
        if fault := text_fault(value):
            self.faults.append(f"{self.where}: {key!r} {fault}")
        return value

    def optional_text(self, key: str) -> str | None:
        """The text of field `key`, or None where it is null or missing."""
        return None if self.is_null(key) else self.text(key)

    def integer(self, key: str, default: int | None = None) -> int:
        """The integer of field `key`; a float such as 3.0 counts as one, a boolean does not."""
        value = self._take(key, "an integer", _is_integer, default, 0)
        return int(value) if isinstance(value, (int, float)) else 0

    def optional_integer(self, key: str, default: int | None) -> int | None:
        """The integer of field `key`, or None where it is null; `default` where it is missing."""
        if (key in self._left or default is None) and self.is_null(key):
            return None
        return self.integer(key, default)

    def number(self, key: str, default: float | None = None) -> float:
        """The number of field `key`, finite, as a float."""
        value = self._take(key, "a finite number", _is_number, default, 0.0)
        return float(value) if isinstance(value, (int, float)) else 0.0

    def boolean(self, key: str, default: bool | None = None) -> bool:  # noqa: FBT001 - a default, not a switch
        """The boolean of field `key`."""
        return self._take(key, "true or false", lambda found: isinstance(found, bool), default, stand_in=False) is True

    def choice(self, key: str, choices: type[E], default: E | None = None) -> E:
        """The member of `choices` that field `key` names."""
        wanted = "one of " + ", ".join(choices)
        known = frozenset(member.value for member in choices)
        value = self._take(key, wanted, lambda found: isinstance(found, str), default, next(iter(choices)))
        if value not in known:
            self.faults.append(f"{self.where}: {key!r} is {value!r}; it must be {wanted}")
            return next(iter(choices))
        return choices(value)

    def time(self, key: str) -> datetime:
        """The moment of field `key`, in UTC; ISO 8601 with an offset."""
        wanted = "a time such as 2026-01-31T12:00:00Z"
        found = self._take(key, wanted, lambda found: isinstance(found, str), None, stand_in="1970-01-01T00:00:00Z")
        return self._parse_time(key, str(found))

    def optional_time(self, key: str) -> datetime | None:
        """The moment of field `key`, or None where it is null or missing."""
        return None if self.is_null(key) else self.time(key)

    def _parse_time(self, key: str, value: str) -> datetime:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.faults.append(f"{self.where}: {key!r} is {value!r}; send a time with its offset: 2026-01-31T12:00:00Z")
            return datetime.fromtimestamp(0, UTC)
        return moment.astimezone(UTC)

    def value(self, key: str, *, required: bool = True) -> Json:
        """Whatever JSON field `key` holds, copied; None where it is null, or missing and not `required`."""
        if not required and self.is_null(key):
            return None
        found = self._take(key, "any JSON value", lambda _: True, None, None)
        if fault := value_fault(found):
            self.faults.append(f"{self.where}: {key!r} {fault}")
            return None
        return plain(found)  # type: ignore[arg-type]  # value_fault proved it

    def inner(self, key: str) -> "Fields":
        """The fields of the object of field `key`; the caller ends them."""
        found = self._take(key, "an object", _is_object, None, None)
        inner = Fields(found or {}, f"{self.where}: {key}", self.faults)
        inner.is_broken = found is None
        return inner

    def mapping(self, key: str) -> dict[str, Json]:
        """The object of field `key`, copied; empty where it is missing."""
        empty: Mapping[str, Json] = {}
        found = self._take(key, "an object", _is_object, empty, empty)
        if fault := value_fault(found):
            self.faults.append(f"{self.where}: {key!r} {fault}")
        elif isinstance(found, Mapping):
            return {name: plain(value) for name, value in found.items()}
        return {}

    def names(self) -> Sequence[str]:
        """The names of the fields that nobody took yet."""
        return tuple(self._left)

    def items(self, key: str, *, required: bool = False) -> Sequence[object]:
        """The list of field `key`; empty where it is missing and not `required`."""
        default: Sequence[object] | None = None if required else ()
        found = self._take(key, "a list", _is_list, default, ())
        return found if isinstance(found, Sequence) else ()

    def is_null(self, key: str) -> bool:
        """Whether field `key` is null or missing; it is then taken."""
        if self._left.get(key) is not None:
            return False
        self._left.pop(key, None)
        self._taken.append(key)
        return True


def _is_object(found: object) -> bool:
    return isinstance(found, Mapping)


def _is_list(found: object) -> bool:
    return isinstance(found, Sequence) and not isinstance(found, (str, bytes, bytearray))


def _is_integer(found: object) -> bool:
    if isinstance(found, float):
        return found.is_integer() and abs(found) < 2**53
    return isinstance(found, int) and not isinstance(found, bool) and -(2**63) <= found < 2**63


def _is_number(found: object) -> bool:
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return False
    return math.isfinite(found) if isinstance(found, float) else -(2**63) <= found < 2**63
