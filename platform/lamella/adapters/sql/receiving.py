"""Which records of an ingest are new, and the receipts that they leave."""

from collections import Counter
from collections.abc import Mapping
from typing import Final, TypeAlias

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from lamella.adapters.sql.bulk import Bulk
from lamella.adapters.sql.columns import Column, taken
from lamella.adapters.sql.digests import Digests

Mask: TypeAlias = NDArray[np.bool_]

_CAUTION: Final = 20
"""How many ingests look for repeats first after one that had some."""


class Trust:
    """Whether an ingest may expect that nothing repeats: what one process has seen of each kind of receipt."""

    def __init__(self) -> None:
        self._cautious: Counter[str] = Counter()

    def may_expect(self, receipts: sa.Table) -> bool:
        """Whether the last ingests had no repeat."""
        self._cautious[receipts.name] -= 1
        return self._cautious[receipts.name] < 0

    def disappoint(self, receipts: sa.Table) -> None:
        """There was a repeat."""
        self._cautious[receipts.name] = _CAUTION


class Receiving:
    """What one ingest finds to be new."""

    def __init__(self, ways: Bulk, trust: Trust) -> None:
        self._ways, self._trust = ways, trust

    def receive(self, receipts: sa.Table, digests: Digests, could: Mask, columns: Mapping[str, Column]) -> Mask:
        """Which are new: the first of their digest, without a receipt yet. Those that `could` be stored get one.

        Nearly always nothing repeats. So receipts are left at once, and looked up only where the store has one already.
        """
        wanted = digests.is_first & could
        if self._trust.may_expect(receipts):
            if self._ways.claim(receipts, _rows(digests, wanted, columns)):
                return wanted | self._unknown(receipts, digests, digests.is_first & ~could)
            self._trust.disappoint(receipts)
        is_new = self._unknown(receipts, digests, digests.is_first)
        self._ways.append(receipts, _rows(digests, is_new & could, columns))
        return is_new

    def _unknown(self, receipts: sa.Table, digests: Digests, among: Mask) -> Mask:
        """Which of these have no receipt."""
        column = receipts.c.digest
        asked = digests.values[digests.order[among[digests.order]]]
        return among & ~digests.are(digest for (digest,) in self._ways.find(column, asked, [column]))


def _rows(digests: Digests, which: Mask, columns: Mapping[str, Column]) -> dict[str, Column]:
    """Their receipts, in the order of the digests."""
    rows = digests.order[which[digests.order]]
    return {"digest": digests.values[rows], **{name: taken(column, rows) for name, column in columns.items()}}
