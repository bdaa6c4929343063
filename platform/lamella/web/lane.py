"""A short way for the busiest requests: WSGI beside Flask.

Flask spends more on a request than assignment, recall and ranking together. The lane carries the plain form of a few
routes and calls the very functions that their Flask views call, with the same keys, limits and metrics. All else goes
to Flask: other routes and methods, browsers from elsewhere, odd bodies, and every failure, which Flask then renders.
"""

import io
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from flask import Flask, request

from lamella.services.keys import Keys, require
from lamella.web.auth import bearer
from lamella.web.telemetry import Telemetry, request_id_of

FAILED: Final = "lamella.failed"
"""Where the lane leaves its error for Flask."""

StartResponse = Callable[[str, list[tuple[str, str]]], object]
WsgiApplication = Callable[[dict[str, Any], Any], Iterable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One route of the lane: who may call it, how long its body may be, and what answers the body."""

    role: str
    most_bytes: int
    status: HTTPStatus
    answer: Callable[[bytes], bytes]


class Lane:
    """The WSGI application that answers `courses`, by path, itself and leaves the rest to `app`.

    `headers` go with every answer; `Vary` is said by those that depend on the origin elsewhere.
    """

    def __init__(
        self,
        app: WsgiApplication,
        courses: Mapping[str, Course],
        *,
        keys: Keys,
        telemetry: Telemetry,
        headers: Mapping[str, str],
    ) -> None:
        self._app, self._courses, self._keys, self._telemetry = app, courses, keys, telemetry
        self._headers = [("Content-Type", "application/json"), *headers.items()]
        # An int, not the member of an enumeration, whose hash is Python code.
        self._statuses = {
            path: (f"{one.status.value} {one.status.phrase}", one.status.value) for path, one in courses.items()
        }

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """The answer, from here or from Flask."""
        path = environ["PATH_INFO"]
        course = self._courses.get(path)
        if course is None or not _is_plain(environ, course.most_bytes):
            return self._app(environ, start_response)
        started = time.perf_counter()
        body: bytes | None = None
        try:
            # First of all: a stranger who sends slowly keeps no thread waiting.
            require(self._keys.verify(bearer(environ["HTTP_AUTHORIZATION"])), course.role)
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            answer = course.answer(body)
        except Exception as error:  # noqa: BLE001 - whatever it is, Flask renders it, counts it and logs it
            said = environ["wsgi.input"] if body is None else io.BytesIO(body)
            return self._app({**environ, FAILED: error, "wsgi.input": said}, start_response)
        request_id = request_id_of(environ.get("HTTP_X_REQUEST_ID", ""))
        sized = ("Content-Length", str(len(answer))), ("X-Request-Id", request_id)
        line, status = self._statuses[path]
        start_response(line, [*self._headers, *sized])
        seconds = time.perf_counter() - started
        self._telemetry.finish(request_id, method="POST", route=path, status=status, seconds=seconds)
        return (answer,)


def install_lane(app: Flask) -> None:
    """Makes the application render what failed in the lane; called after the telemetry and before all other hooks."""

    @app.before_request
    def take_over() -> None:
        failed: Exception | None = request.environ.get(FAILED)
        if failed is not None:
            raise failed


def _is_plain(environ: Mapping[str, Any], most_bytes: int) -> bool:
    """Whether the request has the form that programs send: a POST of declared JSON of a declared, allowed length."""
    length = environ.get("CONTENT_LENGTH") or ""
    return (
        environ["REQUEST_METHOD"] == "POST"
        and length.isdecimal()
        and int(length) <= most_bytes
        and environ.get("CONTENT_TYPE") == "application/json"
        and "HTTP_AUTHORIZATION" in environ
        and "HTTP_ORIGIN" not in environ
        and "HTTP_TRANSFER_ENCODING" not in environ
        and "HTTP_CONTENT_ENCODING" not in environ
        and not environ.get("QUERY_STRING")
    )
