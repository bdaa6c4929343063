"""The units that no analysis counts, in SQL. Changes take turns with ingests, so that a refresh misses none."""

from collections import Counter
from datetime import datetime, timedelta

import sqlalchemy as sa

from lamella.adapters.sql.changes import reflag
from lamella.adapters.sql.locks import ingesting
from lamella.adapters.sql.schema import flagged_unit, unit_total
from lamella.adapters.sql.tallies import put_flags
from lamella.errors import NotFound
from lamella.services.flagging import BOT, Flag


class SqlFlagStore:
    """Flags by unit."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def put(self, flag: Flag) -> None:
        """From now on the unit is left out; a flag that it has already is replaced."""
        with ingesting(self._engine) as connection:
            values = {"reason": flag.reason, "detail": flag.detail, "at": flag.at}
            replaced = sa.update(flagged_unit).where(flagged_unit.c.unit == flag.unit).values(values)
            if not connection.execute(replaced).rowcount:
                put_flags(connection, [flag])

    def remove(self, unit: str) -> None:
        """From now on the unit counts again. Raises NotFound."""
        with ingesting(self._engine) as connection:
            reflag(connection, [unit])
            if not connection.execute(sa.delete(flagged_unit).where(flagged_unit.c.unit == unit)).rowcount:
                raise NotFound("flag of unit", unit, next_step="GET /v1/admin/flags lists them")

    def all(self, *, skip: int = 0, limit: int = 100) -> list[Flag]:
        """The flags by unit, after the first `skip`."""
        wanted = sa.select(flagged_unit).order_by(flagged_unit.c.unit).offset(skip).limit(limit)
        with self._engine.connect() as connection:
            return [Flag(**row) for row in connection.execute(wanted).mappings()]

    def flag_heavy(self, *, slates: int, now: datetime) -> int:
        """How many units were flagged as bots because they got more than `slates` on one day, today or yesterday."""
        recent = unit_total.c.day >= now.date() - timedelta(days=1)
        heavy = (
            sa.select(unit_total.c.unit, sa.func.sum(unit_total.c.slates).label("slates"))
            .where(recent, unit_total.c.unit.not_in(sa.select(flagged_unit.c.unit)))
            .group_by(unit_total.c.unit, unit_total.c.day)
            .having(sa.func.sum(unit_total.c.slates) > slates)
        )
        with ingesting(self._engine) as connection:
            most: Counter[str] = Counter()
            for unit, number in connection.execute(heavy):
                most[unit] = max(most[unit], int(number))
            put_flags(
                connection,
                [
                    Flag(unit=unit, reason=BOT, detail=f"{number} slates on one day", at=now)
                    for unit, number in sorted(most.items())
                ],
            )
        return len(most)
