"""What changes in the per-unit totals and first exposures, noted for the next refresh of the kept moments.

Whoever changes `unit_total`, `exposure` or `flagged_unit` notes it first, in the same transaction. A refresh reads the
present rows, takes the changes back to find what they were, and empties the notes: it reads only the units that
changed, whatever the history.
"""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from lamella.adapters.sql.kept_schema import exposure_change, told, total_change
from lamella.adapters.sql.schema import TOTALS, exposure, flagged_unit, unit_total

_AT_ONCE: Final = 10_000
_KEY: Final = ("unit", "arm", "day")
_EXPOSURE: Final = ("phase", "unit", "variant", "first_day", "counted", "crossed")


def note_totals(connection: sa.Connection, staged: sa.Table) -> None:
    """Notes that the rows of `staged` are added to the totals."""
    names = [*_KEY, *TOTALS]
    rows = sa.select(*(staged.c[name] for name in names))
    connection.execute(sa.insert(total_change).from_select(names, rows))


def note_exposures(connection: sa.Connection, changing: sa.Select[Any]) -> None:
    """Notes what the exposures of `changing` (phase, unit) are now; nulls where there is none yet."""
    asked = changing.subquery("changing")
    pair = sa.and_(exposure.c.phase == asked.c.phase, exposure.c.unit == asked.c.unit)
    old = sa.select(
        asked.c.phase, asked.c.unit, exposure.c.variant, exposure.c.first_day, is_counted(), exposure.c.crossed
    )
    rows = old.select_from(asked.outerjoin(exposure, pair))
    connection.execute(sa.insert(exposure_change).from_select(list(_EXPOSURE), rows))


def reflag(connection: sa.Connection, units: Sequence[str]) -> None:
    """Notes that it changes whether `units` are flagged; call it before, in the same transaction."""
    for part in _parts(units):
        note_exposures(connection, sa.select(exposure.c.phase, exposure.c.unit).where(exposure.c.unit.in_(part)))


def forget(connection: sa.Connection, units: Sequence[str]) -> None:
    """Notes that everything of `units` goes, and deletes what was told of them.

    Call it before, in the same transaction. The notes name the units until the next refresh, which empties them.
    """
    reflag(connection, units)
    names = [*_KEY, *TOTALS]
    gone = sa.select(*(unit_total.c[name] for name in _KEY), *(-unit_total.c[name] for name in TOTALS))
    for part in _parts(units):
        connection.execute(sa.insert(total_change).from_select(names, gone.where(unit_total.c.unit.in_(part))))
        connection.execute(sa.delete(told).where(told.c.unit.in_(part)))


def is_counted() -> sa.ColumnElement[bool]:
    """Whether an exposure takes part in analyses: never forced, and its unit not flagged."""
    flagged = sa.exists().where(flagged_unit.c.unit == exposure.c.unit)
    return sa.and_(exposure.c.counted, sa.not_(flagged)).label("counted")


def _parts(units: Sequence[str]) -> list[Sequence[str]]:
    return [units[start : start + _AT_ONCE] for start in range(0, len(units), _AT_ONCE)]
