"""Cursor pagination: a page ends with the place of its last element, so that what is added later shifts nothing."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

import orjson

from lamella.errors import InvalidInput
from lamella.web.queries import PageQuery

T = TypeVar("T")


def page(found: Sequence[T], query: PageQuery, key: Callable[[T], str]) -> tuple[Sequence[T], str | None]:
    """The elements after the cursor, at most `limit`, and the cursor of the next page (None at the end).

    The cursor names the last element shown; where that was removed meanwhile, its position stands in.
    """
    begin = 0
    if query.cursor is not None:
        after, position = _place(query.cursor)
        keys = [key(each) for each in found]
        begin = keys.index(after) + 1 if after in keys else position
    shown = found[begin : begin + query.limit]
    end = begin + len(shown)
    return shown, _cursor([key(shown[-1]), end - 1]) if shown and end < len(found) else None


def before(query: PageQuery) -> int | None:
    """The number that the next page of a list by number, newest first, stays below."""
    if query.cursor is None:
        return None
    place = _decoded(query.cursor)
    if isinstance(place, int) and not isinstance(place, bool):
        return place
    raise _unusable(query.cursor)


def next_number(numbers: Sequence[int], query: PageQuery) -> str | None:
    """The cursor after a page of these numbers; None where the page was not full."""
    return _cursor(numbers[-1]) if len(numbers) == query.limit and numbers[-1] > 1 else None


def place_of(query: PageQuery) -> int:
    """How many elements the pages before this one have shown, for a list that is counted by position."""
    return before(query) or 0


def next_place(skipped: int, shown: int, query: PageQuery) -> str | None:
    """The cursor after a page of that many elements; None where the page was not full."""
    return _cursor(skipped + shown) if shown == query.limit else None


def _place(cursor: str) -> tuple[str, int]:
    place = _decoded(cursor)
    if isinstance(place, list) and len(place) == 2 and isinstance(place[0], str) and isinstance(place[1], int):
        return place[0], max(0, place[1])
    raise _unusable(cursor)


def _cursor(place: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def _decoded(cursor: str) -> object:
    try:
        return orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        raise _unusable(cursor) from None


def _unusable(cursor: str) -> InvalidInput:
    return InvalidInput(f"cursor: {cursor[:60]!r} is none of ours; send what next_cursor said, or leave it out")
