"""Keys that are limited to some projects: what a route's path names must lie in one of them.

A layer has a project; its parameters and experiments share it. What does not exist is left to the route to say.
"""

from collections.abc import Mapping
from typing import Any

from lamella.errors import Forbidden
from lamella.experiments.model import Configuration, Layer
from lamella.services.ports import Principal
from lamella.web.auth import principal
from lamella.web.wiring import services


def own_scope(_holder: Principal, _values: Mapping[str, Any]) -> None:
    """For routes that look after the projects themselves: lists, and bodies that name a layer."""


def of_layer(holder: Principal, values: Mapping[str, Any]) -> None:
    """For routes whose `key` is a layer's."""
    if holder.projects is not None:
        _require(holder, services().configuration.load(), values["key"])


def of_parameter(holder: Principal, values: Mapping[str, Any]) -> None:
    """For routes whose `key` is a parameter's."""
    if holder.projects is not None:
        now = services().configuration.load()
        for each in now.parameters:
            if each.key == values["key"]:
                _require(holder, now, each.layer)


def of_experiment(holder: Principal, values: Mapping[str, Any]) -> None:
    """For routes whose `key` is an experiment's."""
    if holder.projects is not None:
        now = services().configuration.load()
        for each in now.experiments:
            if each.key == values["key"]:
                _require(holder, now, each.layer)


def require_layer(key: str | None) -> None:
    """Returns where the caller reaches the layer that a body names. Raises Forbidden."""
    holder = principal()
    if holder.projects is not None and key is not None:
        _require(holder, services().configuration.load(), key)


def require_project(project: str) -> None:
    """Returns where the caller reaches the project. Raises Forbidden."""
    holder = principal()
    if holder.projects is not None and project not in holder.projects:
        raise _forbidden(holder, f"project {project!r}")


def require_whole(what: str) -> None:
    """Returns where the caller reaches every project. Raises Forbidden."""
    if not reaches_whole():
        raise _forbidden(principal(), what)


def reaches_whole() -> bool:
    """Whether the caller reaches every project."""
    return principal().projects is None


def reached_layers(configuration: Configuration) -> tuple[Layer, ...]:
    """The layers that the caller reaches, in order."""
    projects = principal().projects
    return tuple(each for each in configuration.layers if projects is None or each.project in projects)


def _require(holder: Principal, configuration: Configuration, layer: str) -> None:
    for each in configuration.layers:
        if each.key == layer and each.project not in (holder.projects or ()):
            raise _forbidden(holder, f"layer {layer!r}, which belongs to project {each.project!r}")


def _forbidden(holder: Principal, what: str) -> Forbidden:
    return Forbidden(
        f"key {holder.name!r} reaches project {', '.join(holder.projects or ())} only, not {what}; "
        f"ask an admin for a key that does"
    )
