"""What the facts add up to: totals per unit, arm and day, and first exposures, kept in the ingest transaction.

Both are exact in whatever order the records come: totals are integer sums, an exposure keeps the earliest moment.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lamella.adapters.sql.bulk import Bulk
from lamella.adapters.sql.engine import is_postgresql
from lamella.adapters.sql.schema import TOTALS, exposure, unit_total
from lamella.events.contract import Click, Exposed, Exposure, Feedback, Interaction, Read, Slate

MICRO: Final = 1_000_000
(
    SLATES, FALLBACK_SLATES, IMPRESSIONS, CLICKS, READS, READ_MICROS, COMPLETION_MICROS, COMPLETION_READS,
    COMMENTS, SHARES, INTERACTIONS,
) = range(len(TOTALS))  # fmt: skip

_staging: Final = sa.MetaData()


def _stage(table: sa.Table) -> sa.Table:
    """A temporary copy of a table's columns, without its constraints."""
    return sa.Table(
        f"stage_{table.name}",
        _staging,
        *(sa.Column(column.name, column.type) for column in table.columns),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DELETE ROWS",
    )


stage_total: Final = _stage(unit_total)
stage_exposure: Final = _stage(exposure)


@dataclass(slots=True)
class _First:
    at: datetime
    variant: str
    counted: bool
    crossed: bool = False

    def see(self, at: datetime, variant: str, *, counted: bool) -> None:
        self.crossed = self.crossed or variant != self.variant
        self.counted = self.counted and counted
        self.at, self.variant = min((self.at, self.variant), (at, variant))


@dataclass(slots=True)
class Totals:
    """The sums of the records that one transaction stores."""

    sums: dict[tuple[str, int, date], list[int]] = field(default_factory=dict)
    firsts: dict[tuple[int, str], _First] = field(default_factory=dict)

    def add_slate(self, slate: Slate, arm: int) -> None:
        """Counts the slate, its impressions and its exposures."""
        row = self._row(slate.unit, arm, slate.time)
        row[SLATES] += 1
        row[IMPRESSIONS] += len(slate.impressions)
        if slate.fallbacks:
            row[FALLBACK_SLATES] += 1
        for each in slate.exposures:
            self.expose(slate.unit, slate.time, each)

    def add_exposure(self, told: Exposure, arm: int) -> None:
        """Counts an exposure without a slate: totals of zero, so that the unit takes part in the analysis."""
        self._row(told.unit, arm, told.time)
        self.expose(told.unit, told.time, told.exposed)

    def expose(self, unit: str, time: datetime, exposed: Exposed) -> None:
        """Counts one exposure; the earliest of a unit to a phase is kept."""
        first = self.firsts.get((exposed.phase, unit))
        if first is None:
            self.firsts[exposed.phase, unit] = _First(time, exposed.variant, exposed.counted)
        else:
            first.see(time, exposed.variant, counted=exposed.counted)

    def add_feedback(self, event: Feedback, arm: int) -> None:
        """Counts the event under the arm of its slate, on its own day."""
        row = self._row(event.unit, arm, event.time)
        match event:
            case Click():
                row[CLICKS] += 1
            case Read():
                row[READS] += 1
                row[READ_MICROS] += round(event.read_seconds * MICRO)
                if event.completion is not None:
                    row[COMPLETION_READS] += 1
                    row[COMPLETION_MICROS] += round(event.completion * MICRO)
            case Interaction():
                row[INTERACTIONS] += 1
                row[COMMENTS] += event.action == "comment"
                row[SHARES] += event.action == "share"

    def store(self, connection: sa.Connection, bulk: Bulk) -> None:
        """Adds the sums to the store's, and keeps the earlier of each two exposures."""
        bulk.stage(stage_total)
        rows = [(unit, arm, bulk.day(day), *sums) for (unit, arm, day), sums in self.sums.items()]
        bulk.append(stage_total, unit_total.columns.keys(), rows)
        connection.execute(_add_totals(connection))
        if not self.firsts:
            return
        bulk.stage(stage_exposure)
        bulk.append(
            stage_exposure,
            exposure.columns.keys(),
            [
                (phase, unit, f.variant, bulk.moment(f.at), bulk.day(f.at.date()), f.counted, f.crossed)
                for (phase, unit), f in self.firsts.items()
            ],
        )
        connection.execute(_keep_first(connection))

    def _row(self, unit: str, arm: int, time: datetime) -> list[int]:
        key = (unit, arm, time.date())
        row = self.sums.get(key)
        if row is None:
            row = self.sums[key] = [0] * len(TOTALS)
        return row


def _insert(connection: sa.Connection, table: sa.Table) -> Any:
    return postgresql.insert(table) if is_postgresql(connection) else sqlite.insert(table)


def _add_totals(connection: sa.Connection) -> sa.Executable:
    # SQLite would read the ON of ON CONFLICT as that of a join, were there no WHERE.
    source = sa.select(*stage_total.columns).where(sa.true())
    insert = _insert(connection, unit_total).from_select(unit_total.columns.keys(), source)
    added = {name: unit_total.c[name] + insert.excluded[name] for name in TOTALS}
    statement: sa.Executable = insert.on_conflict_do_update(index_elements=["unit", "arm", "day"], set_=added)
    return statement


def _keep_first(connection: sa.Connection) -> sa.Executable:
    """Inserts new exposures and updates those that changed; the others are not even locked."""
    new, old = stage_exposure.c, exposure.c
    changed = sa.or_(
        old.unit.is_(None),
        _is_earlier(new, old),
        sa.and_(sa.or_(new.crossed, new.variant != old.variant), sa.not_(old.crossed)),
        sa.and_(old.counted, sa.not_(new.counted)),
    )
    pair = sa.and_(new.phase == old.phase, new.unit == old.unit)
    source = sa.select(*new).select_from(stage_exposure.outerjoin(exposure, pair)).where(changed)
    insert = _insert(connection, exposure).from_select(exposure.columns.keys(), source)
    late = insert.excluded
    is_earlier = _is_earlier(late, old)
    statement: sa.Executable = insert.on_conflict_do_update(
        index_elements=["phase", "unit"],
        set_={
            "crossed": sa.or_(old.crossed, late.crossed, old.variant != late.variant),
            "counted": sa.and_(old.counted, late.counted),
            "variant": sa.case((is_earlier, late.variant), else_=old.variant),
            "first_day": sa.case((is_earlier, late.first_day), else_=old.first_day),
            "first_at": sa.case((is_earlier, late.first_at), else_=old.first_at),
        },
    )
    return statement


def _is_earlier(one: Any, other: Any) -> sa.ColumnElement[bool]:
    is_same_moment = sa.and_(one.first_at == other.first_at, one.variant < other.variant)
    return sa.or_(one.first_at < other.first_at, is_same_moment)
