"""Entity tags: strong ones over the bytes of an answer, and whether the caller has that answer already."""

import hashlib

from flask import Response, request


def entity_tag(*parts: bytes) -> str:
    """A strong tag, without its quotes, over all of the parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:40]


def tagged(body: bytes, tag: str) -> Response:
    """The JSON answer with its tag, or 304 without a body where If-None-Match names the tag."""
    if request.if_none_match.contains_weak(tag):
        response = Response(status=304)
        response.headers.pop("Content-Type", None)
    else:
        response = Response(body, content_type="application/json")
    response.set_etag(tag)
    response.headers["Cache-Control"] = "private, no-cache"
    return response
