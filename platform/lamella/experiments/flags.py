"""Every parameter as a flag of OpenFeature: its value, the variant that set it, and why.

A flag's variants are those of the live experiments that may set the parameter, and `default`. A variant goes by its own
key where no other of them has that key, else by `experiment/variant`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from lamella.errors import InvalidInput, NotFound
from lamella.experiments.assignment import Assignment, Decision
from lamella.experiments.checklist import typed, unit_fault
from lamella.experiments.compiling import LIVE, order_of
from lamella.experiments.fields import kind_of
from lamella.experiments.model import Configuration, Experiment, Json, Parameter, UnitKind
from lamella.experiments.selection import near
from lamella.experiments.snapshot import Snapshot, Units
from lamella.experiments.targeting import UNIT_ATTRIBUTE

DEFAULT_VARIANT: Final = "default"
"""The variant of a unit whose experiments leave the parameter alone."""

UNIT_KEYS: Final[Mapping[UnitKind, str]] = {
    UnitKind.USER: UNIT_ATTRIBUTE,
    UnitKind.DEVICE: "deviceKey",
    UnitKind.SESSION: "sessionKey",
}
"""Where an evaluation context names its units."""

_NO_VALUES: Final[Mapping[str, Json]] = {}
Metadata: TypeAlias = Mapping[str, str | int | bool]


class Evaluation(NamedTuple):
    """A flag for one unit. `reason` is OpenFeature's; `metadata` has layer, experiment, phase, whether it counts."""

    key: str
    value: Json
    variant: str
    reason: str
    metadata: Metadata


class Flag:
    """One parameter: which live experiments may set it, and what their variants are called."""

    def __init__(self, configuration: Configuration, parameter: Parameter) -> None:
        self.parameter = parameter
        self.setters = _setters(configuration, parameter)
        pairs = [
            (one.key, variant.key)
            for one in self.setters
            for variant in one.variants
            if one.layer == parameter.layer or parameter.key in variant.values
        ]
        keys = Counter(variant for _, variant in pairs)
        self.names = {pair: _name(*pair, is_alone=keys[pair[1]] == 1) for pair in pairs}
        self._named = {name: pair for pair, name in self.names.items()}

    def name(self, experiment: str, variant: str) -> str:
        """What the flag calls the variant."""
        return self.names.get((experiment, variant), f"{experiment}/{variant}")

    def named(self, name: str) -> tuple[str, str] | None:
        """The experiment and variant that the flag calls so, or None; `experiment/variant` always does."""
        experiment, _, variant = name.partition("/")
        return self._named.get(name) or ((experiment, variant) if (experiment, variant) in self.names else None)

    def deciding(self, given: Sequence[tuple[Assignment, Mapping[str, Json], bool]]) -> Assignment | None:
        """The assignment that the flag is named after, or None where the defaults hold.

        `given` has the assignments that have a variant, in the order of evaluation, each with the variant's values and
        whether its layer is a launch layer. First come those that set the parameter, the last of them before the
        others and launch layers after all; then that of the owning layer.
        """
        key, owner = self.parameter.key, self.parameter.layer
        setting = [(is_launch, one) for one, values, is_launch in given if key in values]
        for wanted in (False, True):
            found = [one for is_launch, one in setting if is_launch is wanted]
            if found:
                return found[-1]
        return next((one for one, _, _ in given if one.layer == owner), None)


class Flags:
    """The flags of one snapshot, by key, in the order of the parameters. It never changes."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        configuration = snapshot.configuration
        self._flags = {one.key: Flag(configuration, one) for one in configuration.parameters}
        self._values = {
            (one.key, variant.key): variant.values for one in configuration.experiments for variant in one.variants
        }
        self._order = {key: seat for seat, key in enumerate(order_of(configuration))}
        self._units = {one.key: one.unit for one in configuration.layers}
        self._launching = frozenset(one.key for one in configuration.layers if one.is_launch)

    def __iter__(self) -> Iterator[str]:
        return iter(self._flags)

    def __contains__(self, key: object) -> bool:
        return key in self._flags

    def flag(self, key: str) -> Flag:
        """The flag with this key. Raises NotFound, naming what is close."""
        if key not in self._flags:
            raise NotFound("parameter", key, next_step=near(key, list(self._flags)))
        return self._flags[key]

    def unit_of(self, layer: str) -> UnitKind:
        """What the layer randomises."""
        return self._units[layer]

    def evaluate(self, decision: Decision, keys: Iterable[str] | None = None) -> list[Evaluation]:
        """The flags, or those of `keys`, as the decision, made by this snapshot, has them. Raises NotFound."""
        given = [
            (one, self._values.get((one.experiment, one.variant), _NO_VALUES), one.layer in self._launching)
            for one in sorted(decision.assignments, key=lambda one: self._order[one.layer])
            if one.experiment is not None and one.variant is not None
        ]
        by_layer = {one.layer: one for one in decision.assignments}
        found: list[Evaluation] = []
        for key in self if keys is None else keys:
            flag = self.flag(key)
            deciding = flag.deciding(given)
            told = deciding or by_layer[flag.parameter.layer]
            name = DEFAULT_VARIANT if deciding is None else flag.name(str(told.experiment), str(told.variant))
            value = typed(flag.parameter, decision.parameters[key])
            found.append(Evaluation(key, value, name, told.reason, _metadata(told)))
        return found


def units_of(user: Json, context: Mapping[str, Json]) -> Units:
    """The units of an evaluation: the user, and the device and session that the context names.

    Raises InvalidInput for one that cannot be randomised.
    """
    named = {kind: context[key] for kind, key in UNIT_KEYS.items() if context.get(key) is not None}
    named[UnitKind.USER] = user
    units: dict[UnitKind, str] = {}
    for kind, unit in named.items():
        fault = unit_fault(unit) if isinstance(unit, str) else f"the unit is {kind_of(unit)}; send text"
        if fault:
            raise InvalidInput(f"{UNIT_KEYS[kind]}: {fault}")
        units[kind] = str(unit)
    return units[UnitKind.USER] if len(units) == 1 else units


def _setters(configuration: Configuration, parameter: Parameter) -> tuple[Experiment, ...]:
    """The live experiments of the parameter's layer, and those of other layers that set it."""
    return tuple(
        one
        for one in configuration.experiments
        if one.status in LIVE
        and (one.layer == parameter.layer or any(parameter.key in variant.values for variant in one.variants))
    )


def _name(experiment: str, variant: str, *, is_alone: bool) -> str:
    return variant if is_alone and variant != DEFAULT_VARIANT else f"{experiment}/{variant}"


def _metadata(assignment: Assignment) -> Metadata:
    found: dict[str, str | int | bool] = {"layer": assignment.layer, "counted": assignment.counted}
    if assignment.experiment is not None:
        found["experiment"] = assignment.experiment
    if assignment.variant is not None:
        found["experimentVariant"] = assignment.variant
    if assignment.phase is not None:
        found["phase"] = assignment.phase
    if assignment.detail:
        found["detail"] = assignment.detail
    return found
