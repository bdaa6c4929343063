"""The record in SQL: batches leave the inbox and become facts in one transaction.

What makes the effect exactly-once: the transaction that stores a batch also deletes it from the inbox, and every slate
and event leaves a receipt, so that the same one in another batch is known. Ingests run one at a time (an advisory
lock on PostgreSQL, the write lock on SQLite); batches are read and checked before the lock is taken, and the next ones
while these are stored.
"""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql.arms import Arms
from lamella.adapters.sql.bulk import Bulk, bulk
from lamella.adapters.sql.engine import is_postgresql, snapshot, writing
from lamella.adapters.sql.facts import Ingest
from lamella.adapters.sql.inbox_reader import Group, InboxReader
from lamella.adapters.sql.locks import INGEST
from lamella.adapters.sql.partitions import make_partitions, months_of
from lamella.adapters.sql.receiving import Receiving, Trust
from lamella.adapters.sql.schema import FACTS, exposure, inbox, quarantine
from lamella.adapters.sql.tallies import Tallies
from lamella.services.flagging import Flagging
from lamella.services.ports import IngestReceipt

_TAKE_TURN: Final = sa.select(sa.func.pg_advisory_xact_lock(INGEST))


class SqlRecordStore:
    """The facts: what was shown and what readers did."""

    def __init__(self, engine: sa.Engine, flagging: Flagging | None = None) -> None:
        self._engine = engine
        self._flagging = flagging or Flagging()
        self._inbox = InboxReader(engine)
        self._arms, self._trust = Arms(), Trust()
        self._months: set[date] = set()

    def ingest(self, *, limit: int, now: datetime) -> IngestReceipt:
        """Move up to `limit` batches (some megabytes at most) into the facts, in one transaction that takes them out.

        `batches` is 0 only where the inbox was empty. Another ingest that runs meanwhile is waited for.
        Raises StoreUnavailable, and then nothing has changed.
        """
        with _undisturbed(self._inbox):
            while True:
                try:
                    receipt = self._store(self._inbox.take(limit), now)
                except BaseException:
                    self._inbox.forget()
                    raise
                if receipt is not None:
                    return receipt
                self._inbox.forget()

    def counts(self) -> Mapping[str, int]:
        """Rows of each fact and of exposure, quarantine and inbox, all at one moment."""
        with snapshot(self._engine) as connection:
            tables = (*FACTS, exposure, quarantine, inbox)
            # SQLAlchemy's names are a subclass of str, which JSON encoders refuse as a key.
            return {
                str(table.name): connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                for table in tables
            }

    def _store(self, group: Group, now: datetime) -> IngestReceipt | None:
        """What was stored, or None if another ingest took some of the batches first."""
        batches, intake, is_full = group.batches, group.intake, group.is_full
        if not batches:
            return IngestReceipt(batches=0, stored={}, duplicate={}, quarantined={})
        months = months_of(intake.days(), now)
        with writing(self._engine) as connection, _settled(bulk(connection, self._inbox.work)) as ways:
            if is_postgresql(connection):
                connection.execute(_TAKE_TURN)
            if ways.remove(inbox.c.id, batches) != len(batches):
                connection.rollback()
                return None
            if unknown := months - self._months:
                make_partitions(ways.idle(), unknown)
            receiving, tallies = Receiving(ways, self._trust), Tallies(self._flagging, now)
            ingest = Ingest(ways, self._arms, now, receiving, tallies)
            ingest.run(intake)
            # Thousands of records: they are freed while the store works on what it was told last.
            del group, intake
            ways.commit()
        self._months |= months
        self._arms.remember(ingest.numbers)
        return IngestReceipt(
            batches=len(batches),
            stored=ingest.stored,
            duplicate=ingest.duplicate,
            quarantined=ingest.quarantined,
            is_more=is_full,
        )


@contextmanager
def _settled(ways: Bulk) -> Iterator[Bulk]:
    """Nothing is under way behind the block: a transaction can end."""
    try:
        yield ways
    finally:
        ways.idle()


@contextmanager
def _undisturbed(reader: InboxReader) -> Iterator[None]:
    """No search for cycles meanwhile: it would walk over every record again and again, and there are none.

    What is read ahead stays out of the search after the block, until nothing is.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if reader.is_ahead():
            gc.freeze()
        else:
            gc.unfreeze()
        if was_on:
            gc.enable()
