"""The configuration compiled for serving: immutable, in memory, without I/O. This is the hot path.

In each layer a unit passes the kill switch, the allow-list, the bucket with its experiment's rule, and the variant:
one hash for the layer and one for the experiment that holds the bucket.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import Final, NamedTuple

from lamella.errors import ConfigurationInvalid, InvalidRule
from lamella.experiments.allocation import range_faults, taken
from lamella.experiments.hashing import Salt, encode_unit
from lamella.experiments.model import BUCKETS, Configuration, Experiment, Json, Layer, Status
from lamella.experiments.targeting import UNIT_ATTRIBUTE, Rule, compile_rule

STATIC: Final = "STATIC"
SPLIT: Final = "SPLIT"
TARGETING_MATCH: Final = "TARGETING_MATCH"
DISABLED: Final = "DISABLED"
DEFAULT: Final = "DEFAULT"
ERROR: Final = "ERROR"
_NO_CONTEXT: Final[Mapping[str, Json]] = MappingProxyType({})
_NO_VALUES: Final[Mapping[str, Json]] = MappingProxyType({})


class Assignment(NamedTuple):
    """What one layer gave a unit, and why, as OpenFeature's reason.

    SPLIT: the hash chose the variant. TARGETING_MATCH: the same after a rule had let the unit in, or the allow-list
    chose. DEFAULT: the unit is in no experiment, or its rule is false. STATIC: the layer runs none. DISABLED: paused,
    or killed. ERROR: the rule failed. `variant` and `phase` are None where the defaults hold. `counted` says whether
    the unit takes part in the analysis: it has a variant, and the hash chose it. `detail` tells people more.
    """

    layer: str
    experiment: str | None
    variant: str | None
    phase: int | None
    reason: str
    counted: bool
    detail: str = ""


class Decision(NamedTuple):
    """What a unit gets: every parameter's value, and one assignment a layer, in the order of the layers."""

    parameters: Mapping[str, Json]
    assignments: tuple[Assignment, ...]
    version: int


class _Choice(NamedTuple):
    """A variant as the snapshot hands it out."""

    assignment: Assignment
    values: Mapping[str, Json]


class _Live:
    """A running or paused experiment, compiled. The hash chooses the first variant whose limit it stays below."""

    __slots__ = ("choices", "halted", "key", "layer", "limits", "rule", "salt", "total")

    def __init__(self, experiment: Experiment) -> None:
        self.key, self.layer = experiment.key, experiment.layer
        phase = experiment.phases[-1]
        self.salt = Salt(phase.salt)
        self.rule: Rule | None = None if experiment.rule is None else compile_rule(experiment.rule)
        reason = SPLIT if self.rule is None else TARGETING_MATCH
        self.choices = tuple(
            _Choice(Assignment(self.layer, self.key, one.key, phase.id, reason, counted=True), dict(one.values))
            for one in experiment.variants
        )
        self.limits = tuple(accumulate(phase.weights.get(one.key, 0) for one in experiment.variants))
        self.total = self.limits[-1]
        self.halted: Assignment | None = None
        if experiment.status is Status.PAUSED:
            self.halted = self.unassigned(DISABLED, "the experiment is paused")

    def unassigned(self, reason: str, detail: str) -> Assignment:
        """The assignment of a unit that has a bucket here and no variant."""
        return Assignment(self.layer, self.key, None, None, reason, counted=False, detail=detail)


class _Lane:
    """A layer, compiled. `table` has the experiment of each bucket; None where the layer runs none."""

    __slots__ = ("default", "forced", "salt", "static", "table")

    def __init__(self, layer: Layer, experiments: Sequence[Experiment]) -> None:
        self.salt = Salt(layer.salt)
        self.default = Assignment(layer.key, None, None, None, DEFAULT, counted=False, detail="in no experiment")
        self.static = Assignment(layer.key, None, None, None, STATIC, counted=False, detail="no experiment runs here")
        self.forced: dict[str, _Choice] = {}
        self.table: list[_Live | None] | None = None
        if experiments:
            self.table = [None] * BUCKETS
            for experiment in experiments:
                live = _Live(experiment)
                for one in experiment.ranges:
                    self.table[one.start : one.stop] = [live] * (one.stop - one.start)
                if live.halted is None:
                    self._force(live, experiment.forced)

    def _force(self, live: _Live, forced: Mapping[str, str]) -> None:
        by_key = {choice.assignment.variant: choice for choice in live.choices}
        for unit, variant in forced.items():
            choice = by_key[variant]
            assignment = choice.assignment._replace(reason=TARGETING_MATCH, counted=False, detail="on the allow-list")
            self.forced.setdefault(unit, choice._replace(assignment=assignment))


