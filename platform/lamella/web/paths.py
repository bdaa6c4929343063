"""Texts in addresses: a unit may begin with a slash or be one, and must not become another on its way."""

from urllib.parse import unquote_to_bytes

from flask import Flask, request
from werkzeug.routing import BaseConverter

from lamella.errors import InvalidInput
from lamella.experiments.fields import text_fault


class Text(BaseConverter):
    """Any text, slashes included, wherever they stand."""

    regex = ".+?"
    part_isolating = False


def install_paths(app: Flask) -> None:
    """Makes `<text:name>` known to routes that are added from now on, and takes every path as it was sent.

    Flask would send whoever asks for `/units//x` to `/units/x`, which is another unit.
    """
    app.url_map.merge_slashes = False
    app.url_map.converters["text"] = Text


def install_addresses(app: Flask) -> None:
    """Refuses addresses that hold a NUL, which no store of ours can look for, or that are not UTF-8.

    Bytes that are no text all read as the same replacement character: what is asked about one would be answered about
    another. Install it before what writes a row about the request.
    """

    @app.before_request
    def check() -> None:
        sent = {"path": request.environ["PATH_INFO"].encode("latin-1"), "query": unquote_to_bytes(request.query_string)}
        faults = [f"{name}: {fault}" for name, raw in sent.items() if (fault := _fault(raw))]
        if faults:
            raise InvalidInput(*faults)


def _fault(raw: bytes) -> str | None:
    try:
        return text_fault(raw.decode())
    except UnicodeDecodeError as error:
        return f"is not UTF-8 ({error.reason} at byte {error.start}); percent-encode the bytes of UTF-8"
