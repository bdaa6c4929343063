"""Every change to the configuration as a pure function from one Configuration to the next.

An experiment goes draft -> scheduled -> running <-> paused -> stopped -> archived. A refused change raises and leaves
nothing behind: ConfigurationInvalid lists every fault, IllegalTransition names the legal moves, NotFound what is near.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Final, NoReturn

from lamella.errors import BucketsTaken, ConfigurationInvalid, Conflict, IllegalTransition
from lamella.experiments import checklist
from lamella.experiments.allocation import grow, size, taken, united
from lamella.experiments.model import Configuration, Experiment, Layer, Parameter, Phase, Status
from lamella.experiments.selection import experiment_of, with_experiment

LEGAL: Final[Mapping[Status, tuple[str, ...]]] = {
    Status.DRAFT: ("update", "schedule", "start", "archive"),
    Status.SCHEDULED: ("unschedule", "start", "archive"),
    Status.RUNNING: ("update", "new_phase", "pause", "stop", "promote"),
    Status.PAUSED: ("update", "new_phase", "resume", "stop", "promote"),
    Status.STOPPED: ("promote", "archive"),
    Status.ARCHIVED: (),
}
# What may change while units are assigned: nothing that decides who gets what, except more buckets.
_OPEN_FIELDS: Final = frozenset({"name", "owner", "forced", "ranges", "ramp", "ends_at", "accept_underpowered"})
_PHASE_FIELDS: Final = frozenset({"variants", "rule", "requires", "eligibility"})


def add_layer(configuration: Configuration, layer: Layer) -> Configuration:
    """The configuration with one more layer. Raises Conflict if the key is taken, ConfigurationInvalid."""
    _refuse_taken_key("layer", layer.key, configuration.layers)
    _refuse(checklist.layer_faults(configuration, layer))
    return replace(configuration, layers=(*configuration.layers, layer))


def add_parameter(configuration: Configuration, parameter: Parameter) -> Configuration:
    """The configuration with one more parameter. Raises Conflict if the key is taken, ConfigurationInvalid."""
    _refuse_taken_key("parameter", parameter.key, configuration.parameters)
    _refuse(checklist.parameter_faults(configuration, parameter))
    stored = replace(parameter, default=checklist.typed(parameter, parameter.default))
    return replace(configuration, parameters=(*configuration.parameters, stored))


def add_experiment(configuration: Configuration, experiment: Experiment) -> Configuration:
    """The configuration with one more draft; its status and phases are always a draft's.

    Raises Conflict if the key is taken, ConfigurationInvalid.
    """
    _refuse_taken_key("experiment", experiment.key, configuration.experiments)
    draft = replace(_tidy(configuration, experiment), status=Status.DRAFT, phases=(), ramped_at=None, start_faults=())
    _refuse(checklist.draft_faults(configuration, draft))
    return replace(configuration, experiments=(*configuration.experiments, draft))


def update_experiment(configuration: Configuration, experiment: Experiment) -> Configuration:
    """The configuration with the experiment of that key changed; status and phases stay what they are.

    A draft may change in everything. A running or paused one only in what moves nobody: name, owner, allow-list, and
    more buckets. Raises NotFound, IllegalTransition, ConfigurationInvalid, BucketsTaken.
    """
    before = _allowed(configuration, experiment.key, "update")
    after = _standing(configuration, experiment, before)
    faults = checklist.draft_faults(configuration, after)
    if before.status is not Status.DRAFT:
        faults += _moving_faults(before, after)
    _refuse(faults, taken(configuration, after) if before.status is not Status.DRAFT else ())
    return with_experiment(configuration, after)


def schedule(
    configuration: Configuration, key: str, *, metrics: Collection[str], faults: Sequence[str] = ()
) -> Configuration:
    """The configuration with the draft checked and its buckets reserved. Raises what `start` raises."""
    experiment = _allowed(configuration, key, "schedule")
    found = checklist.start_faults(configuration, experiment, metrics)
    _refuse([*found, *faults], taken(configuration, experiment))
    return with_experiment(configuration, replace(experiment, status=Status.SCHEDULED))


def unschedule(configuration: Configuration, key: str) -> Configuration:
    """The configuration with the experiment a draft again: its buckets are free, and it may change."""
    experiment = _allowed(configuration, key, "unschedule")
    return with_experiment(configuration, replace(experiment, status=Status.DRAFT, start_faults=()))


def start(
    configuration: Configuration, key: str, *, at: datetime, metrics: Collection[str], faults: Sequence[str] = ()
) -> Configuration:
    """The configuration with the experiment running in its first phase.

    Raises NotFound, IllegalTransition, and, for every fault of the check-list at once, ConfigurationInvalid
    (BucketsTaken where buckets are all that is wrong). `metrics` are the keys of the known metrics; `faults` are what
    the caller found besides, which the configuration alone does not tell.
    """
    experiment = _allowed(configuration, key, "start")
    phase = _phase(configuration, experiment, at, salt=None)
    found = checklist.start_faults(configuration, experiment, metrics)
    found += [*checklist.new_salt_faults(configuration, phase.salt), *faults]
    _refuse(found, taken(configuration, experiment))
    started = replace(experiment, status=Status.RUNNING, phases=(phase,), start_faults=())
    return with_experiment(configuration, started)


def hold_back(configuration: Configuration, key: str, faults: Sequence[str]) -> Configuration:
    """The configuration with the reasons kept for which the scheduled experiment could not start at its time."""
    return with_experiment(configuration, replace(_allowed(configuration, key, "start"), start_faults=tuple(faults)))


def ramp(configuration: Configuration, key: str, share: float, *, at: datetime) -> Configuration:
    """The configuration with the experiment on `share` of its layer: the buckets that it had, and more.

    Raises NotFound, IllegalTransition, ConfigurationInvalid.
    """
    before = _allowed(configuration, key, "update")
    grown = update_experiment(configuration, replace(before, ranges=grow(configuration, before, share)))
    return with_experiment(grown, replace(experiment_of(grown, key), ramped_at=at))


def new_phase(
    configuration: Configuration,
    experiment: Experiment,
    *,
    at: datetime,
    metrics: Collection[str],
    salt: str | None = None,
) -> Configuration:
    """The configuration with the running or paused experiment in a new phase, as `experiment` now describes it.

    Variants (weights and values), rule and buckets may change; hypothesis, plan and layer may not. A new salt, by
    default, gives every unit a fresh variant; naming the old one keeps those whose weights allow it.
    Raises NotFound, IllegalTransition, ConfigurationInvalid, BucketsTaken.
    """
    before = _allowed(configuration, experiment.key, "new_phase")
    wanted = _standing(configuration, experiment, before)
    faults = checklist.start_faults(configuration, wanted, metrics)
    faults += [
        f"{name} cannot change between phases; stop this experiment and start another"
        for name in _changed(before, wanted) - _PHASE_FIELDS - _OPEN_FIELDS
    ]
    phase = _phase(configuration, wanted, at, salt=salt)
    if phase.salt not in {one.salt for one in before.phases}:
        faults += checklist.new_salt_faults(configuration, phase.salt)
    if at < before.phases[-1].started_at:
        faults.append(f"the new phase would start at {at.isoformat()}, before the one it follows")
    _refuse(faults, taken(configuration, wanted))
    phases = (*before.phases[:-1], replace(before.phases[-1], ended_at=at), phase)
    return with_experiment(configuration, replace(wanted, phases=phases))


def pause(configuration: Configuration, key: str) -> Configuration:
    """The configuration with the experiment paused: its units get the defaults, its buckets stay held."""
    return _moved(configuration, key, "pause", Status.PAUSED)


def resume(configuration: Configuration, key: str) -> Configuration:
    """The configuration with the experiment running again, in the same phase: every unit finds its variant."""
    return _moved(configuration, key, "resume", Status.RUNNING)


def stop(configuration: Configuration, key: str, *, at: datetime) -> Configuration:
    """The configuration with the experiment stopped for good, its phase ended and its buckets free."""
    experiment = _allowed(configuration, key, "stop")
    phases = (*experiment.phases[:-1], replace(experiment.phases[-1], ended_at=at))
    return with_experiment(configuration, replace(experiment, status=Status.STOPPED, phases=phases))


def archive(configuration: Configuration, key: str) -> Configuration:
    """The configuration with the experiment out of the way; its record stays."""
    return _moved(configuration, key, "archive", Status.ARCHIVED)


def kill(configuration: Configuration) -> Configuration:
    """The configuration with the kill switch on: every unit gets the defaults everywhere."""
    return replace(configuration, killed=True)


def unkill(configuration: Configuration) -> Configuration:
    """The configuration with the kill switch off."""
    return replace(configuration, killed=False)


def _moved(configuration: Configuration, key: str, move: str, status: Status) -> Configuration:
    return with_experiment(configuration, replace(_allowed(configuration, key, move), status=status))


def _allowed(configuration: Configuration, key: str, move: str) -> Experiment:
    experiment = experiment_of(configuration, key)
    legal = LEGAL[experiment.status]
    if move not in legal:
        raise IllegalTransition(key, experiment.status, move, legal)
    return experiment


def _phase(configuration: Configuration, experiment: Experiment, at: datetime, *, salt: str | None) -> Phase:
    """The next phase of `experiment`; its id is one more than any phase of the configuration ever had."""
    ids = [phase.id for one in configuration.experiments for phase in one.phases]
    number = max((one.number for one in experiment.phases), default=0) + 1
    return Phase(
        id=max(ids, default=0) + 1,
        number=number,
        salt=salt if salt is not None else _fresh_salt(configuration, f"{experiment.key}:{number}"),
        started_at=at,
        weights={one.key: one.weight for one in experiment.variants},
    )


def _fresh_salt(configuration: Configuration, wanted: str) -> str:
    """`wanted`, or, should a layer have it already, the first of `wanted.2`, `wanted.3`, … that nothing has."""
    used = checklist.salts(configuration)
    candidates = (wanted, *(f"{wanted}.{i}" for i in range(2, len(used) + 3)))
    return next(one for one in candidates if one not in used)


def _moving_faults(before: Experiment, after: Experiment) -> list[str]:
    """Why the change would move units of a running experiment."""
    faults = [
        f"{name} cannot change while the experiment is {before.status}; "
        + ("open a new phase" if name in _PHASE_FIELDS else "it was fixed when the experiment started")
        for name in sorted(_changed(before, after) - _OPEN_FIELDS)
    ]
    if size(united([*before.ranges, *after.ranges])) > size(after.ranges):
        faults.append("buckets cannot be taken away while the experiment is live; open a new phase or only add")
    return faults


def _changed(before: Experiment, after: Experiment) -> set[str]:
    names = [one.name for one in fields(Experiment)]
    return {name for name in names if getattr(before, name) != getattr(after, name)}


def _standing(configuration: Configuration, experiment: Experiment, before: Experiment) -> Experiment:
    """The experiment as it is described now, standing where it stood before."""
    return replace(
        _tidy(configuration, experiment),
        status=before.status,
        phases=before.phases,
        ramped_at=before.ramped_at,
        start_faults=before.start_faults,
    )


def _tidy(configuration: Configuration, experiment: Experiment) -> Experiment:
    """The experiment with each value as its parameter's type stores it."""
    known = {one.key: one for one in configuration.parameters}
    variants = tuple(
        replace(
            one,
            values={
                key: checklist.typed(known[key], value) if key in known else value for key, value in one.values.items()
            },
        )
        for one in experiment.variants
    )
    return replace(experiment, variants=variants)


def _refuse_taken_key(kind: str, key: str, among: Sequence[Layer] | Sequence[Parameter] | Sequence[Experiment]) -> None:
    if any(one.key == key for one in among):
        raise Conflict(f"{kind} {key!r} exists already; choose another key, or change that one")


def _refuse(faults: Sequence[str], held: Sequence[BucketsTaken] = ()) -> None:
    if held and not faults:
        _raise_taken(held)
    if faults or held:
        raise ConfigurationInvalid(*faults, *(str(one) for one in held))


def _raise_taken(held: Sequence[BucketsTaken]) -> NoReturn:
    """Never returns; raises the first, carrying a sentence for each."""
    first = held[0]
    first.faults = tuple(str(one) for one in held)
    raise first
