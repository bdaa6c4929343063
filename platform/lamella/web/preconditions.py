"""ETag and If-Match: a strong hash of one thing's document, so that nobody overwrites what they have not read."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import orjson
from flask import request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import PreconditionFailed

from lamella.errors import ConfigurationMoved
from lamella.experiments.model import Configuration, Json
from lamella.web.auth import principal
from lamella.web.wiring import refresh_snapshot, services

T = TypeVar("T")
Look = Callable[[Configuration], Mapping[str, Json]]

_TRIES: Final = 4


def etag_of(document: Mapping[str, Json]) -> str:
    """The entity tag of a document, without quotes: the same for equal documents, whatever their order of keys."""
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def check_if_match(document: Mapping[str, Json]) -> None:
    """Returns where the request has no If-Match or names this document. Raises PreconditionFailed (412)."""
    if request.if_match and not request.if_match.contains(etag_of(document)):
        raise PreconditionFailed


def tagged(document: Mapping[str, Json]) -> dict[str, str]:
    """The headers of an answer that shows this document."""
    return {"ETag": f'"{etag_of(document)}"'}


def shown(document: Mapping[str, Json], status: int = 200) -> ResponseReturnValue:
    """The answer that shows the document, with its ETag."""
    return dict(document), status, tagged(document)


def changed(change: Callable[..., T], look: Look) -> T:
    """What `change(author=…, expected=…)` gives, made only while `look` shows what If-Match names.

    A change elsewhere in the configuration is no reason to refuse: the comparison is made again.
    """
    for tries_left in reversed(range(_TRIES)):
        expected = None
        if request.if_match:
            seen = services().configuration.load()
            check_if_match(look(seen))
            expected = seen.version
        try:
            after = change(author=principal().name, expected=expected)
        except ConfigurationMoved:
            if expected is None or not tries_left:
                raise
        else:
            refresh_snapshot()
            return after
    raise AssertionError("unreachable: the last try returns or raises")  # pragma: no cover
