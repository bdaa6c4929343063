"""The configuration compiled for serving: immutable, in memory, without I/O. This is the hot path.

A unit passes the kill switch and the holdouts, then in each layer the allow-list, the domain, the bucket, its
experiment's prerequisites and rule, and the variant: one hash for the layer, which falls away where one experiment
has every bucket, and one for the variant. What is the same for every unit is computed when the snapshot is made.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from mmh3 import mmh3_32_uintdigest as digest

from lamella.errors import ConfigurationInvalid, InvalidInput, NotFound
from lamella.experiments import assignment as words
from lamella.experiments.assignment import (
    DEFAULT,
    DISABLED,
    ERROR,
    SPLIT,
    STATIC,
    TARGETING_MATCH,
    Assignment,
    Decision,
)
from lamella.experiments.compiling import holdouts_at, lanes_of, live_faults, order_of
from lamella.experiments.hashing import encode_unit
from lamella.experiments.lanes import NOBODY, NOTHING_FORCED, Answer, Lane, Live, Request
from lamella.experiments.model import Configuration, Holdout, Json, Status, UnitKind
from lamella.experiments.selection import experiment_of
from lamella.experiments.spaces import Share
from lamella.experiments.targeting import UNIT_ATTRIBUTE

__all__ = [
    "DEFAULT",
    "DISABLED",
    "ERROR",
    "SPLIT",
    "STATIC",
    "TARGETING_MATCH",
    "Assignment",
    "Decision",
    "Snapshot",
    "Units",
    "compile_snapshot",
]

Units: TypeAlias = "str | Mapping[UnitKind, str]"
"""A user, or the units of a request by their kind."""

_NO_CONTEXT: Final[Mapping[str, Json]] = MappingProxyType({})
_PREVIEWED: Final = (Status.DRAFT, Status.SCHEDULED)
_MOST_SIZES: Final = 256
# What is known before any rule is asked, at its place in the list of findings.
_FOUND: Final = (True, None)
_CERTAIN, _UNSURE = range(len(_FOUND))


class _Choice(NamedTuple):
    """The last step of a lane: what its rule found is at `ask`, and the hash chooses among `cells`."""

    ask: int
    head: bytes
    limits: Sequence[int]
    cells: Sequence["_Cell"]


class _Cell(NamedTuple):
    """An answer; where there is a `choice`, that to a unit which the experiment's rule refuses."""

    assignment: Assignment
    values: Mapping[str, Json]
    choice: _Choice | None


class _Row(NamedTuple):
    """A lane made ready for units of one length. Its cell is `cell`, or, with a `head`, that which has the bucket."""

    cell: _Cell
    head: bytes
    limits: Sequence[int]
    cells: Sequence[_Cell]
    lane: Lane


class _Ready(NamedTuple):
    """What is the same for all units of one length: the holdouts from all layers, and the lanes."""

    held: tuple[tuple[bytes, Sequence[int], tuple[Assignment, ...]], ...]
    rows: tuple[_Row, ...]


_ASKED: Final = _Choice(_UNSURE, b"", (), ())
"""The choice of a lane that has to be asked for every answer."""


class Held(NamedTuple):
    """A holdout from every layer, with the answer of those whom it holds out."""

    share: Share
    assignments: tuple[Assignment, ...]


