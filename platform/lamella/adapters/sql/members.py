"""Which variant of a phase each arm was served under, as arrays by the number of the arm."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from lamella.adapters.sql.schema import arm_member


@dataclass(frozen=True, slots=True)
class Members:
    """For each arm the place of its variant in the phase, -1 where it has none, and whether it counts."""

    place: NDArray[np.int64]
    counted: NDArray[np.bool_]

    @classmethod
    def of(cls, connection: sa.Connection, phase: int, variants: Sequence[str]) -> Self:
        """The arms of the phase; a place is that of the variant in `variants`."""
        rows = connection.execute(sa.select(arm_member).where(arm_member.c.phase == phase)).all()
        size = max((row.arm for row in rows), default=0)
        place, counted = np.full(size + 2, -1), np.zeros(size + 2, dtype=bool)
        for row in rows:
            place[row.arm], counted[row.arm] = variants.index(row.variant), row.counted
        return cls(place, counted)

    def at(self, arms: NDArray[np.int64]) -> NDArray[np.int64]:
        """The last entry stands for every arm beyond those of the phase."""
        return np.minimum(arms, len(self.place) - 1)
