"""Cross-origin requests: pages of the configured origins may call what serves and records, and nothing else.

No answer allows credentials: a page sends a key, never a cookie.
"""

from collections.abc import Collection, Mapping
from typing import Final

from flask import Flask, Response, request

ANY: Final = "*"
_SHARED: Final = ("/v1/recommendations", "/v1/events", "/v1/exposures")
_SHARED_BELOW: Final = "/ofrep/"
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, X-API-Key, X-Request-Id",
    "Access-Control-Max-Age": "7200",
}
_EXPOSED: Final = "Date, Retry-After, X-Request-Id"


def install_cors(app: Flask, origins: Collection[str]) -> None:
    """Answers preflights and marks answers for these origins, or for every one where they hold "*".

    Another origin gets no mark, which is how a browser is told no. Install it before what asks for a key: a preflight
    carries none.
    """

    @app.before_request
    def answer_preflight() -> Response | None:
        is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not is_preflight or not _is_shared(request.path):
            return None
        return Response(status=204, headers=_PREFLIGHT if _is_allowed(origins) else None)

    @app.after_request
    def mark(response: Response) -> Response:
        if not _is_shared(request.path):
            return response
        if ANY not in origins:
            response.vary.add("Origin")
        if _is_allowed(origins):
            response.headers["Access-Control-Allow-Origin"] = ANY if ANY in origins else request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        return response


def vary(origins: Collection[str]) -> Mapping[str, str]:
    """The header of every answer to a shared path: caches must know that the answer depends on the origin."""
    return {} if ANY in origins else {"Vary": "Origin"}


def _is_shared(path: str) -> bool:
    return path in _SHARED or path.startswith(_SHARED_BELOW)


def _is_allowed(origins: Collection[str]) -> bool:
    origin = request.headers.get("Origin")
    return origin is not None and (ANY in origins or origin in origins)
