"""What could not be recorded, and why: kept so that nothing is dropped in silence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One record: when it came, the stable word for what is wrong, a sentence, and what it said.

    `kind`, `key` (its id) and `unit` are empty where it does not say.
    """

    at: datetime
    reason: str
    detail: str
    kind: str
    key: str
    unit: str
    body: str


class Quarantine(Protocol):
    """The records in quarantine."""

    def counts(self) -> Mapping[str, int]:
        """How many there are for each reason."""
        ...

    def newest(self, *, reason: str | None = None, skip: int = 0, limit: int = 100) -> Sequence[Quarantined]:
        """The newest records, of one reason or of all, after the first `skip`."""
        ...

    def clear(self, *, before: datetime) -> int:
        """How many records that came before the moment were removed for good."""
        ...
