"""Changes to layers, parameters and experiments after they were made, and their removal, as pure functions.

What a live experiment relies on does not change under it, and what has a record is never removed: both are refused with
the names of those who need it. Like `lifecycle`, a refused change leaves nothing behind.
"""

from collections.abc import Sequence
from dataclasses import fields, replace

from lamella.errors import IllegalTransition, ThingInUse
from lamella.experiments import lifecycle
from lamella.experiments.allocation import HOLDING
from lamella.experiments.model import Configuration, Layer, Parameter, Status
from lamella.experiments.selection import experiment_of, layer_of, parameter_of

_LAYER_FIELDS = frozenset({"description", "project"})
_ENDED = frozenset({Status.STOPPED, Status.ARCHIVED})


def update_layer(configuration: Configuration, layer: Layer) -> Configuration:
    """The configuration with the layer of that key changed.

    Description and project may change at any time; salt, unit and domain decide who gets what, so they are fixed once
    an experiment of the layer was scheduled or started. Raises NotFound, ThingInUse, ConfigurationInvalid.
    """
    before = layer_of(configuration, layer.key)
    changed = [each.name for each in fields(Layer) if getattr(before, each.name) != getattr(layer, each.name)]
    if not set(changed) <= _LAYER_FIELDS:
        users = [
            f"experiment {each.key!r}"
            for each in configuration.experiments
            if each.layer == layer.key and (each.phases or each.status in HOLDING)
        ]
        _refuse_used("layer", layer.key, users)
    position = configuration.layers.index(before)
    others = (*configuration.layers[:position], *configuration.layers[position + 1 :])
    checked = lifecycle.add_layer(replace(configuration, layers=others), layer)
    added = checked.layers[-1]
    return replace(checked, layers=(*others[:position], added, *others[position:]))


def remove_layer(configuration: Configuration, key: str) -> Configuration:
    """The configuration without the layer. Raises NotFound, or ThingInUse while anything is in it."""
    layer_of(configuration, key)
    users = [
        *(f"parameter {each.key!r}" for each in configuration.parameters if each.layer == key),
        *(f"experiment {each.key!r}" for each in configuration.experiments if each.layer == key),
        *(f"domain {each.key!r}" for each in configuration.domains if each.layer == key),
    ]
    _refuse_used("layer", key, users)
    return replace(configuration, layers=tuple(each for each in configuration.layers if each.key != key))


def update_parameter(configuration: Configuration, parameter: Parameter) -> Configuration:
    """The configuration with the parameter of that key changed.

    Its description may change at any time; type, default and layer not while an experiment that is not over sets it.
    Raises NotFound, ThingInUse, ConfigurationInvalid.
    """
    before = parameter_of(configuration, parameter.key)
    if replace(before, description="") != replace(parameter, description=""):
        _refuse_used("parameter", parameter.key, _setters(configuration, parameter.key))
    position = configuration.parameters.index(before)
    others = (*configuration.parameters[:position], *configuration.parameters[position + 1 :])
    checked = lifecycle.add_parameter(replace(configuration, parameters=others), parameter)
    added = checked.parameters[-1]
    return replace(checked, parameters=(*others[:position], added, *others[position:]))


def remove_parameter(configuration: Configuration, key: str) -> Configuration:
    """The configuration without the parameter. Raises NotFound, or ThingInUse while an experiment sets it."""
    parameter_of(configuration, key)
    _refuse_used("parameter", key, _setters(configuration, key))
    return replace(configuration, parameters=tuple(each for each in configuration.parameters if each.key != key))


def remove_experiment(configuration: Configuration, key: str) -> Configuration:
    """The configuration without the experiment, which never ran: what ran has a record and can only be archived.

    Raises NotFound, IllegalTransition, or ThingInUse while another experiment requires it.
    """
    found = experiment_of(configuration, key)
    if found.phases or found.status in HOLDING:
        raise IllegalTransition(key, found.status, "delete", lifecycle.LEGAL[found.status])
    _refuse_used("experiment", key, _requirers(configuration, key))
    return replace(configuration, experiments=tuple(each for each in configuration.experiments if each.key != key))


def override(configuration: Configuration, key: str, unit: str, variant: str | None) -> Configuration:
    """The configuration with `unit` on the experiment's allow-list for `variant`, or off it where that is None.

    Raises what `lifecycle.update_experiment` raises.
    """
    before = experiment_of(configuration, key)
    forced = {name: wanted for name, wanted in before.forced.items() if name != unit}
    if variant is not None:
        forced[unit] = variant
    return lifecycle.update_experiment(configuration, replace(before, forced=forced))


def _setters(configuration: Configuration, parameter: str) -> list[str]:
    return [
        f"experiment {each.key!r}"
        for each in configuration.experiments
        if each.status not in _ENDED and any(parameter in one.values for one in each.variants)
    ]


def _requirers(configuration: Configuration, key: str) -> list[str]:
    return [
        f"experiment {each.key!r}"
        for each in configuration.experiments
        if any(one.experiment == key for one in each.requires)
    ]


def _refuse_used(kind: str, key: str, users: Sequence[str]) -> None:
    if users:
        raise ThingInUse(kind, key, users)
