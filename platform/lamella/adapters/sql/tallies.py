"""What an ingest notices besides the facts: records that came late, and units that are no readers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import compress
from typing import Any, Final

import sqlalchemy as sa

from lamella.adapters.sql.bulk import Bulk
from lamella.adapters.sql.changes import reflag
from lamella.adapters.sql.columns import MICRO, Column, Integers, plain
from lamella.adapters.sql.schema import flagged_unit, late_total
from lamella.services.flagging import Flag, Flagging

LATE_AFTER: Final = timedelta(hours=1)
"""A record that is stored longer than this after it happened came late."""


class Tallies:
    """Late records by arm, and flags of new units, until they are stored."""

    def __init__(self, flagging: Flagging, now: datetime) -> None:
        self._flagging, self._now = flagging, now
        self._bound = int((now - LATE_AFTER).timestamp() * MICRO)
        self._late: Counter[int] = Counter()
        self._flags: dict[str, Flag] = {}

    def see(self, micros: Integers, arms: Column) -> None:
        """Counts those of these stored records that came late: their times in microseconds since 1970, their arms."""
        is_late = micros < self._bound
        if is_late.any():
            self._late.update(compress(plain(arms), is_late.tolist()))

    def judge(self, units: Column, contexts: Sequence[Any]) -> None:
        """Flags the units that are no readers, by the context that each sent."""
        for unit, context in self._flagging.doubtful(units, contexts):
            flag = self._flagging.flag(unit, context, self._now)
            if flag is not None:
                self._flags.setdefault(unit, flag)

    def store(self, bulk: Bulk) -> None:
        """Adds the numbers to the store's; a unit that is flagged keeps the flag that it has."""
        if not self._late and not self._flags:
            return
        connection = bulk.idle()
        if self._late:
            adding = bulk.insert(late_total)
            summed = {"records": late_total.c.records + adding.excluded.records}
            rows = [{"arm": arm, "records": number} for arm, number in self._late.items()]
            connection.execute(adding.on_conflict_do_update(index_elements=["arm"], set_=summed), rows)
        if self._flags:
            known = sa.select(flagged_unit.c.unit).where(flagged_unit.c.unit.in_(list(self._flags)))
            new = self._flags.keys() - set(connection.execute(known).scalars())
            put_flags(connection, [self._flags[unit] for unit in sorted(new)])


def put_flags(connection: sa.Connection, flags: Sequence[Flag]) -> None:
    """Stores flags of units that have none, and notes what that changes; the caller holds the ingest lock."""
    if flags:
        reflag(connection, [each.unit for each in flags])
        connection.execute(sa.insert(flagged_unit), [asdict(each) for each in flags])
