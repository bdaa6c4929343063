"""ETag and If-Match: a strong hash of one thing's document, so that nobody overwrites what they have not read."""

import hashlib
from collections.abc import Mapping

import orjson
from flask import request
from werkzeug.exceptions import PreconditionFailed

from lamella.experiments.model import Json


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
