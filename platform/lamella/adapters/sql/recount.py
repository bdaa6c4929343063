"""The sums of a phase from the facts alone: neither totals nor exposures nor anything kept is read.

The facts are read once, as narrow arrays, and grouped here: that is several times as fast as grouping them in the
store. A unit is known by two hashes of 64 bits on PostgreSQL, and by a number of its own on SQLite.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import count
from typing import Any, Final

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from lamella.adapters.sql import kept
from lamella.adapters.sql.engine import is_postgresql, planned_with
from lamella.adapters.sql.fact_rows import fell_back, whole_moment
from lamella.adapters.sql.kept_schema import told
from lamella.adapters.sql.members import Members
from lamella.adapters.sql.schema import TOTALS, click, flagged_unit, interaction, read, slate
from lamella.adapters.sql.vectors import ArmSums, fetched, read_arrays, read_rows, sums_of_vectors
from lamella.errors import Conflict

Array = NDArray[np.int64]
_DAY: Final = 86_400_000_000
_ZERO_DAY: Final = date(2000, 1, 1)
_ZERO_MICROS: Final = int(np.datetime64("2000-01-01", "us").astype(np.int64))
_NO_COMPLETION: Final = -1
_SERVED, _FELL_BACK = TOTALS.index("slates"), TOTALS.index("fallback_slates")


def recounted(connection: sa.Connection, phase: int, since: date | None) -> Mapping[str, ArmSums]:
    """The exact sums by variant; what a sound store has in `kept.counted_afresh`.

    Raises Conflict where two units share both hashes, which needs some 10^18 units by chance.
    """
    if is_postgresql(connection):
        connection.exec_driver_sql("SET LOCAL work_mem = '256MB'")
    variants = kept.variants_of(connection, phase)
    # Hours are few: hashed, their rows need no sort. PostgreSQL takes them to be as many as the rows.
    with planned_with(connection, "enable_sort", "off"):
        units = _Units(connection)
        served = units.read(slate, slate.c["items"], sa.case((fell_back(), 1), else_=0))
        met = units.read(told)
        members = Members.of(connection, phase, variants)
        firsts = _first_exposures([served, met], members, units.flagged())
        grouping = _Grouping(firsts, members, _days_from(since))
        grouping.add(served, {_SERVED: 1, TOTALS.index("impressions"): served.values[0], _FELL_BACK: served.values[1]})
        clicks = units.read(click)
        grouping.add(clicks, {TOTALS.index("clicks"): 1})
        reads = units.read(read, sa.func.whole_micros(read.c.read_seconds), _completion())
        seconds, completion = reads.values
        grouping.add(
            reads,
            {
                TOTALS.index("reads"): 1,
                TOTALS.index("read_micros"): seconds,
                TOTALS.index("completion_micros"): np.maximum(completion, 0),
                TOTALS.index("completion_reads"): completion != _NO_COMPLETION,
            },
        )
        acted = units.read(interaction, _is("comment"), _is("share"))
        shares = {TOTALS.index("comments"): acted.values[0], TOTALS.index("shares"): acted.values[1]}
        grouping.add(acted, {TOTALS.index("interactions"): 1, **shares})
    return grouping.sums(variants)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Facts: whose, when (microseconds since 2000), in which arm, and what else was asked for."""

    unit: Array
    twin: Array
    micros: Array
    arm: Array
    values: Sequence[Array]


@dataclass(frozen=True, slots=True)
class _Firsts:
    """First exposures, by `unit`; `place` is that of the variant."""

    unit: Array
    twin: Array
    place: Array
    day: Array
    crossed: NDArray[np.bool_]
    counted: NDArray[np.bool_]