class Snapshot:
    """One version of the configuration, ready to assign. It never changes; a new version is a new snapshot."""

    __slots__ = ("_constant", "_defaults", "_lanes", "_needs_unit", "configuration", "version")

    def __init__(self, configuration: Configuration) -> None:
        self.configuration, self.version = configuration, configuration.version
        self._defaults = {one.key: one.default for one in configuration.parameters}
        self._lanes = tuple(_Lane(layer, _live_in(configuration, layer.key)) for layer in configuration.layers)
        self._constant: tuple[Assignment, ...] | None = None
        if configuration.killed:
            self._constant = tuple(_killed(layer) for layer in configuration.layers)
        self._needs_unit = any(
            live.rule is not None and live.rule.needs_unit
            for lane in self._lanes
            for live in set(lane.table or ())
            if live is not None
        )

    def assign(self, unit: str, context: Mapping[str, Json] = _NO_CONTEXT) -> Decision:
        """What `unit` gets. Pure and without I/O; the same unit and context, the same decision.

        `context` feeds the rules, to which the unit is `targetingKey`. Raises InvalidInput for a unit that is not
        valid Unicode.
        """
        parameters = self._defaults.copy()
        if self._constant is not None:
            return Decision(parameters, self._constant, self.version)
        encoded = encode_unit(unit)
        scope = {**context, UNIT_ATTRIBUTE: unit} if self._needs_unit else context
        assignments: list[Assignment] = []
        for lane in self._lanes:
            assignment, values = _assigned(lane, unit, encoded, scope)
            assignments.append(assignment)
            if values:
                parameters.update(values)
        return Decision(parameters, tuple(assignments), self.version)


def compile_snapshot(configuration: Configuration) -> Snapshot:
    """The snapshot of `configuration`.

    Raises ConfigurationInvalid, naming every fault, where a live experiment could not assign: overlapping buckets,
    no phase, no weights, a bad rule, a forced variant that is none.
    """
    faults = [fault for one in configuration.experiments if _is_live(one) for fault in _faults(configuration, one)]
    if faults:
        raise ConfigurationInvalid(*faults)
    return Snapshot(configuration)


def _assigned(
    lane: _Lane, unit: str, encoded: bytes, scope: Mapping[str, Json]
) -> tuple[Assignment, Mapping[str, Json]]:
    table = lane.table
    if table is None:
        return lane.static, _NO_VALUES
    if lane.forced and (forced := lane.forced.get(unit)) is not None:
        return forced.assignment, forced.values
    live = table[(lane.salt.hash(encoded) * BUCKETS) >> 32]
    if live is None:
        return lane.default, _NO_VALUES
    if live.halted is not None:
        return live.halted, _NO_VALUES
    if live.rule is not None and not (match := live.rule.match(scope)).matched:
        return live.unassigned(ERROR if match.failed else DEFAULT, match.detail), _NO_VALUES
    return live.choices[bisect_right(live.limits, (live.salt.hash(encoded) * live.total) >> 32)]


def _is_live(experiment: Experiment) -> bool:
    return experiment.status in (Status.RUNNING, Status.PAUSED)


def _live_in(configuration: Configuration, layer: str) -> list[Experiment]:
    return [one for one in configuration.experiments if one.layer == layer and _is_live(one)]


def _killed(layer: Layer) -> Assignment:
    return Assignment(layer.key, None, None, None, DISABLED, counted=False, detail="the kill switch is on")


def _faults(configuration: Configuration, experiment: Experiment) -> list[str]:
    """Why `experiment` could not assign; the life cycle lets none of this through, an edited store might."""
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
    return faults