class Snapshot:
    """One version of the configuration, ready to assign. It never changes; a new version is a new snapshot.

    `holdouts` are those in force at the moment that it was compiled for; `changes_at` is when that changes next. For
    evaluations of many units: `lanes` are the layers in the `order` of evaluation, `held` the holdouts from all of
    them, `constant` the assignments that everybody gets while the kill switch is on.
    """

    __slots__ = (
        "_asks", "_defaults", "_listed", "_needs_unit", "_rows", "_seats",
        "changes_at", "configuration", "constant", "held", "holdouts", "keeping", "lanes", "order", "version",
    )  # fmt: skip

    def __init__(self, configuration: Configuration, at: datetime | None = None) -> None:
        self.configuration, self.version = configuration, configuration.version
        self.holdouts, self.changes_at = holdouts_at(configuration, at)
        self._defaults = {one.key: one.default for one in configuration.parameters}
        self.order = order_of(configuration)
        self._seats = _seats(configuration, self.order)
        self.lanes = lanes_of(configuration, self.order, self.holdouts)
        self._listed = frozenset(unit for lane in self.lanes for unit in lane.forced)
        self.constant: tuple[Assignment, ...] | None = None
        if configuration.killed:
            self.constant = _everywhere(configuration, DISABLED, words.KILLED)
        self.held = tuple(_global(configuration, one) for one in self.holdouts if one.domain is None)
        lives = [live for lane in self.lanes for live in lane.holders if live is not None]
        self._needs_unit = any(live.rule is not None and live.rule.needs_unit for live in lives)
        self.keeping = frozenset(live.phase for live in lives if live.keeps and live.halted is None)
        """The phases whose experiments keep units that are no longer eligible."""
        self._asks = tuple(dict.fromkeys(live.quick for live in lives if live.quick is not None))
        self._rows: dict[int, _Ready] = {}

    def assign(
        self,
        unit: Units,
        context: Mapping[str, Json] = _NO_CONTEXT,
        *,
        remembered: Mapping[int, str] = NOBODY,
        forced: Mapping[str, str] = NOTHING_FORCED,
    ) -> Decision:
        """What `unit` gets. Pure and without I/O; the same arguments, the same decision.

        `context` feeds the rules, to which the layer's unit is `targetingKey`. `remembered` maps phases to the
        variant that the unit was exposed to: experiments whose policy is to stick keep it. `forced` maps experiments
        to the variant to preview: it is given like one of the allow-list. Raises InvalidInput for a unit that is not
        valid Unicode, and for a preview of an experiment or a variant that there is not.
        """
        parameters = self._defaults.copy()
        if self.constant is not None:
            return Decision(parameters, self.constant, self.version)
        if forced or remembered or type(unit) is not str or unit in self._listed:
            units = {UnitKind.USER: unit} if isinstance(unit, str) else unit
            return self._decide(Request(units, context, remembered, forced), parameters)
        encoded = encode_unit(unit)
        ready = self._rows.get(len(encoded)) or self._ready(len(encoded))
        for head, limits, everywhere in ready.held:
            if bisect_right(limits, digest(head + encoded)) & 1:
                return Decision(parameters, everywhere, self.version)
        scope = {**context, UNIT_ATTRIBUTE: unit} if self._needs_unit else context
        found = [*_FOUND, *[ask(scope) for ask in self._asks]]
        request: Request | None = None
        assignments: list[Assignment] = []
        for cell, head, limits, cells, lane in ready.rows:
            assignment, values, choice = cells[bisect_right(limits, digest(head + encoded))] if head else cell
            if choice is not None:
                ask, head, limits, cells = choice  # noqa: PLW2901 - the same step once more, among the variants
                if found[ask]:
                    assignment, values, _ = cells[bisect_right(limits, digest(head + encoded))]
                elif found[ask] is None:
                    request = request or Request({UnitKind.USER: unit}, context)
                    assignment, values = lane.decide(request, assignments)
            if values:
                parameters.update(values)
            assignments.append(assignment)
        given = tuple(assignments) if self._seats is None else self._seats(assignments)
        return Decision(parameters, given, self.version)

    def kept_phases(self, decision: Decision) -> dict[int, UnitKind]:
        """The phases that would keep the unit had it been exposed in them, with their kind of unit.

        Those of experiments that stick, in whose buckets the unit is and which gave it nothing by `decision`.
        """
        kinds = {layer.key: layer.unit for layer in self.configuration.layers}
        by_key = {one.key: one.phases[-1].id for one in self.configuration.experiments if one.phases}
        refused = [one for one in decision.assignments if one.experiment is not None and one.variant is None]
        return {
            by_key[one.experiment]: kinds[one.layer]
            for one in refused
            if one.experiment is not None and by_key[one.experiment] in self.keeping
        }

    def _ready(self, size: int) -> _Ready:
        """The snapshot for units of `size` bytes, kept for the next one of that length."""
        held = tuple(
            (one.share.salt.head(size), one.share.limits, one.assignments)
            for one in self.held
            if one.share.kind is UnitKind.USER
        )
        ready = _Ready(held, tuple(self._row(lane, size) for lane in self.lanes))
        if len(self._rows) < _MOST_SIZES:
            self._rows[size] = ready
        return ready

    def _row(self, lane: Lane, size: int) -> _Row:
        if not lane.is_open:
            return _Row(_Cell(*lane.default, _ASKED), b"", (), (), lane)
        if lane.static is not None:
            return _Row(_Cell(*lane.static, None), b"", (), (), lane)
        if lane.only is not None:
            return _Row(self._cell(lane, lane.only, size), b"", (), (), lane)
        cells = tuple(self._cell(lane, live, size) for live in lane.holders)
        return _Row(cells[0], lane.salt.head(size), lane.limits, cells, lane)

    def _cell(self, lane: Lane, live: Live | None, size: int) -> _Cell:
        if live is None:
            return _Cell(*lane.default, None)
        return _Cell(*live.halted, None) if live.halted else _Cell(*live.refused, self._choice(live, size))

    def _choice(self, live: Live, size: int) -> _Choice:
        ask = _UNSURE
        if not live.requires and live.rule is None:
            ask = _CERTAIN
        elif not live.requires and live.quick is not None:
            ask = len(_FOUND) + self._asks.index(live.quick)
        cells = tuple(_Cell(*answer, None) for answer in live.answers)
        return _Choice(ask, live.salt.head(size), live.limits, cells)

    def _decide(self, request: Request, parameters: dict[str, Json]) -> Decision:
        """The decision by every step there is: for named units, previews, and what is remembered."""
        previews = self._previews(request.forced)
        for number, held in enumerate(self.held):
            if request.holds(("global", str(number)), held.share):
                return Decision(parameters, held.assignments, self.version)
        assignments: list[Assignment] = []
        for lane in self.lanes:
            assignment, values = previews.get(lane.key) or lane.decide(request, assignments)
            parameters.update(values)
            assignments.append(assignment)
        given = tuple(assignments) if self._seats is None else self._seats(assignments)
        return Decision(parameters, given, self.version)

    def _previews(self, forced: Mapping[str, str]) -> dict[str, Answer]:
        """The answers for previews of experiments that did not start, by layer; checks all of `forced`."""
        found: dict[str, Answer] = {}
        for key, wanted in forced.items():
            try:
                experiment = experiment_of(self.configuration, key)
            except NotFound as error:
                raise InvalidInput(f"a preview of what is not there: {error}") from None
            variant = next((one for one in experiment.variants if one.key == wanted), None)
            if variant is None or experiment.status in (Status.STOPPED, Status.ARCHIVED):
                raise InvalidInput(
                    f"variant {wanted!r} of experiment {key!r} ({experiment.status}) cannot be previewed; "
                    f"variants: {', '.join(one.key for one in experiment.variants)}"
                )
            if experiment.status in _PREVIEWED:
                answer = Assignment(experiment.layer, key, wanted, None, TARGETING_MATCH, False, words.PREVIEW)  # noqa: FBT003
                found[experiment.layer] = (answer, variant.values)
        return found


