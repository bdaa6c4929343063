"""Refreshes and checks of the kept moments, each one transaction: killed in the middle, it has done nothing."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql import kept
from lamella.adapters.sql.engine import is_postgresql, snapshot, writing
from lamella.adapters.sql.kept import Kept, day_of
from lamella.adapters.sql.kept_schema import kept_phase
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
            held = {each.phase: each for each in kept.load_all(connection)}
            usable = [each for each in wanted if each.phase in held and held[each.phase].since == _since(each)]
            arms = kept.refreshed(connection, [held[each.phase] for each in usable])
            for each in wanted:
                found = arms.get(each.phase)
                if found is None:
                    found = kept.counted_afresh(connection, each.phase, _since(each))
                kept.store(connection, Kept(phase=each.phase, since=_since(each), kept_at=now, arms=found))
            kept.empty_notes(connection)

    def check(self, now: datetime, *, seconds: float = 0.0) -> Sequence[Drift]:
        """The kept phase that was checked longest ago beside a fresh count, which replaces it where they differ.

        Then the next one, until `seconds` have passed; all phases are refreshed first.
        """
        end = time.monotonic() + seconds
        with _alone(self._engine) as connection:
            held = kept.load_all(connection)
            arms = kept.refreshed(connection, held)
            for each in held:
                kept.store(connection, replace(each, kept_at=now, arms=arms[each.phase]))
            kept.empty_notes(connection)
            found: list[Drift] = []
            for each in held:
                if found and time.monotonic() >= end:
                    break
                found.append(_check(connection, replace(each, kept_at=now, arms=arms[each.phase])))
            return found


def _since(wanted: Followed) -> date | None:
    return day_of(wanted.covariate_since)


def _check(connection: sa.Connection, held: Kept) -> Drift:
    fresh = kept.counted_afresh(connection, held.phase, held.since)
    figures = kept.figures_between(held.arms, fresh)
    if figures:
        kept.store(connection, replace(held, arms=fresh))
    checked = sa.update(kept_phase).where(kept_phase.c.phase == held.phase)
    connection.execute(checked.values(checked_at=held.kept_at, drift=kept_phase.c.drift + figures))
    return Drift(phase=held.phase, figures=figures)


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
