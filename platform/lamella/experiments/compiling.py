"""What a snapshot is made from: the holdouts in force, the order of evaluation, the lanes; and why it could not be."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from lamella.errors import InvalidRule
from lamella.experiments.allocation import range_faults, taken
from lamella.experiments.lanes import Lane, Live, Requirement
from lamella.experiments.model import Configuration, Experiment, Holdout, Layer, Status
from lamella.experiments.prerequisites import circle
from lamella.experiments.spaces import Share, conditions, holds_out
from lamella.experiments.targeting import compile_rule

LIVE: Final = (Status.RUNNING, Status.PAUSED)


def live_in(configuration: Configuration, layer: str) -> list[Experiment]:
    """The experiments of the layer that hold traffic: running or paused."""
    return [one for one in configuration.experiments if one.layer == layer and one.status in LIVE]


def holdouts_at(configuration: Configuration, at: datetime | None) -> tuple[tuple[Holdout, ...], datetime | None]:
    """The holdouts in force at `at`, and when that changes next; without a moment, those without a period."""
    if at is None:
        always = tuple(one for one in configuration.holdouts if one.starts_at is None and one.ends_at is None)
        return always, None
    edges = [edge for one in configuration.holdouts for edge in (one.starts_at, one.ends_at) if edge is not None]
    coming = [edge for edge in edges if edge > at]
    return tuple(one for one in configuration.holdouts if is_in_force(one, at)), min(coming, default=None)


def is_in_force(holdout: Holdout, at: datetime) -> bool:
    """Whether `at` lies in the holdout's period."""
    has_begun = holdout.starts_at is None or holdout.starts_at <= at
    return has_begun and (holdout.ends_at is None or at < holdout.ends_at)


def order_of(configuration: Configuration) -> tuple[str, ...]:
    """The layers in the order of evaluation: launch layers first, and each after those that its experiments require."""
    homes = {one.key: one.layer for one in configuration.experiments}
    needs = {
        layer.key: {
            homes[needed.experiment]
            for one in live_in(configuration, layer.key)
            for needed in one.requires
            if needed.experiment in homes
        }
        for layer in configuration.layers
    }
    waiting = [one.key for one in sorted(configuration.layers, key=lambda layer: not layer.is_launch)]
    ordered: list[str] = []
    while waiting:
        following = next(key for key in waiting if needs[key] <= set(ordered))
        waiting.remove(following)
        ordered.append(following)
    return tuple(ordered)


def lanes_of(configuration: Configuration, order: Sequence[str], holdouts: Sequence[Holdout]) -> tuple[Lane, ...]:
    """The compiled layers in the order of evaluation. Experiments with equal rules share one shortcut."""
    seats = {key: seat for seat, key in enumerate(order)}
    layers = {one.key: one for one in configuration.layers}
    return tuple(_lane(configuration, layers[key], seats, holdouts) for key in order)


def _lane(configuration: Configuration, layer: Layer, seats: Mapping[str, int], holdouts: Sequence[Holdout]) -> Lane:
    homes = {one.key: one.layer for one in configuration.experiments}
    lives = [
        (
            Live(
                one,
                [
                    Requirement(seats[homes[needed.experiment]], needed.experiment, frozenset(needed.variants))
                    for needed in one.requires
                ],
            ),
            one,
        )
        for one in live_in(configuration, layer.key)
    ]
    shares = {
        one.key: Share(one.salt, one.unit, one.ranges)
        for one in holdouts
        if one.domain is not None and holds_out(configuration, one, layer)
    }
    return Lane(layer, lives, conditions(configuration, layer), shares)


def live_faults(configuration: Configuration) -> list[str]:
    """Why the configuration could not assign; the life cycle lets none of this through, an edited store might."""
    faults = [fault for one in configuration.experiments if one.status in LIVE for fault in _faults(configuration, one)]
    faults += _space_faults(configuration)
    return faults + circle(configuration)


def _space_faults(configuration: Configuration) -> list[str]:
    domains = {one.key for one in configuration.domains}
    layers = {one.key for one in configuration.layers}
    faults = [
        f"layer {one.key!r} lies in domain {one.domain!r}, which there is not; add it"
        for one in configuration.layers
        if one.domain is not None and one.domain not in domains
    ]
    faults += [
        f"domain {one.key!r} lies in layer {one.layer!r}, which there is not; add it"
        for one in configuration.domains
        if one.layer is not None and one.layer not in layers
    ]
    spaced = {f"domain {one.key!r}": one.ranges for one in configuration.domains}
    spaced |= {f"holdout {one.key!r}": one.ranges for one in configuration.holdouts}
    return faults + [f"{where}: {fault}" for where, ranges in spaced.items() for fault in range_faults(ranges)]


def _faults(configuration: Configuration, experiment: Experiment) -> list[str]:
    where = f"experiment {experiment.key!r}"
    faults = [f"{where}: {fault}" for fault in range_faults(experiment.ranges)]
    faults += [str(error) for error in taken(configuration, experiment)]
    variants = {one.key for one in experiment.variants}
    weights = [experiment.phases[-1].weights.get(key, 0) for key in variants] if experiment.phases else []
    if not experiment.phases:
        faults.append(f"{where} is {experiment.status} without a phase; stop it and start a new one")
    elif sum(weights) <= 0 or min(weights) < 0:
        faults.append(f"{where}: its phase needs weights of 0 or more with a sum above 0; open a new phase")
    try:
        compile_rule(experiment.rule)
    except InvalidRule as error:
        faults += [f"{where}: {fault}" for fault in error.faults]
    faults += [
        f"{where} forces {unit!r} into {variant!r}, which is no variant; take it off the allow-list"
        for unit, variant in experiment.forced.items()
        if variant not in variants
    ]
    known = {one.key for one in configuration.experiments}
    return faults + [
        f"{where} requires experiment {one.experiment!r}, which there is not; take it out"
        for one in experiment.requires
        if one.experiment not in known
    ]
