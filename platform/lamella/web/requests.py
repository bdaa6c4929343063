"""Request bodies: JSON through orjson, with the place of a fault named, and the size that each route accepts."""

import json
from collections import deque
from collections.abc import Iterable, Mapping
from typing import IO, Any, Final, NoReturn

import orjson
from flask import Flask, Request, request
from flask.json.provider import JSONProvider
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from lamella.errors import InvalidInput
from lamella.experiments.fields import text_fault

DEFAULT_BYTES: Final = 8 * 1024 * 1024
_WRITES: Final = frozenset({"POST", "PUT", "PATCH"})
_NUL: Final = b"\\u0000"
_PLAIN: Final = "identity"


class OrjsonProvider(JSONProvider):
    """Flask's JSON through orjson: UTF-8 out, RFC 8259 in (no NaN, no lone surrogates)."""

    def dumps(self, obj: object, **kwargs: Any) -> str:  # noqa: ARG002 - Flask's signature
        """The object as JSON text."""
        return orjson.dumps(obj, option=orjson.OPT_SERIALIZE_NUMPY).decode("utf-8")

    def loads(self, s: str | bytes, **kwargs: Any) -> object:  # noqa: ARG002 - Flask's signature
        """What the JSON text says. Raises ValueError with line and column."""
        return orjson.loads(s)

    def dump(self, obj: object, fp: IO[str], **kwargs: Any) -> None:
        """Writes the object as JSON text."""
        fp.write(self.dumps(obj, **kwargs))


class JsonRequest(Request):
    """A request whose malformed body is refused with the position of the fault, and whose long one is refused."""

    def get_data(self, *args: Any, **kwargs: Any) -> Any:
        """The body. Raises RequestEntityTooLarge also where its length was not declared."""
        body = super().get_data(*args, **kwargs)
        limit = self.max_content_length
        # Werkzeug reads an undeclared body up to the limit and no further, without a word.
        if self.content_length is None and limit is not None and len(body) >= limit:
            raise RequestEntityTooLarge
        return body

    def get_json(self, *args: Any, **kwargs: Any) -> Any:
        """What the body says. Raises InvalidInput with the place of each text that not every store can keep."""
        found = super().get_json(*args, **kwargs)
        # JSON has one way to write a NUL, and no body comes this far with half of a surrogate pair.
        if _NUL in self.get_data() and (faults := _text_faults(found)):
            raise InvalidInput(*faults)
        return found

    def on_json_loading_failed(self, e: ValueError | None) -> NoReturn:
        """Raises InvalidInput."""
        raise InvalidInput(_malformed(self.get_data(), e))


def read_events(body: bytes) -> Mapping[str, object]:
    """As `read_object`, but a number that is none (NaN, Infinity) is left for its event alone to be refused."""
    try:
        return read_object(body)
    except InvalidInput:
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not isinstance(found.get("events"), list):
            raise
        return found


def read_object(body: bytes) -> Mapping[str, object]:
    """The JSON object in a body. Raises InvalidInput that says where it is malformed, or what it is instead."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(_malformed(body, error)) from None
    if not isinstance(found, dict):
        raise InvalidInput(f"the body is a JSON {_kind(found)}; send an object")
    return found


def install_requests(app: Flask, limits: Mapping[str, int]) -> None:
    """Sets the app's JSON up; `limits` maps an endpoint to the bytes that its body may have."""
    app.request_class = JsonRequest
    app.json = OrjsonProvider(app)
    app.config["MAX_CONTENT_LENGTH"] = DEFAULT_BYTES

    @app.before_request
    def check() -> None:
        if request.method not in _WRITES or request.endpoint is None:
            return
        request.max_content_length = limits.get(request.endpoint, DEFAULT_BYTES)
        has_body = bool(request.content_length) or "Transfer-Encoding" in request.headers
        if has_body and (is_encoded() or request.mimetype not in media_types(request.endpoint)):
            raise UnsupportedMediaType


def is_encoded() -> bool:
    """Whether the body is declared as compressed: a short one could become gigabytes, so none is unpacked."""
    return request.headers.get("Content-Encoding", _PLAIN).strip().lower() not in ("", _PLAIN)


def media_types(endpoint: str) -> tuple[str, ...]:
    """What the bodies of an endpoint may be.

    Forms come from the pages and with uploads, YAML is for the whole configuration, plain text is what a beacon sends.
    """
    if endpoint.startswith("pages."):
        return ("application/x-www-form-urlencoded",)
    if endpoint == "uploads.upload_model":
        return ("multipart/form-data",)
    if endpoint == "serving.take_events":
        return ("application/json", "text/plain")
    if endpoint == "whole.put_configuration":
        return ("application/json", "application/yaml", "application/x-yaml", "text/yaml")
    return ("application/json",)


def _text_faults(body: object) -> list[str]:
    """A sentence for each text, names of fields included, that not every store can keep, with its place."""
    faults, left = list[str](), deque[tuple[str, object]]([("", body)])
    while left:
        place, value = left.popleft()
        parts: Iterable[tuple[object, object]] = ()
        if isinstance(value, str):
            fault = text_fault(value)
            faults += [f"{place or 'body'}: {fault}"] if fault else []
        elif isinstance(value, dict):
            parts = value.items()
            names = ((name, text_fault(name)) for name in value)
            faults += [f"{place or 'body'}: the name {name!r:.80} {fault}" for name, fault in names if fault]
        elif isinstance(value, list):
            parts = enumerate(value)
        left += [(f"{place}.{name}" if place else str(name), each) for name, each in parts]
    return faults


def _malformed(body: bytes, error: ValueError | None) -> str:
    if not body:
        return "the body is empty; send a JSON object"
    return f"the body is not JSON: {error}"


def _kind(found: object) -> str:
    names = {list: "array", str: "string", int: "number", float: "number", bool: "boolean"}
    return names.get(type(found), "null")
