"""Assignment of many units at once, identical to one by one: for analyses, audiences and simulations.

It is here, and not beside the snapshot, because it needs NumPy, which the pure packages of experiments do without.
Nothing is recorded and nothing remembered: it answers what units would get by the snapshot alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lamella.experiments.assignment import DEFAULT, ERROR, Assignment, Decision
from lamella.experiments.hashing import Salt, encode_unit
from lamella.experiments.lanes import Answer, Lane, Live
from lamella.experiments.model import Json, UnitKind
from lamella.experiments.snapshot import Snapshot
from lamella.experiments.spaces import Share
from lamella.experiments.targeting import UNIT_ATTRIBUTE
from lamella.services import murmur

Codes = NDArray[np.int16]
CHUNK: Final = 8192
"""How many units are worked on at a time: few enough for their arrays to stay in the processor's cache."""

_FEW: Final = 8
_NO_CONTEXT: Final[Mapping[str, Json]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """What many units get: `codes[unit, layer]` says which of `answers[layer]` it is.

    Layers are in the order of the configuration. `values[layer][code]` are the parameters that the answer sets.
    """

    layers: tuple[str, ...]
    codes: Codes
    answers: tuple[tuple[Assignment, ...], ...]
    values: tuple[tuple[Mapping[str, Json], ...], ...]
    defaults: Mapping[str, Json]
    launches: tuple[int, ...]
    version: int

    def variants(self, layer: str) -> NDArray[np.object_]:
        """The variant of each unit in the layer, None where it has none: (units,), of objects."""
        place = self.layers.index(layer)
        names = np.array([one.variant for one in self.answers[place]], dtype=object)
        found: NDArray[np.object_] = names[self.codes[:, place]]
        return found

    def decision(self, unit: int) -> Decision:
        """What the snapshot would have said about the unit in this row."""
        codes = self.codes[unit]
        parameters = dict(self.defaults)
        places = range(len(self.layers))
        for place in (*self.launches, *(one for one in places if one not in self.launches)):
            parameters.update(self.values[place][codes[place]])
        return Decision(parameters, tuple(self.answers[place][codes[place]] for place in places), self.version)


class _Column:
    """The answers of one layer, each with its code."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self._codes: dict[Assignment, int] = {}

    def code(self, answer: Answer) -> int:
        """The code of the answer, new or known."""
        code = self._codes.setdefault(answer[0], len(self.answers))
        if code == len(self.answers):
            self.answers.append(answer)
        return code

    def met(self, experiment: str, variants: frozenset[str]) -> NDArray[np.bool_]:
        """For each code, whether it is one of the variants of the experiment."""
        return np.array([one.experiment == experiment and one.variant in variants for one, _ in self.answers])


def assign_many(
    snapshot: Snapshot, units: Sequence[str] | NDArray[np.str_], context: Mapping[str, Json] = _NO_CONTEXT
) -> Assigned:
    """What each of `units`, which are users, gets in this context.

    Raises InvalidInput for a unit that is not valid Unicode.
    """
    names: Sequence[str] = units.tolist() if isinstance(units, np.ndarray) else units
    order = {key: seat for seat, key in enumerate(snapshot.order)}
    columns = [_Column() for _ in snapshot.lanes]
    codes = np.zeros((len(columns), len(names)), np.int16)
    if snapshot.constant is None:
        for places, rows in _groups(names):
            codes[:, places] = _Chunk(snapshot, rows, _Names(names, places), context, columns).codes()
    else:
        for assignment in snapshot.constant:
            columns[order[assignment.layer]].code((assignment, _NO_CONTEXT))
    keys = tuple(layer.key for layer in snapshot.configuration.layers)
    seats = [order[key] for key in keys]
    return Assigned(
        layers=keys,
        codes=codes[seats].T,
        answers=tuple(tuple(answer[0] for answer in columns[seat].answers) for seat in seats),
        values=tuple(tuple(answer[1] for answer in columns[seat].answers) for seat in seats),
        defaults={one.key: one.default for one in snapshot.configuration.parameters},
        launches=tuple(i for i, layer in enumerate(snapshot.configuration.layers) if layer.is_launch),
        version=snapshot.version,
    )


def _groups(names: Sequence[str]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.uint8]]]:
    """Units of the same length, at most CHUNK together: their places, and their bytes as rows."""
    joined = "".join(names)
    encoded = encode_unit(joined) if joined.isascii() else b"".join(map(encode_unit, names))
    lengths: Iterable[int] = map(len, names) if joined.isascii() else (len(encode_unit(one)) for one in names)
    sizes = np.fromiter(lengths, np.int64, len(names))
    starts = np.cumsum(sizes) - sizes
    written = np.frombuffer(encoded, np.uint8)
    for size in np.unique(sizes):
        places = np.flatnonzero(sizes == size)
        for first in range(0, len(places), CHUNK):
            part = places[first : first + CHUNK]
            yield part, written[starts[part][:, np.newaxis] + np.arange(size)]


class _Names:
    """The units of some places, listed only where a rule or an allow-list asks for them by name."""

    def __init__(self, names: Sequence[str], places: NDArray[np.intp]) -> None:
        self._names, self._places = names, places

    def all(self) -> list[str]:
        """The units, in the order of their places."""
        return [self._names[place] for place in self._places.tolist()]


class _Chunk:
    """Units of one length, evaluated in every layer."""

    def __init__(
        self,
        snapshot: Snapshot,
        rows: NDArray[np.uint8],
        names: _Names,
        context: Mapping[str, Json],
        columns: Sequence[_Column],
    ) -> None:
        self._snapshot, self._rows, self._names = snapshot, rows, names
        self._context, self._columns = context, columns
        self._units = murmur.Units(rows) if rows.shape[1] >= murmur.SHORTEST else None
        self._found = np.zeros((len(columns), len(rows)), np.int16)

    def codes(self) -> Codes:
        """The code of each unit in each layer, in the order of evaluation: (layers, units)."""
        for seat, lane in enumerate(self._snapshot.lanes):
            self._found[seat] = self._lane(lane, self._columns[seat])
        for held in reversed(self._snapshot.held):
            out = self._holds(held.share)
            if out is not None:
                own = {one.layer: one for one in held.assignments}
                codes = [
                    column.code((own[lane.key], _NO_CONTEXT))
                    for lane, column in zip(self._snapshot.lanes, self._columns, strict=True)
                ]
                self._found[:, out] = np.array(codes, np.int16)[:, np.newaxis]
        return self._found

    def _lane(self, lane: Lane, column: _Column) -> Codes:
        """The codes of one layer: what would decide last is laid down first, and what goes before it over that."""
        if lane.static is not None or lane.kind is not UnitKind.USER:
            found = self._everybody(column.code(lane.static or lane.no_unit))
        else:
            found = self._placed(lane, column)
            for one in reversed(lane.conditions):
                inside = self._holds(one.share)
                if inside is None:
                    found = self._everybody(column.code(lane.without(one.share.kind)))
                else:
                    found[inside != one.wanted] = column.code(lane.barred_by(one))
            if lane.forced:
                for i, name in enumerate(self._names.all()):
                    if name in lane.forced:
                        found[i] = column.code(lane.forced[name])
        for key, share in reversed(lane.holdouts):
            out = self._holds(share)
            if out is not None:
                found[out] = column.code(lane.held_out(key))
        return found

    def _placed(self, lane: Lane, column: _Column) -> Codes:
        """The codes by bucket, prerequisites, rule and variant."""
        if lane.only is not None:
            return self._experiment(lane, lane.only, column)
        found = self._everybody(column.code(lane.default))
        segments = _segments(lane.limits, self._hashes(lane.salt))
        for live in {one for one in lane.holders if one is not None}:
            own = np.isin(segments, [i for i, one in enumerate(lane.holders) if one is live])
            found[own] = self._experiment(lane, live, column)[own]
        return found

    def _experiment(self, lane: Lane, live: Live, column: _Column) -> Codes:
        """The codes of units in the buckets of an experiment; for the others they mean nothing."""
        if live.halted is not None:
            return self._everybody(column.code(live.halted))
        if live.rule is not None and live.rule.needs_unit:
            matches = [live.rule.match({**self._context, UNIT_ATTRIBUTE: name}) for name in self._names.all()]
        else:
            matches = [] if live.rule is None else [live.rule.match(self._context)]
        found = self._variants(live, column)
        for i, match in enumerate(matches):
            if not match.matched:
                reason = ERROR if match.failed else DEFAULT
                refused = column.code(live.unassigned(lane.key, reason, match.detail))
                found[i if len(matches) == len(found) else slice(None)] = refused
        for one in reversed(live.requires):
            met = self._columns[one.seat].met(one.experiment, one.variants)[self._found[one.seat]]
            found[~met] = column.code(live.unassigned(lane.key, DEFAULT, one.detail))
        return found

    def _variants(self, live: Live, column: _Column) -> Codes:
        codes = np.array([column.code(answer) for answer in live.answers], np.int16)
        return codes[_segments(live.limits, self._hashes(live.salt))]

    def _holds(self, share: Share) -> NDArray[np.bool_] | None:
        """Which units are inside the share; None where it splits by another kind of unit."""
        if share.kind is not UnitKind.USER:
            return None
        inside: NDArray[np.bool_] = (_segments(share.limits, self._hashes(share.salt)) & 1) == 1
        return inside

    def _hashes(self, salt: Salt) -> murmur.Hashes:
        if self._units is None:
            return np.fromiter((salt.hash(row.tobytes()) for row in self._rows), np.uint32, len(self._rows))
        return self._units.hashes(salt)

    def _everybody(self, code: int) -> Codes:
        return np.full(len(self._rows), code, np.int16)


def _segments(limits: Sequence[int], hashes: murmur.Hashes) -> NDArray[np.intp] | NDArray[np.uint8]:
    """How many of the limits each hash reaches."""
    reached = [limit for limit in limits if limit <= 0xFFFFFFFF]
    if len(reached) > _FEW:
        return np.searchsorted(np.array(reached, np.uint32), hashes, side="right")
    found = np.zeros(len(hashes), np.uint8)
    for limit in reached:
        found += hashes >= np.uint32(limit)
    return found
