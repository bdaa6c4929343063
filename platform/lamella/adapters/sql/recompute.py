"""The derived tables made again from the facts, after a restore or where a check found drift.

Facts that were archived are not there any more: totals of their days, and exposures first met then, stay as they are.
"""

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from lamella.adapters.sql import kept
from lamella.adapters.sql.engine import is_postgresql, snapshot
from lamella.adapters.sql.fact_rows import day_of, fact_rows
from lamella.adapters.sql.kept import Kept
from lamella.adapters.sql.kept_schema import kept_phase, told
from lamella.adapters.sql.locks import ingesting
from lamella.adapters.sql.reading import chain_anew
from lamella.adapters.sql.recount import recounted
from lamella.adapters.sql.schema import TOTALS, archived, arm_member, exposure, slate, unit_total
from lamella.services.keeping import Differences

_KEY: Final = ("unit", "arm", "day")
_EXPOSED: Final = ("phase", "unit", "variant", "first_at", "first_day", "counted", "crossed")
_ROOM: Final = "SET LOCAL work_mem = '256MB'"


class SqlRecomputing:
    """What the facts add up to, compared with what is stored, or stored anew."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def differences(self) -> Differences:
        """Rows of the derived tables, and kept figures, that are not what the facts add up to; 0 in a sound store.

        Where facts were archived, kept figures are left out: those of a phase need all of its facts.
        """
        with snapshot(self._engine) as connection:
            _make_room(connection)
            since = _archived_until(connection)
            totals = sa.select(*(unit_total.c[name] for name in (*_KEY, *TOTALS)))
            firsts = sa.select(*(exposure.c[name] for name in _EXPOSED))
            if since is not None:
                totals = totals.where(unit_total.c.day >= kept.day_of(since))
                firsts = firsts.where(exposure.c.first_at >= since)
            return Differences(
                totals=_differing(connection, totals, _totals(since)),
                exposures=_differing(connection, firsts, _first_exposures(since)),
                figures=_wrong_figures(connection) if since is None else 0,
            )

    def recompute(self, now: datetime) -> Differences:
        """Stores totals and first exposures anew, and refreshes what is kept; returns the rows of both.

        SQLite's histories are made anew too. One transaction, which ingests wait for.
        """
        with ingesting(self._engine) as connection:
            if is_postgresql(connection):
                connection.exec_driver_sql("LOCK TABLE kept_phase IN EXCLUSIVE MODE")
            _make_room(connection)
            since = _archived_until(connection)
            _store_totals(connection, since)
            _store_exposures(connection, since)
            if not is_postgresql(connection):
                chain_anew(connection)
            for row in connection.execute(sa.select(kept_phase)).all():
                arms = kept.counted_afresh(connection, row.phase, row.since)
                kept.store(connection, Kept(phase=row.phase, since=row.since, kept_at=now, arms=arms))
            kept.empty_notes(connection)
            return Differences(totals=_rows_of(connection, unit_total), exposures=_rows_of(connection, exposure))


def _wrong_figures(connection: sa.Connection) -> int:
    held = kept.load_all(connection)
    now = kept.refreshed(connection, held)
    return sum(kept.figures_between(now[each.phase], recounted(connection, each.phase, each.since)) for each in held)


def _make_room(connection: sa.Connection) -> None:
    if is_postgresql(connection):
        connection.exec_driver_sql(_ROOM)


def _archived_until(connection: sa.Connection) -> datetime | None:
    """Since when the facts are complete; None where none was archived."""
    found: datetime | None = connection.execute(sa.select(sa.func.max(archived.c.until))).scalar()
    return found


def _rows(since: datetime | None) -> sa.CompoundSelect[Any]:
    """What each fact adds, and nothing for each exposure that was told without a slate."""
    nothing: list[sa.ColumnElement[Any]] = [sa.literal_column("0").label(name) for name in TOTALS]
    met = sa.select(told.c.unit, told.c.arm, day_of(told.c.time).label("day"), *nothing)
    facts = fact_rows(since=since).subquery("rows")
    rows = sa.select(*(facts.c[name] for name in (*_KEY, *TOTALS)))
    return sa.union_all(rows, met if since is None else met.where(told.c.time >= since))


def _totals(since: datetime | None) -> sa.Select[Any]:
    rows = _rows(since).subquery("fact_rows")
    key = tuple(rows.c[name] for name in _KEY)
    sums = (sa.cast(sa.func.sum(rows.c[name]), unit_total.c[name].type).label(name) for name in TOTALS)
    return sa.select(*key, *sums).group_by(*key)


def _first_exposures(since: datetime | None) -> sa.Select[Any]:
    """The earliest meeting of each unit and phase; of meetings at one moment, the first variant by key.

    Only a unit that met two variants has its meetings put in order.
    """
    met = _meetings(since)
    counted = sa.func.min(sa.case((met.c.counted, 1), else_=0))
    low, high = sa.func.min(met.c.variant), sa.func.max(met.c.variant)
    key = (met.c.phase, met.c.unit)
    grouped = sa.select(
        *key, sa.func.min(met.c.time).label("first_at"), low.label("low"), high.label("high"), counted.label("counted")
    )
    units = grouped.group_by(*key).cte("units")
    again = _meetings(since)
    order = sa.func.row_number().over(
        partition_by=(again.c.phase, again.c.unit), order_by=(again.c.time, again.c.variant)
    )
    pair = sa.and_(units.c.phase == again.c.phase, units.c.unit == again.c.unit, units.c.low != units.c.high)
    placed = sa.select(again.c.phase, again.c.unit, again.c.variant, order.label("place")).join(units, pair)
    first = placed.subquery("placed")
    own = sa.and_(first.c.phase == units.c.phase, first.c.unit == units.c.unit, first.c.place == 1)
    return sa.select(
        units.c.phase,
        units.c.unit,
        sa.func.coalesce(first.c.variant, units.c.low).label("variant"),
        units.c.first_at.label("first_at"),
        day_of(units.c.first_at).label("first_day"),
        (units.c.counted == 1).label("counted"),
        (units.c.low != units.c.high).label("crossed"),
    ).select_from(units.outerjoin(first, own))


def _meetings(since: datetime | None) -> sa.Subquery:
    parts = []
    for fact in (slate, told):
        columns = (arm_member.c.phase, fact.c.unit, fact.c.time, arm_member.c.variant, arm_member.c.counted)
        rows = sa.select(*columns).join(arm_member, arm_member.c.arm == fact.c.arm)
        parts.append(rows if since is None else rows.where(fact.c.time >= since))
    return sa.union_all(*parts).subquery()


def _store_totals(connection: sa.Connection, since: datetime | None) -> None:
    """Replaces the totals from `since` on."""
    stale = sa.delete(unit_total)
    connection.execute(stale if since is None else stale.where(unit_total.c.day >= kept.day_of(since)))
    rows = _totals(since).subquery("totals")
    source = sa.select(*rows.c).order_by(*(rows.c[name] for name in _KEY))
    connection.execute(sa.insert(unit_total).from_select([*_KEY, *TOTALS], source))


def _store_exposures(connection: sa.Connection, since: datetime | None) -> None:
    """Replaces the exposures first met from `since` on; one met before stays, and learns what came after."""
    stale = sa.delete(exposure)
    connection.execute(stale if since is None else stale.where(exposure.c.first_at >= since))
    found = _first_exposures(since).subquery("found")
    new = sa.select(*found.c)
    if since is not None:
        _learn(connection, found)
        old = exposure.alias("old")
        is_known = sa.exists().where(old.c.phase == found.c.phase, old.c.unit == found.c.unit)
        new = new.where(sa.not_(is_known))
    source = new.order_by(found.c.phase, found.c.unit)
    connection.execute(sa.insert(exposure).from_select(list(_EXPOSED), source))


def _rows_of(connection: sa.Connection, table: sa.Table) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def _learn(connection: sa.Connection, found: sa.Subquery) -> None:
    """Exposures that are older than the facts cross, or are forced, by what the facts say of later."""
    same = sa.and_(found.c.phase == exposure.c.phase, found.c.unit == exposure.c.unit)
    crosses = sa.exists().where(same, sa.or_(found.c.crossed, found.c.variant != exposure.c.variant))
    is_forced = sa.exists().where(same, sa.not_(found.c.counted))
    connection.execute(
        sa.update(exposure).values(
            crossed=sa.or_(exposure.c.crossed, crosses), counted=sa.and_(exposure.c.counted, sa.not_(is_forced))
        )
    )


def _differing(connection: sa.Connection, stored: sa.Select[Any], derived: sa.Select[Any]) -> int:
    """Rows that are in one of them only."""
    number = 0
    for one, other in ((stored, derived), (derived, stored)):
        only = sa.except_(one, other).subquery("differing")
        number += connection.execute(sa.select(sa.func.count()).select_from(only)).scalar_one()
    return number
