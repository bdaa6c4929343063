"""What units were exposed to, for experiments that keep units which are no longer eligible."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from lamella.adapters.sql.engine import look
from lamella.adapters.sql.schema import exposure


class SqlStickyStore:
    """The first exposures, read by unit; each phase is one look-up by the primary key."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def variants(self, unit: str, phases: Sequence[int]) -> Mapping[int, str]:
        """The variant of each of these phases in whose analysis the unit takes part; only those that it has."""
        wanted = sa.select(exposure.c.phase, exposure.c.variant).where(
            exposure.c.phase.in_(phases), exposure.c.unit == unit, exposure.c.counted
        )
        rows = look(self._engine, lambda connection: connection.execute(wanted).all())
        return {row.phase: row.variant for row in rows}
