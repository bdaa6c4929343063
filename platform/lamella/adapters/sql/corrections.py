"""What changed units take from the kept sums and add to them, for any number of phases in one reading of their totals.

A unit whose vector x became x' takes xxᵀ away and adds x'x'ᵀ. Its totals, what was added to them since the last refresh
and its exposures are read once, as rows of whole numbers, and grouped here: both vectors come from the same rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, NamedTuple, Self

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from lamella.adapters.sql.changes import is_counted
from lamella.adapters.sql.engine import is_postgresql, planned_with
from lamella.adapters.sql.fact_rows import fact_rows
from lamella.adapters.sql.kept_schema import exposure_change, told, total_change
from lamella.adapters.sql.members import Members
from lamella.adapters.sql.schema import FACTS, TOTALS, arm_member, exposure, unit_total
from lamella.adapters.sql.vectors import NOTHING, ArmSums, Query, read_arrays, read_rows, sums_of_vectors

Array = NDArray[np.int64]
Sums = Mapping[str, ArmSums]
_AT_ONCE: Final = 100_000
_MESSAGES: Final = 8
_ZERO_DAY: Final = date(2000, 1, 1)
_BOTH: Final = 0
_BEFORE: Final = 1
_AFTER: Final = 2
_KEY: Final = 4
_NONE: Final = -1


class whole_day(GenericFunction[Any]):  # noqa: N801 - reads as a function of SQL
    """A day as the number of days since 2000."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(whole_day, "postgresql")
def _day_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    (day,) = (compiler.process(each, **options) for each in element.clauses)
    return f"CAST({day} - DATE '2000-01-01' AS bigint)"


@compiles(whole_day, "sqlite")
def _day_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    (day,) = (compiler.process(each, **options) for each in element.clauses)
    return f"CAST(julianday({day}) - 2451544.5 AS INTEGER)"


class Correction(NamedTuple):
    """The sums of the changed units of a phase: as they are kept, and as they should be."""

    minus: Sums
    plus: Sums


def differing(until: datetime | None) -> sa.CompoundSelect[Any]:
    """The units that changed since the last refresh, or that have something recorded from `until` on."""
    parts = [sa.select(total_change.c.unit), sa.select(exposure_change.c.unit)]
    if until is not None:
        parts += [sa.select(fact.c.unit).where(fact.c.time >= until) for fact in (*FACTS, told)]
    return sa.union(*parts)


def corrections(
    connection: sa.Connection, phases: Mapping[int, date | None], until: datetime | None = None
) -> Mapping[int, Correction]:
    """The correction of each phase to now, or to `until`; `phases` say since when their covariates are counted."""
    number = connection.execute(sa.select(sa.func.count()).select_from(differing(until).subquery())).scalar_one()
    asked = sa.select(arm_member.c.variant).where(arm_member.c.phase.in_(phases)).distinct()
    variants = sorted(connection.execute(asked).scalars())
    members = {phase: Members.of(connection, phase, variants) for phase in phases}
    found = dict.fromkeys(phases, Correction({}, {}))
    for start in range(0, number, _AT_ONCE):
        changed = _Changed.read(connection, list(phases), variants, until, (start, min(start + _AT_ONCE, number)))
        for phase, since in phases.items():
            minus = changed.sums(phase, _BEFORE, members[phase], since, variants)
            plus = changed.sums(phase, _AFTER, members[phase], since, variants)
            held = found[phase]
            found[phase] = Correction(_added(held.minus, minus), _added(held.plus, plus))
    return found


@dataclass(frozen=True, slots=True)
class _Changed:
    """Some changed units, known by number. `totals` are rows of unit, side, arm, day and the totals.

    `present` are the exposures of now: phase, unit, place of the variant, first day, crossed, whether it counts and
    whether it is before `until`. `noted` are those of the last refresh where they were others, the oldest last: phase,
    unit, place, first day, crossed, whether it counted, and the number of the note.
    """

    size: int
    totals: Array
    present: Array
    noted: Array

    @classmethod
    def read(
        cls,
        connection: sa.Connection,
        phases: Sequence[int],
        variants: Sequence[str],
        until: datetime | None,
        between: tuple[int, int],
    ) -> Self:
        """The changed units whose places in the order of all are in `between`."""
        chosen = _chosen(until, between)
        # Some thousand units are looked up one by one; by its usual costs PostgreSQL would read every unit's totals.
        with planned_with(connection, "random_page_cost", "0.1"):
            totals = _all_rows(connection, _totals(chosen, until))
            present = _all_rows(connection, _present(chosen, phases, variants, until))
            noted = _all_rows(connection, _noted(chosen, phases, variants))
        totals = totals[np.argsort(totals[:, 0], kind="stable")]
        return cls(between[1] - between[0], totals, present, noted[np.argsort(-noted[:, -1])])

    def sums(self, phase: int, side: int, members: Members, since: date | None, variants: Sequence[str]) -> Sums:
        """The sums of these units by variant, on one side of the change."""
        place, first_day, crossed = self._exposed(phase, side)
        rows = self.totals[(self.totals[:, 1] == _BOTH) | (self.totals[:, 1] == side)]
        unit, _, arm, day = rows[:, :_KEY].T
        values, own, at = rows[:, _KEY:], place[unit], members.at(arm)
        during = (own >= 0) & members.counted[at] & (members.place[at] == own)
        before = (own >= 0) & (day < first_day[unit])
        if since is not None:
            before &= day >= (since - _ZERO_DAY).days
        width = len(TOTALS)
        vectors = np.zeros((self.size, 1 + 2 * width), dtype=np.int64)
        vectors[:, 0] = crossed
        if len(unit):
            starts = np.flatnonzero(np.r_[True, unit[1:] != unit[:-1]])
            parts = [np.where(chosen[:, None], values, 0) for chosen in (during, before)]
            vectors[unit[starts], 1:] = np.add.reduceat(np.concatenate(parts, axis=1), starts)
        return {variants[each]: sums_of_vectors(vectors[place == each]) for each in np.unique(place[place >= 0])}

    def _exposed(self, phase: int, side: int) -> tuple[Array, Array, Array]:
        """Of every unit the place of its variant, -1 where it takes no part, its first day and whether it crossed."""
        held = np.zeros((3, self.size), dtype=np.int64)
        held[0] = _NONE
        present = self.present[self.present[:, 0] == phase]
        takes_part = present[:, 5] == 1
        if side == _AFTER:
            takes_part &= present[:, 6] == 1
        own = present[takes_part]
        held[:, own[:, 1]] = own[:, 2:5].T
        if side == _BEFORE:
            noted = self.noted[self.noted[:, 0] == phase]
            # Of several notes of a unit the last one assigned stays: the oldest.
            held[:, noted[:, 1]] = np.where(noted[:, 5] == 1, noted[:, 2:5].T, _NONE)
        return held[0], held[1], held[2]


