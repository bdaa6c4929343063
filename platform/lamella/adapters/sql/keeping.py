"""Refreshes and checks of the kept moments, each one transaction: killed in the middle, it has done nothing."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql import kept
from lamella.adapters.sql.engine import is_postgresql, snapshot, writing
from lamella.adapters.sql.kept import Kept, day_of
from lamella.adapters.sql.kept_schema import kept_phase
from lamella.adapters.sql.vectors import ArmSums
from lamella.services.keeping import Drift, Followed

# Grouping one row a unit spills to disk beyond the default of 4 MB.
_ROOM: Final = "SET LOCAL work_mem = '64MB'"


class SqlKeptStore:
    """The moments of the arms, kept."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def refresh(self, wanted: Sequence[Followed], now: datetime) -> None:
        """From now on these phases are kept, and no others; each is brought up to what is recorded now."""
        with _alone(self._engine) as connection:
            known = set(connection.execute(sa.select(kept_phase.c.phase)).scalars())
            kept.drop(connection, known - {each.phase for each in wanted})
            for each in wanted:
                _refresh(connection, each, now)
            kept.empty_notes(connection)

    def check(self, now: datetime) -> Sequence[Drift]:
        """Each kept phase beside a fresh count of its totals; where they differ, the fresh one replaces it."""
        with _alone(self._engine) as connection:
            phases = connection.execute(sa.select(kept_phase.c.phase).order_by(kept_phase.c.phase)).scalars().all()
            found = [_check(connection, phase, now) for phase in phases]
            kept.empty_notes(connection)
            return found


def _refresh(connection: sa.Connection, wanted: Followed, now: datetime) -> None:
    since, held = day_of(wanted.covariate_since), kept.load(connection, wanted.phase)
    if held is None or held.since != since:
        arms: Mapping[str, ArmSums] = kept.counted_afresh(connection, wanted.phase, since)
    else:
        arms = kept.refreshed(connection, held)
    kept.store(connection, Kept(phase=wanted.phase, since=since, kept_at=now, arms=arms))


def _check(connection: sa.Connection, phase: int, now: datetime) -> Drift:
    held = kept.load(connection, phase)
    if held is None:
        return Drift(phase=phase, figures=0)
    arms, fresh = kept.refreshed(connection, held), kept.counted_afresh(connection, phase, held.since)
    figures = kept.figures_between(arms, fresh)
    kept.store(connection, Kept(phase=phase, since=held.since, kept_at=now, arms=fresh))
    checked = sa.update(kept_phase).where(kept_phase.c.phase == phase)
    connection.execute(checked.values(checked_at=now, drift=kept_phase.c.drift + figures))
    return Drift(phase=phase, figures=figures)


@contextmanager
def _alone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that sees the store at one moment, and no other refresh besides; ingests go on meanwhile."""
    if not is_postgresql(engine):
        with writing(engine) as connection:
            yield connection
        return
    with snapshot(engine) as connection:
        # LOCK takes no snapshot: what is read afterwards is what the refresh before us has left.
        connection.exec_driver_sql("LOCK TABLE kept_phase IN EXCLUSIVE MODE")
        connection.exec_driver_sql(_ROOM)
        yield connection
