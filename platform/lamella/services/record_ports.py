"""What is asked of the record besides its facts: what it holds already, and what a report says about it."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol


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


class Accepted(NamedTuple):
    """A batch on its way to the facts (see `lamella.events.codec`), and when it was accepted."""

    received_at: datetime
    body: bytes


class Put(NamedTuple):
    """How many batches the inbox took, the first ones, and how many it holds now: never fewer than it does."""

    taken: int
    held: int


class Inbox(Protocol):
    """Where batches wait in the store until a worker ingests them; at most `limit`."""

    @property
    def limit(self) -> int:
        """How many batches it takes."""
        ...

    def put(self, batches: Sequence[Accepted]) -> Put:
        """Stores as many as there is room for; durable at the return. Raises StoreUnavailable."""
        ...


class Arrivals(Protocol):
    """What was accepted on this machine and is not in the inbox yet."""

    def settle(self) -> None:
        """Returns once everything that was accepted before the call is in the inbox. Raises StoreUnavailable."""
        ...