def _chosen(until: datetime | None, between: tuple[int, int]) -> sa.CTE:
    """The units of a stretch, each with its number in it."""
    units = differing(until).subquery("differing")
    place = sa.func.row_number().over(order_by=units.c.unit) - 1
    numbered = sa.select(units.c.unit, place.label("place")).subquery("numbered")
    number = sa.cast(numbered.c.place - between[0], sa.BigInteger).label("number")
    within = (numbered.c.place >= between[0], numbered.c.place < between[1])
    return sa.select(numbered.c.unit, number).where(*within).cte("chosen")


def _totals(chosen: sa.CTE, until: datetime | None) -> Query:
    """The totals as they are, what notes take from those of the last refresh, and facts from those of `until`."""
    parts = [_side(chosen, unit_total, _BOTH), _side(chosen, total_change, _BEFORE, sign=-1)]
    if until is not None:
        parts.append(_side(chosen, fact_rows(since=until, sign=-1).subquery("later"), _AFTER))
    return sa.union_all(*parts)


def _side(chosen: sa.CTE, of: sa.FromClause, side: int, *, sign: int = 1) -> sa.Select[Any]:
    values = [_whole(of.c[name] if sign > 0 else -of.c[name]).label(name) for name in TOTALS]
    key = (_whole(sa.literal_column(str(side))).label("side"), _whole(of.c.arm).label("arm"))
    day = sa.func.whole_day(of.c.day).label("day")
    return sa.select(chosen.c.number, *key, day, *values).join_from(chosen, of, of.c.unit == chosen.c.unit)


def _present(chosen: sa.CTE, phases: Sequence[int], variants: Sequence[str], until: datetime | None) -> sa.Select[Any]:
    is_before = sa.literal_column("1") if until is None else _flag(exposure.c.first_at < until)
    return _exposures(chosen, exposure, phases, variants, _flag(is_counted()), is_before)


def _noted(chosen: sa.CTE, phases: Sequence[int], variants: Sequence[str]) -> sa.Select[Any]:
    counted = _flag(sa.and_(exposure_change.c.variant.is_not(None), exposure_change.c.counted))
    return _exposures(chosen, exposure_change, phases, variants, counted, exposure_change.c.id)


def _exposures(
    chosen: sa.CTE, of: sa.Table, phases: Sequence[int], variants: Sequence[str], *others: sa.ColumnElement[Any]
) -> sa.Select[Any]:
    places = {each: number for number, each in enumerate(variants)}
    place = sa.case(places, value=of.c.variant, else_=_NONE) if places else sa.literal_column(str(_NONE))
    first_day = sa.func.coalesce(sa.func.whole_day(of.c.first_day), 0)
    columns = (place, first_day, _flag(of.c.crossed), *others)
    named = (_whole(column).label(f"c{number}") for number, column in enumerate(columns))
    key = (_whole(of.c.phase).label("phase"), chosen.c.number)
    return sa.select(*key, *named).join_from(chosen, of, of.c.unit == chosen.c.unit).where(of.c.phase.in_(phases))


def _all_rows(connection: sa.Connection, query: Query) -> Array:
    """The rows of a query that has the unit's number; on PostgreSQL some messages carry them instead of one a row."""
    if is_postgresql(connection):
        rows = query.subquery("found")
        parts = list(read_arrays(connection, sa.select(*rows.c), rows.c.number % _MESSAGES))
    else:
        parts = list(read_rows(connection, query))
    return np.concatenate(parts) if parts else np.zeros((0, len(query.selected_columns)), dtype=np.int64)


def _added(one: Sums, other: Sums) -> Sums:
    return {each: one.get(each, NOTHING) + other.get(each, NOTHING) for each in one.keys() | other.keys()}


def _flag(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.case((condition, 1), else_=0)


def _whole(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Every column as eight bytes."""
    return sa.cast(column, sa.BigInteger)
