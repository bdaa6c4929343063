"""What differs between two JSON documents: the paths, with the value before and after."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lamella.experiments.model import Json


class _Missing:
    """Stands for a value that is not there, where None is a value."""


MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One value that differs; `path` is a JSON Pointer (RFC 6901).

    Elements of a list are matched by their `key` where they have one, else by position. `is_added` and `is_removed`
    tell a missing value from null.
    """

    path: str
    before: Json
    after: Json
    is_added: bool = False
    is_removed: bool = False


def differences(before: Json, after: Json) -> list[Difference]:
    """Every value that differs, in the order of the documents; empty for equal ones. 1, 1.0 and true differ.

    >>> [each.path for each in differences({"a": [1, 2], "b": 1}, {"a": [1, 3], "c": None})]
    ['/a/1', '/b', '/c']
    """
    return list(_walk("", before, after))


def _walk(path: str, before: object, after: object) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys((*before, *after)):
            yield from _walk(f"{path}/{_escaped(name)}", before.get(name, MISSING), after.get(name, MISSING))
    elif _is_list(before) and _is_list(after):
        yield from _walk_lists(path, list(before), list(after))  # type: ignore[call-overload]  # _is_list proved it
    elif before is MISSING or after is MISSING or not _equal(before, after):
        yield Difference(
            path=path,
            before=None if before is MISSING else before,  # type: ignore[arg-type]  # a value of the documents
            after=None if after is MISSING else after,  # type: ignore[arg-type]  # the same
            is_added=before is MISSING,
            is_removed=after is MISSING,
        )


def _walk_lists(path: str, before: list[object], after: list[object]) -> Iterator[Difference]:
    were, are = _by_name(before), _by_name(after)
    for name in dict.fromkeys((*were, *are)):
        yield from _walk(f"{path}/{_escaped(name)}", were.get(name, MISSING), are.get(name, MISSING))


def _by_name(found: list[object]) -> dict[str, object]:
    """The elements by key where each has one of its own, else by position."""
    keys = [each["key"] for each in found if isinstance(each, Mapping) and isinstance(each.get("key"), str)]
    is_keyed = len(keys) == len(found) == len(set(keys)) and bool(found)
    return dict(zip(keys if is_keyed else map(str, range(len(found))), found, strict=True))


def _equal(before: object, after: object) -> bool:
    return type(before) is type(after) and before == after


def _is_list(found: object) -> bool:
    return isinstance(found, Sequence) and not isinstance(found, (str, bytes))


def _escaped(name: str) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")