def compile_snapshot(configuration: Configuration, at: datetime | None = None) -> Snapshot:
    """The snapshot of `configuration` at the moment `at`, which decides which holdouts are in force.

    Without a moment, those without a period are. Raises ConfigurationInvalid, naming every fault, where a live
    experiment could not assign: overlapping buckets, no phase, no weights, a bad rule, a forced variant that is none,
    a prerequisite or a domain that is not there.
    """
    faults = live_faults(configuration)
    if faults:
        raise ConfigurationInvalid(*faults)
    return Snapshot(configuration, at)


def _everywhere(configuration: Configuration, reason: str, detail: str) -> tuple[Assignment, ...]:
    return tuple(
        Assignment(layer.key, None, None, None, reason, counted=False, detail=detail) for layer in configuration.layers
    )


def _global(configuration: Configuration, holdout: Holdout) -> Held:
    share = Share(holdout.salt, holdout.unit, holdout.ranges)
    return Held(share, _everywhere(configuration, DEFAULT, words.held_out(holdout.key)))


def _seats(
    configuration: Configuration, order: Sequence[str]
) -> Callable[[Sequence[Assignment]], tuple[Assignment, ...]] | None:
    """What brings assignments from the order of evaluation into that of the layers; None where they are the same."""
    wanted = [order.index(layer.key) for layer in configuration.layers]
    return None if wanted == sorted(wanted) else itemgetter(*wanted)
