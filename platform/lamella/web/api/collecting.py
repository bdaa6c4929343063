"""The script that records what readers see in their browsers: one file, served with an ETag to every origin.

It sends events as `navigator.sendBeacon` does, to the same POST /v1/events: a text/plain body, and the key of a
collector in the query.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from apiflask import APIBlueprint
from flask import Response, request
from flask.typing import ResponseReturnValue

from lamella.web.auth import PUBLIC, needs

blueprint = APIBlueprint("collecting", __name__, url_prefix="/v1", tag="Serving")

SCRIPT: Final = Path(__file__).parents[1] / "ui" / "static" / "lamella.js"
_HEADERS: Final = {
    "Cache-Control": "public, max-age=3600",
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


@blueprint.get("/lamella.js")
@blueprint.doc(responses={200: "The script", 304: "The one that If-None-Match names is the newest"})
@needs(PUBLIC)
def script() -> ResponseReturnValue:
    """The browser's script: visible items, reads, clicks and interactions as events."""
    content, tag = _script()
    response = Response(content, headers=_HEADERS, content_type="text/javascript; charset=utf-8")
    response.set_etag(tag)
    return response.make_conditional(request)


@cache
def _script() -> tuple[bytes, str]:
    content = SCRIPT.read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:32]
