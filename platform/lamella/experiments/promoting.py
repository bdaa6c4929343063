"""Promotion: the values of a variant become the defaults of their parameters: what units get outside experiments."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from lamella.errors import ConfigurationInvalid, IllegalTransition, NotFound
from lamella.experiments import checklist, lifecycle
from lamella.experiments.allocation import HOLDING
from lamella.experiments.model import Configuration, Experiment, Json, Status
from lamella.experiments.selection import experiment_of, near

_LIVE: Final = (Status.RUNNING, Status.PAUSED)


def promote(configuration: Configuration, key: str, variant: str, *, at: datetime) -> Configuration:
    """The configuration with the experiment stopped, and the variant's values as defaults, for all units at once.

    A variant that sets nothing, as controls often do, leaves the defaults as they are. Raises NotFound,
    IllegalTransition for what never ran, and ConfigurationInvalid where the values would not be the defaults of all, or
    would change another comparison under way: every reason at once.
    """
    experiment = experiment_of(configuration, key)
    if experiment.status not in (*_LIVE, Status.STOPPED):
        raise IllegalTransition(key, experiment.status, "promote", lifecycle.LEGAL[experiment.status])
    chosen = next((one for one in experiment.variants if one.key == variant), None)
    if chosen is None:
        raise NotFound("variant", variant, next_step=near(variant, [one.key for one in experiment.variants]))
    stopped = lifecycle.stop(configuration, key, at=at) if experiment.status in _LIVE else configuration
    changed = _changed(configuration, chosen.values)
    faults = [fault for parameter in changed for fault in _faults(stopped, parameter)]
    if faults:
        raise ConfigurationInvalid(*faults)
    parameters = tuple(
        replace(one, default=checklist.typed(one, changed[one.key])) if one.key in changed else one
        for one in stopped.parameters
    )
    return replace(stopped, parameters=parameters)


def _changed(configuration: Configuration, values: Mapping[str, Json]) -> dict[str, Json]:
    """The values that are not the defaults already. Raises ConfigurationInvalid for a parameter that is gone."""
    known = {one.key: one for one in configuration.parameters}
    faults = [f"no parameter {key!r} any more; {near(key, list(known))}" for key in values if key not in known]
    faults += [
        fault
        for key, value in values.items()
        if key in known and (fault := checklist.value_type_fault(known[key], value))
    ]
    if faults:
        raise ConfigurationInvalid(*faults)
    return {key: value for key, value in values.items() if checklist.typed(known[key], value) != known[key].default}


def _faults(configuration: Configuration, parameter: str) -> list[str]:
    """Why another default of the parameter would not hold, or would reach into another experiment."""
    launch = {one.key for one in configuration.layers if one.is_launch}
    faults = []
    for other in configuration.experiments:
        setting = [parameter in one.values for one in other.variants if one.weight > 0]
        if other.status not in HOLDING or not any(setting):
            continue
        if other.layer in launch:
            faults.append(f"experiment {other.key!r} of launch layer {other.layer!r} sets {parameter!r}; stop it first")
        elif not all(setting):
            faults.append(_reached(other, parameter))
    return faults


def _reached(other: Experiment, parameter: str) -> str:
    return (
        f"experiment {other.key!r} compares {parameter!r} with its default, which must not change under it; wait until "
        f"it ends, or set the value in each of its variants"
    )
