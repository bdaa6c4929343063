"""What the facts add up to: totals per unit, arm and day, and first exposures, kept in the ingest transaction.

Both are exact in whatever order the records come: totals are integer sums, an exposure keeps the earliest moment.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any, Final, NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from lamella.adapters.sql.bulk import Bulk
from lamella.adapters.sql.changes import noted, noting_exposures
from lamella.adapters.sql.columns import DAY_MICROS, MICRO, Column, Integers, micros_of, plain
from lamella.adapters.sql.kept_schema import total_change
from lamella.adapters.sql.schema import TOTALS, exposure, unit_total
from lamella.adapters.sql.slate_frame import NOTHING, Slates
from lamella.events.contract import Exposed

__all__ = ["MICRO", "Totals"]

(
    SLATES, FALLBACK_SLATES, IMPRESSIONS, CLICKS, READS, READ_MICROS, COMPLETION_MICROS, COMPLETION_READS,
    COMMENTS, SHARES, INTERACTIONS,
) = range(len(TOTALS))  # fmt: skip

# A temporary copy of the columns without their constraints.
stage_exposure: Final = sa.Table(
    "stage_exposure",
    sa.MetaData(),
    *(sa.Column(column.name, column.type) for column in exposure.columns),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DELETE ROWS",
)

_LAST_NOTE: Final = "SELECT coalesce(max(id), 0) FROM total_change"
_NOTED: Final = ("unit", "arm", "day", *TOTALS)


@dataclass(slots=True)
class _First:
    at: int
    variant: str
    counted: bool
    crossed: bool = False

    def see(self, at: int, variant: str, *, counted: bool) -> None:
        self.crossed = self.crossed or variant != self.variant
        self.counted = self.counted and counted
        self.at, self.variant = min((self.at, self.variant), (at, variant))


class Totals:
    """The sums of the records that one transaction stores, during which no other ingest runs.

    Times are microseconds since 1970.
    """

    def __init__(self, bulk: Bulk) -> None:
        self._bulk = bulk
        # What is added is noted, and the notes from here on are what the sums are taken from.
        ((self._last_note,),) = bulk.read(_LAST_NOTE)
        bulk.stage(stage_exposure)
        # Each key of a total gets the next number; what is added waits as whole columns.
        self._numbers: defaultdict[tuple[str, int, int], int] = defaultdict(count().__next__)
        self._added: list[tuple[int, Integers, Integers | int]] = []
        self._firsts: dict[tuple[int, str], _First] = {}

    def add_slates(self, slates: Slates, arms: Column) -> None:
        """Counts the slates, their impressions and their exposures."""
        rows = self._rows(slates.units, arms, slates.micros)
        fell_back = np.fromiter(map(NOTHING.__ne__, slates.fallbacks), dtype=np.int64, count=rows.size)
        self._added += [
            (SLATES, rows, 1),
            (IMPRESSIONS, rows, np.array(slates.shown, dtype=np.int64)),
            (FALLBACK_SLATES, rows, fell_back),
        ]
        for unit, at, number in zip(slates.units, slates.micros.tolist(), slates.combination.tolist(), strict=True):
            for each in slates.exposures[number]:
                self.expose(unit, at, each)

    def add_exposure(self, unit: str, at: int, exposed: Exposed, arm: int) -> None:
        """Counts an exposure without a slate: totals of zero, so that the unit takes part in the analysis."""
        self._numbers[unit, arm, at // DAY_MICROS]
        self.expose(unit, at, exposed)

    def expose(self, unit: str, at: int, exposed: Exposed) -> None:
        """Counts one exposure; the earliest of a unit to a phase is kept."""
        key = (exposed.phase, unit)
        first = self._firsts.get(key)
        if first is None:
            self._firsts[key] = _First(at, exposed.variant, exposed.counted)
        else:
            first.see(at, exposed.variant, counted=exposed.counted)

    def add_clicks(self, units: Column, arms: Column, micros: Integers) -> None:
        """Counts clicks under the arms of their slates, on their own days."""
        self._added.append((CLICKS, self._rows(units, arms, micros), 1))

    def add_reads(self, units: Column, arms: Column, micros: Integers, seconds: Column, completions: Column) -> None:
        """Counts reads under the arms of their slates, on their own days."""
        rows = self._rows(units, arms, micros)
        measured = np.array([each is not None for each in completions], dtype=bool)
        self._added += [
            (READS, rows, 1),
            (READ_MICROS, rows, micros_of(seconds)),
            (COMPLETION_READS, rows[measured], 1),
            (COMPLETION_MICROS, rows[measured], micros_of([each for each in completions if each is not None])),
        ]

    def add_interactions(self, units: Column, arms: Column, micros: Integers, actions: Column) -> None:
        """Counts interactions under the arms of their slates, on their own days."""
        rows, names = self._rows(units, arms, micros), np.array(actions)
        self._added += [
            (INTERACTIONS, rows, 1),
            (COMMENTS, rows[names == "comment"], 1),
            (SHARES, rows[names == "share"], 1),
        ]

    def store(self) -> None:
        """Adds the sums to the store's, and keeps the earlier of each two exposures."""
        if not self._numbers:
            return
        statements = _statements(self._bulk.insert)
        self._bulk.append(total_change, dict(zip(_NOTED, self._total_columns(), strict=True)))
        self._bulk.run(statements.add_totals, self._last_note)
        if self._firsts:
            names = stage_exposure.columns.keys()
            self._bulk.append(stage_exposure, dict(zip(names, self._exposure_columns(), strict=True)))
            for statement in statements.keep_first:
                self._bulk.run(statement)

    def _rows(self, units: Column, arms: Column, micros: Integers) -> Integers:
        """The number of the total that each record belongs to."""
        keys = zip(units, plain(arms), (micros // DAY_MICROS).tolist(), strict=True)
        return np.fromiter(map(self._numbers.__getitem__, keys), dtype=np.int64, count=len(units))

    def _total_columns(self) -> list[Column]:
        sums = np.zeros((len(TOTALS), len(self._numbers)), dtype=np.int64)
        for column, rows, values in self._added:
            np.add.at(sums[column], rows, values)
        units, arms, days = zip(*self._numbers, strict=True)
        return [units, arms, self._bulk.days(np.array(days, dtype=np.int64)), *sums.tolist()]

    def _exposure_columns(self) -> list[Column]:
        phases, units = zip(*self._firsts, strict=True)
        firsts = list(self._firsts.values())
        at = np.array([first.at for first in firsts], dtype=np.int64)
        variants = [first.variant for first in firsts]
        flags = [[first.counted for first in firsts], [first.crossed for first in firsts]]
        return [phases, units, variants, self._bulk.moments(at), self._bulk.days(at // DAY_MICROS), *flags]


class _Statements(NamedTuple):
    """What stores the notes and the staged rows."""

    add_totals: sa.Executable
    keep_first: Sequence[sa.Executable]


@cache
def _statements(insert: Any) -> _Statements:
    return _Statements(_add_totals(insert), _keep_first(insert))


def _add_totals(insert: Any) -> sa.Executable:
    """Adds the notes whose number is higher than the one that is given."""
    source = sa.select(*(total_change.c[name] for name in _NOTED)).where(total_change.c.id > sa.literal_column("?"))
    adding = insert(unit_total).from_select(_NOTED, source)
    summed = {name: unit_total.c[name] + adding.excluded[name] for name in TOTALS}
    statement: sa.Executable = adding.on_conflict_do_update(index_elements=["unit", "arm", "day"], set_=summed)
    return statement


def _changing(*columns: Any) -> sa.Select[Any]:
    """The staged exposures that are new or change the one that is kept."""
    new, old = stage_exposure.c, exposure.c
    changed = sa.or_(
        old.unit.is_(None),
        _is_earlier(new, old),
        sa.and_(sa.or_(new.crossed, new.variant != old.variant), sa.not_(old.crossed)),
        sa.and_(old.counted, sa.not_(new.counted)),
    )
    pair = sa.and_(new.phase == old.phase, new.unit == old.unit)
    return sa.select(*columns).select_from(stage_exposure.outerjoin(exposure, pair)).where(changed)


def _keep_first(insert: Any) -> Sequence[sa.Executable]:
    """What notes the exposures that change as they were, and then keeps the new ones.

    PostgreSQL does both in one statement and so looks for what changes once; SQLite has no such statement.
    """
    new = stage_exposure.c
    if insert is not postgresql.insert:
        noting = noting_exposures(_changing(new.phase, new.unit, *noted()))
        return noting, _inserting(insert, _changing(*new))
    before = [each.label(f"old_{each.key}") for each in noted()]
    changing = _changing(*new, *before).cte("changing")
    found = [changing.c[name] for name in ("phase", "unit", *(each.key for each in before))]
    noted_too = noting_exposures(sa.select(*found)).cte("noting")
    return (_inserting(insert, sa.select(*(changing.c[name] for name in new.keys()))).add_cte(noted_too),)  # noqa: SIM118


def _inserting(insert: Any, changed: sa.Select[Any]) -> Any:
    """Inserts new exposures and updates those that changed; the others are not even locked."""
    old = exposure.c
    adding = insert(exposure).from_select(old.keys(), changed)
    late = adding.excluded
    is_earlier = _is_earlier(late, old)
    return adding.on_conflict_do_update(
        index_elements=["phase", "unit"],
        set_={
            "crossed": sa.or_(old.crossed, late.crossed, old.variant != late.variant),
            "counted": sa.and_(old.counted, late.counted),
            "variant": sa.case((is_earlier, late.variant), else_=old.variant),
            "first_day": sa.case((is_earlier, late.first_day), else_=old.first_day),
            "first_at": sa.case((is_earlier, late.first_at), else_=old.first_at),
        },
    )


def _is_earlier(one: Any, other: Any) -> sa.ColumnElement[bool]:
    is_same_moment = sa.and_(one.first_at == other.first_at, one.variant < other.variant)
    return sa.or_(one.first_at < other.first_at, is_same_moment)
