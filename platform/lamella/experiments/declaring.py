"""The whole configuration from one document: what it takes to get from the present one there, by legal changes only.

The document says what should be; `declare` adds, changes, moves and removes until it is so, or refuses everything with
every reason. The present phases are the record's and stay: a document may repeat them or leave them out. An experiment
that is new here may bring its phases along, so that an installation can be moved with every unit in its variant. What
ran here and is not in the document stays as it is, once it is stopped or archived; a live experiment must be in it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple, TypeAlias, TypeVar

from lamella.errors import ConfigurationInvalid, InvalidInput, LamellaError
from lamella.experiments import checklist, editing, lifecycle, measures, traffic
from lamella.experiments.allocation import taken
from lamella.experiments.document import configuration_document, configuration_from_document
from lamella.experiments.model import (
    Configuration,
    DeclaredMetric,
    Domain,
    Experiment,
    Holdout,
    Json,
    Layer,
    Parameter,
    Status,
)

SCHEMA: Final = "lamella.configuration/1"
_ENDED: Final = frozenset({Status.STOPPED, Status.ARCHIVED})
_OWNED: Final = ("status", "phases", "ramped_at", "start_faults")
"""What the life cycle keeps."""

T = TypeVar("T", Domain, Layer, Parameter, Holdout, Experiment, DeclaredMetric)
PowerFaults: TypeAlias = Callable[[Configuration, Experiment], Sequence[str]]


def _powerful(_now: Configuration, _experiment: Experiment) -> Sequence[str]:
    """Nothing: what is said where no traffic was measured."""
    return ()


def declaration(configuration: Configuration) -> dict[str, Json]:
    """The document that declares the configuration: everything but its version, which counts changes."""
    document = {name: value for name, value in configuration_document(configuration).items() if name != "version"}
    return {"schema": SCHEMA, **document}


def declare(
    configuration: Configuration,
    document: Mapping[str, Json],
    *,
    at: datetime,
    metrics: Collection[str],
    power_faults: PowerFaults = _powerful,
) -> Configuration:
    """The configuration that the document declares, in the document's order.

    `power_faults` says why the traffic is too small for an experiment that is to be scheduled or started.

    Raises InvalidInput for a document that is none, ConfigurationInvalid with every reason why it cannot be.
    """
    wanted, silent = _read(document)
    faults: list[str] = []
    after = configuration

    def attempt(where: str, change: Callable[[Configuration], Configuration]) -> None:
        nonlocal after
        try:
            after = change(after)
        except InvalidInput as error:
            faults.extend(f"{where}: {fault}" for fault in error.faults)
        except LamellaError as error:
            faults.append(f"{where}: {error}")

    _declare_spaces(wanted, after, attempt)
    for parameter in wanted.parameters:
        attempt(
            f"parameter {parameter.key!r}",
            _put(parameter, "parameters", lifecycle.add_parameter, editing.update_parameter),
        )
    for metric in wanted.metrics:
        add = partial(measures.add_metric, reserved=metrics)
        attempt(f"metric {metric.key!r}", _put(metric, "metrics", add, measures.update_metric))
    for experiment in wanted.experiments:
        attempt(
            f"experiment {experiment.key!r}",
            _put_experiment(experiment, silent.get(experiment.key, frozenset()), _Moves(at, metrics, power_faults)),
        )
    _remove_others(configuration, wanted, attempt)
    if faults:
        raise ConfigurationInvalid(*faults)
    return replace(_ordered(after, wanted), killed=wanted.killed)


def _read(document: Mapping[str, Json]) -> tuple[Configuration, dict[str, frozenset[str]]]:
    """The configuration that the document describes, and which owned fields each experiment leaves out."""
    schema = document.get("schema", SCHEMA)
    if schema != SCHEMA:
        raise InvalidInput(f"schema: is {schema!r}; this version reads {SCHEMA!r}")
    body = {name: value for name, value in document.items() if name not in ("schema", "version")}
    wanted = configuration_from_document(body)
    faults = [
        f"{kind}: {key!r} is listed twice; name each once"
        for kind in _KINDS
        for key in _repeated([each.key for each in getattr(wanted, kind)])
    ]
    if faults:
        raise InvalidInput(*faults)
    found = body.get("experiments", ())
    silent: dict[str, frozenset[str]] = {}
    if isinstance(found, (list, tuple)):
        for each in found:
            if isinstance(each, Mapping):
                silent[str(each.get("key"))] = frozenset(_OWNED) - each.keys()
    return wanted, silent


_Attempt = Callable[[str, Callable[[Configuration], Configuration]], None]


def _declare_spaces(wanted: Configuration, now: Configuration, attempt: _Attempt) -> None:
    """Domains, layers and holdouts; a nested domain needs its layer first, and a layer its domain."""
    known = {each.key for each in now.layers}
    waiting: list[Domain | Layer] = [*wanted.domains, *wanted.layers]
    held = {each.key for each in now.domains}
    while waiting:
        ready = [
            each
            for each in waiting
            if (each.layer in {None, *known} if isinstance(each, Domain) else each.domain in {None, *held})
        ]
        for each in ready or list(waiting):
            waiting.remove(each)
            if isinstance(each, Domain):
                held.add(each.key)
                attempt(f"domain {each.key!r}", _put(each, "domains", traffic.add_domain, traffic.update_domain))
            else:
                known.add(each.key)
                attempt(f"layer {each.key!r}", _put(each, "layers", lifecycle.add_layer, editing.update_layer))
    for holdout in wanted.holdouts:
        attempt(f"holdout {holdout.key!r}", _put(holdout, "holdouts", traffic.add_holdout, traffic.update_holdout))


def _put(
    wanted: T,
    kind: str,
    add: Callable[[Configuration, T], Configuration],
    update: Callable[[Configuration, T], Configuration],
) -> Callable[[Configuration], Configuration]:
    def change(now: Configuration) -> Configuration:
        held: dict[str, T] = {each.key: each for each in getattr(now, kind)}
        if wanted.key not in held:
            return add(now, wanted)
        return now if held[wanted.key] == wanted else update(now, wanted)

    return change


class _Moves(NamedTuple):
    """What the moves of the life cycle need."""

    at: datetime
    metrics: Collection[str]
    power_faults: PowerFaults


def _put_experiment(
    wanted: Experiment, silent: Collection[str], moves: _Moves
) -> Callable[[Configuration], Configuration]:
    def change(now: Configuration) -> Configuration:
        before = next((each for each in now.experiments if each.key == wanted.key), None)
        if before is None:
            if wanted.phases:
                return _brought(now, wanted)
            added = lifecycle.add_experiment(now, wanted)
            return _moved(added, wanted.key, wanted.status, moves)
        if "phases" not in silent and wanted.phases != before.phases:
            raise ConfigurationInvalid(
                "phases are the record's and cannot be written; leave them out, or open a new phase"
            )
        kept = {name: getattr(before, name) for name in _OWNED}
        edited = replace(wanted, **kept)
        after = now if edited == before else lifecycle.update_experiment(now, edited)
        return after if "status" in silent else _moved(after, wanted.key, wanted.status, moves)

    return change


def _brought(now: Configuration, wanted: Experiment) -> Configuration:
    """The configuration with an experiment that ran elsewhere, as it stands."""
    faults = checklist.draft_faults(now, wanted) if wanted.status not in _ENDED else []
    ids = {phase.id for each in now.experiments for phase in each.phases}
    salts = checklist.salts(now)
    for phase in wanted.phases:
        if phase.id in ids:
            faults.append(f"phase id {phase.id} belongs to another experiment here; leave the phases out")
        if phase.salt in salts:
            faults.append(f"phase salt {phase.salt!r} is in use here; leave the phases out")
    if wanted.status in (Status.DRAFT, Status.SCHEDULED):
        faults.append(f"it has phases and is {wanted.status}; what ran is running, paused, stopped or archived")
    if wanted.status not in _ENDED:
        faults += [str(one) for one in taken(now, wanted)]
    if faults:
        raise ConfigurationInvalid(*faults)
    return replace(now, experiments=(*now.experiments, wanted))


def _moved(now: Configuration, key: str, status: Status, needs: _Moves) -> Configuration:
    """The configuration with the experiment moved to `status` by the moves that lead there."""
    found = next(each for each in now.experiments if each.key == key)
    if found.status is status:
        return now
    at, metrics, power_faults = needs
    starts = status is Status.SCHEDULED or (status is Status.RUNNING and found.status is not Status.PAUSED)
    faults = power_faults(now, found) if starts else ()
    moves: Mapping[Status, Callable[[], Configuration]] = {
        Status.DRAFT: lambda: lifecycle.unschedule(now, key),
        Status.SCHEDULED: lambda: lifecycle.schedule(now, key, metrics=metrics, faults=faults),
        Status.RUNNING: lambda: (
            lifecycle.resume(now, key)
            if found.status is Status.PAUSED
            else lifecycle.start(now, key, at=at, metrics=metrics, faults=faults)
        ),
        Status.PAUSED: lambda: lifecycle.pause(now, key),
        Status.STOPPED: lambda: lifecycle.stop(now, key, at=at),
        Status.ARCHIVED: lambda: lifecycle.archive(now, key),
    }
    return moves[status]()


def _remove_others(before: Configuration, wanted: Configuration, attempt: _Attempt) -> None:
    """Takes away what the document leaves out: dependants first."""
    keys = {kind: {each.key for each in getattr(wanted, kind)} for kind in _KINDS}
    for experiment in before.experiments:
        if experiment.key not in keys["experiments"] and not (experiment.phases and experiment.status in _ENDED):
            attempt(f"experiment {experiment.key!r} is left out", _without(editing.remove_experiment, experiment.key))
    for metric in before.metrics:
        if metric.key not in keys["metrics"]:
            attempt(f"metric {metric.key!r} is left out", _without(measures.remove_metric, metric.key))
    for holdout in before.holdouts:
        if holdout.key not in keys["holdouts"]:
            attempt(f"holdout {holdout.key!r} is left out", _without(traffic.remove_holdout, holdout.key))
    for parameter in before.parameters:
        if parameter.key not in keys["parameters"]:
            attempt(f"parameter {parameter.key!r} is left out", _without(editing.remove_parameter, parameter.key))
    for layer in before.layers:
        if layer.key not in keys["layers"]:
            attempt(f"layer {layer.key!r} is left out", _without(editing.remove_layer, layer.key))
    for domain in before.domains:
        if domain.key not in keys["domains"]:
            attempt(f"domain {domain.key!r} is left out", _without(traffic.remove_domain, domain.key))


def _without(
    remove: Callable[[Configuration, str], Configuration], key: str
) -> Callable[[Configuration], Configuration]:
    return lambda now: remove(now, key)


_KINDS: Final = ("domains", "layers", "parameters", "experiments", "holdouts", "metrics")


def _ordered(after: Configuration, wanted: Configuration) -> Configuration:
    """The configuration in the document's order; what the document does not name comes last."""
    return replace(
        after,
        domains=_sorted(after.domains, wanted.domains),
        layers=_sorted(after.layers, wanted.layers),
        parameters=_sorted(after.parameters, wanted.parameters),
        experiments=_sorted(after.experiments, wanted.experiments),
        holdouts=_sorted(after.holdouts, wanted.holdouts),
        metrics=_sorted(after.metrics, wanted.metrics),
    )


def _sorted(found: tuple[T, ...], wanted: tuple[T, ...]) -> tuple[T, ...]:
    places = {each.key: place for place, each in enumerate(wanted)}
    return tuple(sorted(found, key=lambda each: places.get(each.key, len(places))))


def _repeated(keys: Collection[str]) -> list[str]:
    listed = list(keys)
    return [key for key in dict.fromkeys(listed) if listed.count(key) > 1]
