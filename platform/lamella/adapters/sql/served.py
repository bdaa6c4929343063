"""The slates that feedback may name, as columns. Only who ingests imports this: it needs Arrow."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lamella.adapters.sql.arrays import joined, strings
from lamella.adapters.sql.columns import Column, Integers

UNKNOWN: Final = -1
"""The row of a slate that nobody knows."""


class Served:
    """The arm and the unit of slates, by request id; a slate whose unit was erased has the unit ""."""

    def __init__(self) -> None:
        self._request_ids, self.units = strings(()), strings(())
        self.arms: Integers = np.empty(0, dtype=np.int64)

    def add(self, request_ids: Column, arms: Integers, units: Column) -> None:
        """Adds slates that are not here yet."""
        self._request_ids = joined([self._request_ids, request_ids])
        self.arms, self.units = np.concatenate([self.arms, arms]), joined([self.units, units])

    def add_found(self, found: Mapping[str, tuple[int, str]]) -> None:
        """Adds slates by their request ids."""
        if found:
            arms, units = zip(*found.values(), strict=True)
            self.add(strings(list(found)), np.array(arms, dtype=np.int64), strings(units))

    def rows(self, request_ids: Column) -> Integers:
        """Where the slates of these requests are; UNKNOWN where there is none, or no request."""
        found = pc.index_in(request_ids, value_set=self._request_ids)
        return np.asarray(pc.fill_null(found, UNKNOWN)).astype(np.int64)

    def unknown(self, request_ids: Column) -> list[str]:
        """Those of the requests that are not here, each once."""
        missing = request_ids.filter(pa.array(self.rows(request_ids) == UNKNOWN)).drop_null()
        found: list[str] = missing.unique().to_pylist()
        return found

    def are_of(self, rows: Integers, units: Column) -> NDArray[np.bool_]:
        """Whether the unit of the slate in each row is this one; not where the slate is UNKNOWN."""
        theirs = self.units.take(pa.array(rows, mask=rows == UNKNOWN))
        return np.asarray(pc.fill_null(pc.equal(theirs, units), False))  # noqa: FBT003 - what null becomes
