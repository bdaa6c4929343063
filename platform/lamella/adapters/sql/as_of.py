"""The per-unit totals as of a moment: the kept ones, corrected by the facts of one day where some came later.

Of that day the shorter side is read. A report on live traffic is as of some seconds ago, and what has come since is
taken off the totals of all day; one of long ago adds up what had come since midnight.
"""

from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

import sqlalchemy as sa

from lamella.adapters.sql.engine import planned_with
from lamella.adapters.sql.fact_rows import fact_rows
from lamella.adapters.sql.kept_schema import told
from lamella.adapters.sql.schema import FACTS, TOTALS, archived, unit_total

_KEY: Final = ("unit", "arm", "day")
# What counts the facts in a row of totals: each fact is one of these. A row without any tells of an exposure only.
_COUNTS: Final = ("slates", "clicks", "reads", "interactions")
_DAY: Final = timedelta(days=1)


def has_recorded(connection: sa.Connection, since: datetime, until: datetime | None = None) -> bool:
    """Whether the record holds anything from `since` on, and before `until`, or held it before it was archived."""
    within = [
        sa.exists().where(fact.c.time >= since, *([] if until is None else [fact.c.time < until]))
        for fact in (*FACTS, told)
    ]
    # PostgreSQL knows which blocks may hold the time; where it expects many rows it would read a whole month.
    with planned_with(connection, "enable_seqscan", "off"):
        found = bool(connection.execute(sa.select(sa.or_(*within))).scalar())
    return found or is_archived(connection, since, until)


def is_archived(connection: sa.Connection, since: datetime, until: datetime | None = None) -> bool:
    """Whether facts from `since` on, and before `until`, were moved to files."""
    began_before = [] if until is None else [archived.c.since < until]
    found = sa.exists().where(archived.c.until > since, *began_before)
    return bool(connection.execute(sa.select(found)).scalar())


def totals_as_of(connection: sa.Connection, until: datetime | None) -> sa.FromClause:
    """The totals by unit, arm and day of all that was recorded before `until`; a key may have several rows.

    The days before that of `until` count whole. Of its own day, where facts are archived, only those that are left do.
    """
    if until is None or not has_recorded(connection, until):
        return unit_total
    midnight = datetime.combine(until.astimezone(UTC).date(), time(), UTC)
    end, mirrored = midnight + _DAY, until + (until - midnight)
    is_soon_over = mirrored >= end or not has_recorded(connection, mirrored, end)
    is_whole = not is_archived(connection, midnight, end)
    rest = _without(until, end) if is_soon_over and is_whole else _with(midnight, until)
    exposed = (told.c.unit, told.c.arm, sa.literal(midnight.date(), sa.Date), *(sa.literal_column("0") for _ in TOTALS))
    return sa.union_all(
        sa.select(*_columns(unit_total)).where(unit_total.c.day < midnight.date()),
        rest,
        sa.select(*exposed).where(told.c.time >= midnight, told.c.time < until),
    ).cte("totals")


def _with(midnight: datetime, until: datetime) -> sa.Select[Any]:
    """The facts of the day before `until`."""
    facts = fact_rows(since=midnight, until=until).subquery("facts")
    return sa.select(*_columns(facts))


def _without(until: datetime, end: datetime) -> sa.Select[Any]:
    """The totals of the day less what its facts from `until` on added; of them none that only those made."""
    facts = fact_rows(since=until, until=end).subquery("facts")
    key = (facts.c.unit, facts.c.arm)
    sums = (sa.func.sum(facts.c[name]).label(name) for name in TOTALS)
    later = sa.select(*key, *sums).group_by(*key).cte("later")
    left = {name: unit_total.c[name] - sa.func.coalesce(later.c[name], 0) for name in TOTALS}
    same = sa.and_(later.c.unit == unit_total.c.unit, later.c.arm == unit_total.c.arm)
    return (
        sa.select(*(unit_total.c[name] for name in _KEY), *(left[name].label(name) for name in TOTALS))
        .select_from(unit_total.outerjoin(later, same))
        .where(unit_total.c.day == end.date() - _DAY, sum((left[name] for name in _COUNTS), sa.literal(0)) > 0)
    )


def _columns(of: sa.FromClause) -> list[sa.ColumnElement[Any]]:
    return [of.c[name] for name in (*_KEY, *TOTALS)]
