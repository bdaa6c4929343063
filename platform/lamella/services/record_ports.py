"""What is asked of the record besides its facts: what it holds already, and what a report says about it."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol


class Receipts(Protocol):
    """What the record holds already, so that a repeat is told as such."""

    def known(self, event_ids: Sequence[str], exposure_ids: Sequence[str] = ()) -> AbstractSet[str]:
        """Which of these are in the record; an exposure's id comes back behind a control character, U+001E.

        Raises StoreUnavailable.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCounts:
    """What a report on a phase says about its record.

    `late` counts records of the phase that were stored more than an hour after they happened, `quarantined` the refused
    records of its units, `flagged` its units that are out of the analysis, by reason (bot, internal).
    """

    late: int
    quarantined: int
    flagged: Mapping[str, int]