class _Units:
    """Reads facts, with numbers for units."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._numbers: defaultdict[str, int] = defaultdict(count().__next__)

    def read(self, fact: sa.Table, *values: sa.ColumnElement[Any]) -> _Frame:
        """Every row of the fact."""
        columns = [fact.c.time, fact.c.arm, *values]
        width = 2 + len(columns)
        parts = list(self._parts(fact.c.unit, columns))
        rows = np.concatenate(parts) if parts else np.zeros((0, width), dtype=np.int64)
        unit, twin, micros, arm, *others = np.ascontiguousarray(rows.T)
        return _Frame(unit, twin, micros, arm, others)

    def flagged(self) -> Array:
        """The flagged units: (n, 2)."""
        parts = list(self._parts(flagged_unit.c.unit, []))
        return np.concatenate(parts) if parts else np.zeros((0, 2), dtype=np.int64)

    def _parts(self, unit: sa.ColumnElement[Any], columns: Sequence[sa.ColumnElement[Any]]) -> Iterator[Array]:
        if is_postgresql(self._connection):
            others = [_whole(column).label(f"c{number}") for number, column in enumerate(columns)]
            hashes = [_hash(unit, seed).label(f"h{seed}") for seed in (0, 1)]
            asked = sa.select(*hashes, *others)
            # Rows of an hour travel together: thousands of messages instead of millions.
            hours = sa.func.date_trunc("hour", columns[0]) if columns else None
            yield from (
                read_rows(self._connection, asked) if hours is None else read_arrays(self._connection, asked, hours)
            )
            return
        for rows in fetched(self._connection, sa.select(unit, *columns)):
            names, *values = zip(*rows, strict=True)
            numbers = np.fromiter(map(self._numbers.__getitem__, names), np.int64, len(rows))
            yield np.stack([numbers, np.zeros(len(rows), np.int64), *map(_numeric, values)], axis=1)


def _first_exposures(frames: Sequence[_Frame], members: Members, flagged: Array) -> _Firsts:
    columns = (np.concatenate([getattr(frame, name) for frame in frames]) for name in ("unit", "twin", "micros", "arm"))
    unit, twin, micros, arm = columns
    at = members.at(arm)
    mine = np.flatnonzero(members.place[at] >= 0)
    mine = mine[np.lexsort((members.place[at][mine], micros[mine], unit[mine]))]
    unit, twin, micros, at = unit[mine], twin[mine], micros[mine], at[mine]
    place, counted = members.place[at], members.counted[at]
    starts = np.flatnonzero(np.r_[True, unit[1:] != unit[:-1]]) if len(unit) else np.zeros(0, dtype=np.int64)
    if not len(starts):
        nothing, nobody = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
        return _Firsts(nothing, nothing, nothing, nothing, nobody, nobody)
    if (np.maximum.reduceat(twin, starts) != np.minimum.reduceat(twin, starts)).any():
        raise Conflict("two units share a hash of 64 bits; `lamella record check` compares in the store instead")
    crossed = np.maximum.reduceat(place, starts) != np.minimum.reduceat(place, starts)
    is_counted = np.logical_and.reduceat(counted, starts)
    if len(flagged):
        is_counted &= ~np.isin(unit[starts], flagged[:, 0])
    return _Firsts(unit[starts], twin[starts], place[starts], micros[starts] // _DAY, crossed, is_counted)


class _Grouping:
    """The totals of each exposed unit, under its variant and before."""

    def __init__(self, firsts: _Firsts, members: Members, since: int | None) -> None:
        self._firsts, self._members, self._since = firsts, members, since
        self._during = np.zeros((len(TOTALS), len(firsts.unit)))
        self._before = np.zeros((len(TOTALS), len(firsts.unit)))

    def add(self, frame: _Frame, columns: Mapping[int, Array | NDArray[np.bool_] | int]) -> None:
        """Adds each fact's columns to its unit."""
        firsts, size = self._firsts, len(self._firsts.unit)
        if not size:
            return
        at = np.minimum(np.searchsorted(firsts.unit, frame.unit), size - 1)
        is_exposed = (firsts.unit[at] == frame.unit) & (firsts.twin[at] == frame.twin)
        arm = self._members.at(frame.arm)
        day = frame.micros // _DAY
        during = is_exposed & self._members.counted[arm] & (self._members.place[arm] == firsts.place[at])
        before = is_exposed & (day < firsts.day[at])
        if self._since is not None:
            before &= day >= self._since
        for target, chosen in ((self._during, during), (self._before, before)):
            where = at[chosen]
            for column, values in columns.items():
                weights = None if isinstance(values, int) else values[chosen]
                # Weights are added as floats: whole numbers below 2**53 stay exact.
                target[column] += np.bincount(where, weights=weights, minlength=size)

    def sums(self, variants: Sequence[str]) -> Mapping[str, ArmSums]:
        """The sums of each variant that has units."""
        firsts = self._firsts
        found = {}
        for place, variant in enumerate(variants):
            mine = np.flatnonzero(firsts.counted & (firsts.place == place))
            if len(mine):
                parts = (firsts.crossed[mine][:, None], self._during[:, mine].T, self._before[:, mine].T)
                found[variant] = sums_of_vectors(np.concatenate(parts, axis=1).astype(np.int64))
        return found


def _whole(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Every column as eight bytes."""
    return whole_moment(column) if isinstance(column.type, type(slate.c.time.type)) else sa.cast(column, sa.BigInteger)


def _numeric(values: Sequence[Any]) -> Array:
    """A column as SQLite's driver has it: whole numbers, or moments as text, which become microseconds."""
    if isinstance(values[0], str):
        return np.array(values, dtype="datetime64[us]").astype(np.int64) - _ZERO_MICROS
    return np.fromiter(values, np.int64, len(values))


def _hash(unit: sa.ColumnElement[Any], seed: int) -> sa.ColumnElement[Any]:
    return sa.func.hashtextextended(unit, seed, type_=sa.BigInteger)


def _completion() -> sa.ColumnElement[Any]:
    return sa.func.coalesce(sa.func.whole_micros(read.c.completion), _NO_COMPLETION)


def _is(action: str) -> sa.ColumnElement[int]:
    return sa.case((interaction.c.action == action, 1), else_=0)


def _days_from(since: date | None) -> int | None:
    return None if since is None else (since - _ZERO_DAY).days
