"""Errors as the OpenFeature Remote Evaluation Protocol shapes them: key, errorCode, errorDetails, and our own code.

Everything under PREFIX answers so, whatever went wrong, because its clients read nothing else.
"""

from collections.abc import Mapping
from typing import Final

import orjson
from flask import Response, request

PREFIX: Final = "/ofrep/"
PARSE_ERROR: Final = "PARSE_ERROR"
TARGETING_KEY_MISSING: Final = "TARGETING_KEY_MISSING"
INVALID_CONTEXT: Final = "INVALID_CONTEXT"
FLAG_NOT_FOUND: Final = "FLAG_NOT_FOUND"
GENERAL: Final = "GENERAL"
_ERROR_CODES: Final[Mapping[str, str]] = {
    "invalid_input": INVALID_CONTEXT,
    "body_too_large": INVALID_CONTEXT,
    "unsupported_media_type": PARSE_ERROR,
}


class Refused(Exception):
    """An evaluation that the protocol has a word for."""

    def __init__(self, status: int, error_code: str, details: str) -> None:
        super().__init__(details)
        self.status, self.error_code, self.details = status, error_code, details


def refuse(error: Refused) -> Response:
    """The answer to a refused evaluation."""
    code = "not_found" if error.error_code == FLAG_NOT_FOUND else "invalid_input"
    return _answer(error.status, error.error_code, error.details, code, {})


def failure(status: int, code: str, detail: str, headers: Mapping[str, str]) -> Response:
    """The answer for an error of ours with this stable code."""
    return _answer(status, _ERROR_CODES.get(code, GENERAL), detail, code, headers)


def _answer(status: int, error_code: str, details: str, code: str, headers: Mapping[str, str]) -> Response:
    body: dict[str, str] = {"errorCode": error_code, "errorDetails": details, "code": code}
    key = (request.view_args or {}).get("key")
    if key is not None:
        body = {"key": key, **body}
    return Response(orjson.dumps(body), status=status, headers=dict(headers), content_type="application/json")
