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


def noting_exposures(changing: sa.Select[Any]) -> sa.Insert:
    """What notes exposures as they are now: `changing` has phase, unit and what is `noted`, null where none is."""
    return sa.insert(exposure_change).from_select(list(_EXPOSURE), changing)


def reflag(connection: sa.Connection, units: Sequence[str]) -> None:
    """Notes that it changes whether `units` are flagged; call it before, in the same transaction."""
    for part in _parts(units):
        touched = sa.select(exposure.c.phase, exposure.c.unit, *noted()).where(exposure.c.unit.in_(part))
        connection.execute(noting_exposures(touched))


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


def noted() -> Sequence[sa.ColumnElement[Any]]:
    """What a note says of an exposure."""
    return (exposure.c.variant, exposure.c.first_day, is_counted(), exposure.c.crossed)


def is_counted() -> sa.ColumnElement[bool]:
    """Whether an exposure takes part in analyses: never forced, and its unit not flagged."""
    flagged = sa.exists().where(flagged_unit.c.unit == exposure.c.unit)
    return sa.and_(exposure.c.counted, sa.not_(flagged)).label("counted")


def _parts(units: Sequence[str]) -> list[Sequence[str]]:
    return [units[start : start + _AT_ONCE] for start in range(0, len(units), _AT_ONCE)]
