"""Every error as application/problem+json (RFC 9457): one table from error classes to statuses, one renderer.

`code` is stable and is what a program should look at; `type` leads to the code's line on the page /docs.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

import orjson
import structlog
from apiflask import APIFlask
from apiflask.exceptions import HTTPError
from flask import Response, g, request
from pydantic import ValidationError
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException

from lamella import errors
from lamella.web import ofrep_errors
from lamella.web.requests import is_encoded, media_types

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 2
"""What Retry-After says when something outside this process does not answer."""

STATUSES: Final[Mapping[type[errors.LamellaError], HTTPStatus]] = {
    errors.InvalidInput: HTTPStatus.BAD_REQUEST,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.IdempotencyMismatch: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.TrainingFault: HTTPStatus.CONFLICT,
    errors.ArchiveCorrupt: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.Overloaded: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ModelFault: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The status of a class holds for its subclasses; any other error of ours is a 500."""

HTTP_CODES: Final[Mapping[int, str]] = {
    400: "invalid_input",
    404: "no_such_route",
    405: "method_not_allowed",
    412: "precondition_failed",
    413: "body_too_large",
    415: "unsupported_media_type",
    500: "internal_error",
}
"""The codes of what the HTTP layer itself refuses."""

TITLES: Final[Mapping[str, str]] = {
    "invalid_input": "The input breaks its contract",
    "configuration_invalid": "The change breaks a law of the configuration",
    "buckets_taken": "Another running experiment holds the buckets",
    "invalid_rule": "The targeting rule cannot be compiled",
    "unauthenticated": "No usable key",
    "forbidden": "The key's role does not reach this far",
    "not_found": "There is no such thing",
    "no_such_route": "There is no such route",
    "method_not_allowed": "The route does not know this method",
    "conflict": "It exists already, or moved meanwhile",
    "illegal_transition": "The lifecycle does not allow this move",
    "idempotency_mismatch": "The Idempotency-Key belongs to another request",
    "idempotency_in_progress": "The same request is at work",
    "in_use": "Something still needs it",
    "configuration_moved": "Somebody else changed the configuration first",
    "precondition_failed": "The thing is not in the state that If-Match names",
    "body_too_large": "The body is too large",
    "unsupported_media_type": "The body is declared as something that is not read here",
    "overloaded": "A bounded buffer is full",
    "rate_limited": "The key has used up its requests for now",
    "unavailable": "Something that lamella needs does not answer",
    "store_unavailable": "The store does not answer",
    "store_not_migrated": "The store's schema is not the one this version needs",
    "broker_unavailable": "The broker does not answer",
    "port_in_use": "The port is in use",
    "model_fault": "A model cannot be used",
    "model_corrupt": "A model's files are corrupt",
    "model_failed": "A model failed",
    "archive_corrupt": "A file of the archive is not what the store recorded",
    "training_fault": "There is nothing to learn from",
    "internal_error": "The service failed",
}


def install_problems(app: APIFlask) -> None:
    """Makes the app answer every error, its own, ours or unexpected, with a problem."""
    app.error_processor(_http_problem)
    app.register_error_handler(errors.LamellaError, _lamella_problem)
    app.register_error_handler(Exception, _unexpected_problem)


