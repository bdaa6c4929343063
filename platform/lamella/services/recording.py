"""Recording what readers did and what they were shown: checked one by one, kept as one durable batch."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Final

from lamella.errors import InvalidEvent, InvalidInput
from lamella.events.codec import Record, encode
from lamella.events.contract import Feedback, Slate
from lamella.events.validation import LATE, parse_event
from lamella.services.ports import Clock, Journal

EVENTS_LIMIT: Final = 1_000
"""Events in one call, and records in one batch of a backfill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """One event that was not recorded: where it stood, its id ("" where it has none), the stable word and why."""

    index: int
    event_id: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """How many events are now durable, and which ones were refused. Repeats are accepted, and change nothing."""

    accepted: int
    rejected: tuple[Rejection, ...] = ()


class Recording:
    """Takes in events and slates. `late` is how old an event of a call to `events` may be."""

    def __init__(self, journal: Journal, clock: Clock, *, late: timedelta = LATE) -> None:
        self._journal, self._clock, self._late = journal, clock, late

    def events(self, documents: object) -> Receipt:
        """Which of the events (JSON objects, at most 1,000) are now durable; a bad one never sinks the others.

        Raises InvalidInput if `documents` is no list or too long, Overloaded or StoreUnavailable if nothing was kept.
        """
        if not isinstance(documents, list):
            raise InvalidInput(f"events is {type(documents).__name__}; send a list of objects")
        if len(documents) > EVENTS_LIMIT:
            raise InvalidInput(f"{len(documents)} events in one call; send at most {EVENTS_LIMIT}")
        now = self._clock.now()
        accepted: list[Feedback] = []
        rejected: list[Rejection] = []
        for index, document in enumerate(documents):
            try:
                accepted.append(parse_event(document, now, late=self._late))
            except InvalidEvent as error:
                rejected.append(Rejection(index=index, event_id=_event_id(document), code=error.why, reason=str(error)))
        if accepted:
            self._journal.append(encode(accepted))
        return Receipt(accepted=len(accepted), rejected=tuple(rejected))

    def slate(self, slate: Slate) -> None:
        """Returns once the slate is durable. Raises Overloaded or StoreUnavailable."""
        self._journal.append(encode([slate]))

    def backfill(self, records: Iterable[Record]) -> int:
        """How many past records (slates and feedback, of whatever age) are now durable, in batches of 1,000.

        Safe to repeat: what is known already changes nothing. Raises Overloaded or StoreUnavailable between batches.
        """
        stream, count = iter(records), 0
        while batch := list(islice(stream, EVENTS_LIMIT)):
            self._journal.append(encode(batch))
            count += len(batch)
        return count


def _event_id(document: object) -> str:
    found = document.get("event_id") if isinstance(document, dict) else None
    return found[:256] if isinstance(found, str) else ""
