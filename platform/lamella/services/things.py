"""Layers, parameters, domains and holdouts as changes: each kind made, changed and removed under the same names.

An operation is `kind.verb`, such as `holdout.update`; its body holds the fields of what is made, or those that change.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from lamella.errors import InvalidInput
from lamella.experiments import document, editing, lifecycle, selection, traffic
from lamella.experiments.model import Configuration, Domain, Holdout, Json, Layer, Parameter

T = TypeVar("T", Domain, Holdout, Layer, Parameter)

CREATE: Final = "create"
UPDATE: Final = "update"
DELETE: Final = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind(Generic[T]):
    find: Callable[[Configuration, str], T]
    write: Callable[[T], dict[str, Json]]
    read: Callable[[Mapping[str, Json]], T]
    add: Callable[[Configuration, T], Configuration]
    update: Callable[[Configuration, T], Configuration]
    remove: Callable[[Configuration, str], Configuration]

    def document(self, now: Configuration, key: str) -> dict[str, Json]:
        return self.write(self.find(now, key))

    def edit(self, verb: str, now: Configuration, key: str, body: Mapping[str, Json]) -> Configuration:
        if verb == CREATE:
            return self.add(now, self.read(body))
        if verb == UPDATE:
            return self.update(now, self.read({**self.document(now, key), **body}))
        return self.remove(now, key)


_DOMAIN: Final = _Kind(
    find=selection.domain_of,
    write=document.domain_document,
    read=document.domain_from_document,
    add=traffic.add_domain,
    update=traffic.update_domain,
    remove=traffic.remove_domain,
)
_HOLDOUT: Final = _Kind(
    find=selection.holdout_of,
    write=document.holdout_document,
    read=document.holdout_from_document,
    add=traffic.add_holdout,
    update=traffic.update_holdout,
    remove=traffic.remove_holdout,
)
_LAYER: Final = _Kind(
    find=selection.layer_of,
    write=document.layer_document,
    read=document.layer_from_document,
    add=lifecycle.add_layer,
    update=editing.update_layer,
    remove=editing.remove_layer,
)
_PARAMETER: Final = _Kind(
    find=selection.parameter_of,
    write=document.parameter_document,
    read=document.parameter_from_document,
    add=lifecycle.add_parameter,
    update=editing.update_parameter,
    remove=editing.remove_parameter,
)
_KINDS: Final[Mapping[str, _Kind[Domain] | _Kind[Holdout] | _Kind[Layer] | _Kind[Parameter]]] = {
    "domain": _DOMAIN,
    "holdout": _HOLDOUT,
    "layer": _LAYER,
    "parameter": _PARAMETER,
}
_CHANGES_NOTHING: Final = frozenset({"layer.create", "parameter.create"})
"""What no unit notices: a new layer is empty, and a new parameter is read by nobody yet."""


def is_thing(operation: str) -> bool:
    """Whether the operation is about a layer, a parameter, a domain or a holdout.

    >>> is_thing("holdout.update"), is_thing("start")
    (True, False)
    """
    return operation.partition(".")[0] in _KINDS


def needs_second_person(operation: str) -> bool:
    """Whether the operation waits for approval where approvals are asked for."""
    return is_thing(operation) and operation not in _CHANGES_NOTHING


def action_of(operation: str) -> str:
    """What a revision calls it: the verb.

    >>> action_of("holdout.update")
    'update'
    """
    return operation.partition(".")[2]


def thing_document(now: Configuration, operation: str, key: str) -> dict[str, Json]:
    """The thing as it is; empty for one that is to be made. Raises NotFound."""
    kind, _, verb = operation.partition(".")
    return {} if verb == CREATE else _KINDS[kind].document(now, key)


def edit_thing(now: Configuration, operation: str, key: str, body: Mapping[str, Json]) -> Configuration:
    """The configuration after the operation. Raises NotFound, Conflict, InvalidInput and what is below them."""
    kind, _, verb = operation.partition(".")
    if kind not in _KINDS or verb not in (CREATE, UPDATE, DELETE):
        raise InvalidInput(f"{operation!r} is no operation; name one of {', '.join(_KINDS)}, and what to do with it")
    return _KINDS[kind].edit(verb, now, key, body)