def render(
    status: int, code: str, detail: str, *, faults: Sequence[str] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """A response whose body is {type, title, status, detail, code, instance} and, where there are several, faults.

    What speaks OFREP gets that protocol's shape instead.
    """
    if request.path.startswith(ofrep_errors.PREFIX):
        g.problem = code
        return ofrep_errors.failure(status, code, detail, headers or {})
    body = {**_problem(status, code, detail, faults), "instance": request.path}
    g.problem = code
    return Response(orjson.dumps(body), status=status, headers=dict(headers or {}), content_type=MEDIA_TYPE)


def document_of(error: errors.LamellaError) -> dict[str, object]:
    """The problem that the error is, for an answer that holds several."""
    faults = error.faults if isinstance(error, errors.InvalidInput) else ()
    return _problem(status_of(error), error.code, str(error), faults)


def _problem(status: int, code: str, detail: str, faults: Sequence[str]) -> dict[str, object]:
    body: dict[str, object] = {
        "type": f"/docs#{code}",
        "title": TITLES.get(code, HTTPStatus(status).phrase),
        "status": int(status),
        "detail": detail,
        "code": code,
    }
    return {**body, "faults": list(faults)} if faults else body


def status_of(error: errors.LamellaError) -> HTTPStatus:
    """The HTTP status that the error's class, or the nearest class above it, has in the table."""
    for each in type(error).__mro__:
        if each in STATUSES:
            return STATUSES[each]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _lamella_problem(error: errors.LamellaError) -> Response:
    status = status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unexpected(error)
    if status > HTTPStatus.INTERNAL_SERVER_ERROR:
        structlog.get_logger("lamella.web").warning("problem", code=error.code, detail=str(error), request=g.request)
    faults = error.faults if isinstance(error, errors.InvalidInput) else ()
    return render(status, error.code, str(error), faults=faults, headers=_headers(error, status))


def _headers(error: errors.LamellaError, status: HTTPStatus) -> dict[str, str]:
    if isinstance(error, errors.Overloaded):
        return {"Retry-After": str(error.retry_after_seconds)}
    if isinstance(error, errors.IdempotencyInProgress):
        return {"Retry-After": "1"}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": str(RETRY_SECONDS)}
    if status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Bearer realm="lamella"'}
    return {}


def sentences(error: ValidationError) -> list[str]:
    """A sentence for each fault that pydantic found."""
    return [_sentence([str(part) for part in each["loc"]], each["msg"], each["input"]) for each in error.errors()]


def _http_problem(error: HTTPError) -> Response:
    """What the framework refuses. `error.__cause__` holds pydantic's findings where a body broke its model."""
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        faults = sentences(cause)
        return render(error.status_code, errors.InvalidInput.code, "; ".join(faults), faults=faults)
    code = HTTP_CODES.get(error.status_code, "invalid_input" if error.status_code < 500 else "internal_error")
    kept = {name: value for name, value in Headers(error.headers).items() if name in ("Allow", "Retry-After")}
    if error.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE and is_encoded():
        kept["Accept-Encoding"] = "identity"  # RFC 9110, 15.5.16
    return render(error.status_code, code, _detail(error.status_code, error.message or ""), headers=kept)


def _detail(status: int, message: str) -> str:
    if status == HTTPStatus.NOT_FOUND:
        return f"no route {request.path!r}; /docs lists them all"
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{request.path!r} does not know {request.method}; the header Allow names what it knows"
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return f"the body is larger than {request.max_content_length} bytes; send less at a time"
    if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        return _unread()
    if status == HTTPStatus.PRECONDITION_FAILED:
        return f"{request.path!r} is not what If-Match names; read it again and retry"
    return message


def _unread() -> str:
    if is_encoded():
        return f"the body is declared as {request.headers['Content-Encoding'][:80]!r}; send it as it is, not compressed"
    wanted = " or ".join(media_types(request.endpoint or ""))
    return f"the body is declared as {request.mimetype or 'nothing'!r}; send Content-Type: {wanted}"


def _sentence(path: Sequence[str], message: str, value: object) -> str:
    where = ".".join(path) or "body"
    reason = message.removeprefix("Value error, ")
    if message in ("Field required", "Extra inputs are not permitted"):
        return f"{where}: {'is missing' if message == 'Field required' else 'is not a known field'}"
    shown = repr(value)
    return f"{where}: {reason} (found {shown if len(shown) <= 80 else shown[:77] + '...'})"


def _unexpected_problem(error: Exception) -> Response | HTTPException:
    return error if isinstance(error, HTTPException) else _unexpected(error)


def _unexpected(error: Exception) -> Response:
    """A 500 that tells nothing about our insides; the log has the traceback under the same request id."""
    structlog.get_logger("lamella.web").error("unexpected", request=g.request, exc_info=error)
    detail = f"the service failed on request {g.request}; its log says why"
    return render(HTTPStatus.INTERNAL_SERVER_ERROR, HTTP_CODES[500], detail)
