"""Which events the record holds already: one look-up by the digests of their ids."""

from collections.abc import Sequence

import sqlalchemy as sa

from lamella.adapters.sql.bulk import bulk
from lamella.adapters.sql.digests import digest_of
from lamella.adapters.sql.engine import look
from lamella.adapters.sql.schema import event_receipt
from lamella.events.contract import EXPOSURE_MARK


class SqlReceipts:
    """The receipts that ingests leave."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def known(self, event_ids: Sequence[str], exposure_ids: Sequence[str] = ()) -> frozenset[str]:
        """Which of these are in the record; an exposure's id comes back behind a control character, U+001E."""
        names = {digest_of(name): name for name in (*event_ids, *(EXPOSURE_MARK + each for each in exposure_ids))}
        column = event_receipt.c.digest

        def read(connection: sa.Connection) -> frozenset[str]:
            return frozenset(names[bytes(digest)] for (digest,) in bulk(connection).find(column, list(names), [column]))

        return look(self._engine, read)
