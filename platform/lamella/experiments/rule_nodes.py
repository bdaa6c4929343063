"""The closures that a compiled rule is made of: each maps the data in scope to a value, or to Unknown."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from lamella.experiments.coercion import number, text, truth
from lamella.experiments.model import Json


class Unknown:
    """What stands for an attribute that the context lacks; `name` is how the rule calls it."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


Value: TypeAlias = "Json | Unknown"
Node: TypeAlias = Callable[[Json], Value]
_WHOLE: Final = (None, "")


def literal(value: Json) -> Node:
    """A node that always gives `value`."""
    return lambda _: value


def attribute(name: str, default: Node | None) -> Node:
    """A node that reads the attribute at the dotted path `name`; unknown where absent or null, without a default."""
    unknown = Unknown(name)
    parts = name.split(".")

    def read_one(scope: Json) -> Value:
        found = scope.get(name) if type(scope) is dict else look_up(scope, name)
        return unknown if found is None else found

    def read_path(scope: Json) -> Value:
        found = follow(scope, parts)
        if found is None:
            return unknown if default is None else default(scope)
        return found

    return read_one if default is None and len(parts) == 1 else read_path


def computed_attribute(name: Node, default: Node | None) -> Node:
    """A node that reads the attribute whose name it computes, or the whole scope for null and empty text."""

    def read(scope: Json) -> Value:
        wanted = name(scope)
        if isinstance(wanted, Unknown):
            return wanted
        found = look_up(scope, wanted)
        if found is None:
            return Unknown(text(wanted)) if default is None else default(scope)
        return found

    return read


def look_up(scope: Json, name: Json) -> Json:
    """What `scope` holds under a dotted path or an index; the scope itself for null or "", None where nothing."""
    if name in _WHOLE:
        return scope
    if not isinstance(name, (int, float)):
        return follow(scope, text(name).split("."))
    if not isinstance(scope, (list, tuple, str)) or (isinstance(name, float) and not name.is_integer()):
        return None
    return scope[int(name)] if 0 <= name < len(scope) else None


def follow(scope: Json, parts: Sequence[str]) -> Json:
    """What lies at the end of the path, or None; lists and text are indexed, and have a `length`."""
    for part in parts:
        if isinstance(scope, Mapping):
            scope = scope.get(part)
        elif isinstance(scope, (list, tuple, str)):
            if part == "length":
                return len(scope)
            if not (part.isascii() and part.isdigit() and part == str(int(part)) and int(part) < len(scope)):
                return None
            scope = scope[int(part)]
        else:
            return None
    return scope


def listing(parts: Sequence[Node]) -> Node:
    """A node that gives the list of what `parts` give; unknown where one of them is."""

    def build(scope: Json) -> Value:
        values: list[Json] = []
        for part in parts:
            value = part(scope)
            if isinstance(value, Unknown):
                return value
            values.append(value)
        return values

    return build


def call(function: Callable[..., Json], parts: Sequence[Node]) -> Node:
    """A node that applies `function` to what `parts` give; unknown where one of them is."""
    if len(parts) == 2:
        return _call_two(function, *parts)

    def run(scope: Json) -> Value:
        values: list[Json] = []
        for part in parts:
            value = part(scope)
            if isinstance(value, Unknown):
                return value
            values.append(value)
        return function(*values)

    return run


def _call_two(function: Callable[..., Json], left: Node, right: Node) -> Node:
    def run(scope: Json) -> Value:
        first = left(scope)
        if type(first) is Unknown:
            return first
        second = right(scope)
        return second if type(second) is Unknown else function(first, second)

    return run


def junction(parts: Sequence[Node], *, stops_at: bool) -> Node:
    """A node for `and` (stops at false) or `or` (stops at true): the first part that decides, whatever is unknown."""

    def run(scope: Json) -> Value:
        unknown: Unknown | None = None
        value: Json = None
        for part in parts:
            found = part(scope)
            if isinstance(found, Unknown):
                unknown = unknown or found
            else:
                value = found
                if truth(found) is stops_at:
                    return found
        return value if unknown is None else unknown

    return run


def choice(parts: Sequence[Node]) -> Node:
    """A node for `if`: condition, value, condition, value, …, otherwise; null where nothing holds."""

    def run(scope: Json) -> Value:
        for i in range(0, len(parts) - 1, 2):
            condition = parts[i](scope)
            if isinstance(condition, Unknown):
                return condition
            if truth(condition):
                return parts[i + 1](scope)
        return parts[-1](scope) if len(parts) % 2 else None

    return run


def missing(names: Node) -> Node:
    """A node for `missing`: those of the names that hold nothing."""

    def run(scope: Json) -> Value:
        wanted = names(scope)
        if isinstance(wanted, Unknown):
            return wanted
        listed = _as_list(wanted)
        first = listed[0] if listed else None
        return _absent(scope, first if isinstance(first, (list, tuple)) else listed)

    return run


def missing_some(needed: Node, names: Node) -> Node:
    """A node for `missing_some`: nothing once `needed` of the names hold something, else those that do not."""

    def run(scope: Json) -> Value:
        least, wanted = needed(scope), names(scope)
        if isinstance(least, Unknown):
            return least
        if isinstance(wanted, Unknown):
            return wanted
        listed = _as_list(wanted)
        absent = _absent(scope, listed)
        return [] if len(listed) - len(absent) >= number(least) else absent

    return run


def _as_list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, (list, tuple)) else []


def _absent(scope: Json, names: Sequence[Json]) -> list[Json]:
    return [name for name in names if look_up(scope, name) in _WHOLE]


def each(kind: str, items: Node, body: Node) -> Node:
    """A node for `all`, `some`, `none`, `filter` or `map`: `body` runs with each item as its scope."""
    finish = {"all": _all, "some": _some, "none": _none, "filter": _filter, "map": _map}[kind]

    def run(scope: Json) -> Value:
        found = items(scope)
        if isinstance(found, Unknown):
            return found
        return finish(_as_list(found), body)

    return run


def _all(items: Sequence[Json], body: Node) -> Value:
    unknown: Unknown | None = None
    for item in items:
        found = body(item)
        if isinstance(found, Unknown):
            unknown = unknown or found
        elif not truth(found):
            return False
    return bool(items) if unknown is None else unknown


def _some(items: Sequence[Json], body: Node) -> Value:
    unknown: Unknown | None = None
    for item in items:
        found = body(item)
        if isinstance(found, Unknown):
            unknown = unknown or found
        elif truth(found):
            return True
    return False if unknown is None else unknown


def _none(items: Sequence[Json], body: Node) -> Value:
    found = _some(items, body)
    return found if isinstance(found, Unknown) else not found


def _filter(items: Sequence[Json], body: Node) -> Value:
    kept: list[Json] = []
    for item in items:
        found = body(item)
        if isinstance(found, Unknown):
            return found
        if truth(found):
            kept.append(item)
    return kept


def _map(items: Sequence[Json], body: Node) -> Value:
    made: list[Json] = []
    for item in items:
        found = body(item)
        if isinstance(found, Unknown):
            return found
        made.append(found)
    return made


def fold(items: Node, body: Node, start: Json) -> Node:
    """A node for `reduce`: `body` sees `current` and `accumulator`, which begins as `start`."""

    def run(scope: Json) -> Value:
        found = items(scope)
        if isinstance(found, Unknown):
            return found
        accumulator = start
        for item in _as_list(found):
            made = body({"current": item, "accumulator": accumulator})
            if isinstance(made, Unknown):
                return made
            accumulator = made
        return accumulator

    return run
