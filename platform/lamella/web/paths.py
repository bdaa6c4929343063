"""Texts in paths: a unit may begin with a slash or be one, and must not become another on its way."""

from flask import Flask
from werkzeug.routing import BaseConverter


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
