"""Recording what readers did and what they were shown: checked one by one, kept as one durable batch."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, Protocol

from lamella.errors import InvalidEvent, InvalidInput, StoreUnavailable
from lamella.events.codec import Fault, Record, encode, fault_of
from lamella.events.contract import EXPOSURE_MARK, Event, Exposure, Slate
from lamella.events.validation import LATE, check_time, parse_feedback, read_text, read_time
from lamella.services.ports import Clock, Journal
from lamella.services.recent import Recent
from lamella.services.record_ports import Receipts

EVENTS_LIMIT: Final = 1_000
"""Events in one call, and records in one batch of a backfill."""

TRAVEL: Final = timedelta(seconds=10)
"""How far the caller's clock may be from ours before it counts as wrong: the time that a request may travel."""

SKEW_LIMIT: Final = timedelta(hours=24)
"""How wrong the caller's clock may be and still be corrected: beyond it, an old body was sent again."""

ACCEPTED: Final = "accepted"
DUPLICATE: Final = "duplicate"
REJECTED: Final = "rejected"
_NO_SHIFT: Final = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """One event that was not recorded: where it stood, its id ("" where it has none), the stable word and why."""

    index: int
    event_id: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of the events of a call; all of it is durable.

    `accepted` are new as far as is known here, `duplicate` were durable before and change nothing, `rejected` are kept
    in quarantine. `verdicts` has a word for each event, in the order of the call.
    """

    accepted: int
    rejected: tuple[Rejection, ...] = ()
    duplicate: int = 0
    verdicts: tuple[str, ...] = ()


class ExposureReader(Protocol):
    """Reads exposures against one state of the configuration."""

    def read(self, document: object) -> Exposure:
        """The exposure that the object states. Raises InvalidEvent."""
        ...


class _NoReceipts:
    """Knows nothing: every event is new."""

    def known(self, event_ids: Sequence[str], exposure_ids: Sequence[str] = ()) -> frozenset[str]:  # noqa: ARG002 - the port has it
        """Nothing."""
        return frozenset()


class Recording:
    """Takes in events and slates. `late` is how old an event of a call to `events` may be.

    `receipts` says what the record holds already; `exposures` makes a reader for events of kind exposure.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        *,
        late: timedelta = LATE,
        receipts: Receipts | None = None,
        exposures: Callable[[], ExposureReader] | None = None,
    ) -> None:
        self._journal, self._clock, self._late = journal, clock, late
        self._receipts: Receipts = receipts or _NoReceipts()
        self._exposures = exposures
        self._recent = Recent()

    def events(self, documents: object, *, sent_at: object = None) -> Receipt:
        """What became of the events (JSON objects, at most 1,000); a bad one never sinks the others.

        `sent_at` is the caller's time of sending (RFC 3339): where it is wrong, the events' times are set right by as
        much. Raises InvalidInput if `documents` is no list or too long, or `sent_at` is no time, Overloaded or
        StoreUnavailable if nothing was kept.
        """
        if not isinstance(documents, list):
            raise InvalidInput(f"events is {type(documents).__name__}; send a list of objects")
        if len(documents) > EVENTS_LIMIT:
            raise InvalidInput(f"{len(documents)} events in one call; send at most {EVENTS_LIMIT}")
        now = self._clock.now()
        call = _Call(now, self._late, _shift(sent_at, now), self._exposures)
        for index, document in enumerate(documents):
            call.take(index, document)
        return self._keep(call, len(documents))

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

    def _keep(self, call: "_Call", number: int) -> Receipt:
        """What is new goes to the inbox with what was refused; repeats are already as safe as they can be."""
        known = self._known(call.taken.values())
        new: dict[str, Event | Exposure] = {}
        verdicts = [REJECTED] * number
        for index, record in call.taken.items():
            name = name_of(record)
            is_repeat = name in known or name in new
            verdicts[index] = DUPLICATE if is_repeat else ACCEPTED
            if not is_repeat:
                new[name] = record
        if new or call.faults:
            self._journal.append(encode([*new.values(), *call.faults]))
            self._recent.add(new)
        return Receipt(
            accepted=len(new),
            rejected=tuple(call.rejected),
            duplicate=len(call.taken) - len(new),
            verdicts=tuple(verdicts),
        )

    def _known(self, records: Iterable[Event | Exposure]) -> set[str]:
        """The names of those records that are durable: this process remembers them, or they have left a receipt.

        While the store is away nobody can see receipts.
        """
        names = {name_of(record): record for record in records}
        known = {name for name in names if name in self._recent}
        asked = [record for name, record in names.items() if name not in known]
        if asked:
            events = [each.event_id for each in asked if not isinstance(each, Exposure)]
            told = [each.exposure_id for each in asked if isinstance(each, Exposure)]
            try:
                found = self._receipts.known(events, told)
            except StoreUnavailable:
                return known  # the record tells repeats apart in any case
            known |= {name for name in names if name in found}
        return known


def name_of(record: Event | Exposure) -> str:
    """What the record is known by, among events and exposures together."""
    return EXPOSURE_MARK + record.exposure_id if isinstance(record, Exposure) else record.event_id


class _Call:
    """The events of one call, read one by one."""

    def __init__(
        self,
        now: datetime,
        late: timedelta,
        shift: timedelta,
        exposures: Callable[[], ExposureReader] | None,
    ) -> None:
        self._now, self._late, self._shift, self._make = now, late, shift, exposures
        self._reader: ExposureReader | None = None
        self.taken: dict[int, Event | Exposure] = {}
        self.faults: list[Fault] = []
        self.rejected: list[Rejection] = []

    def take(self, index: int, document: object) -> None:
        """Reads one event; a bad one becomes a fault."""
        try:
            self.taken[index] = self._read(document)
        except InvalidEvent as error:
            fault = fault_of(document, error)
            self.faults.append(fault)
            self.rejected.append(Rejection(index=index, event_id=fault.key, code=error.why, reason=str(error)))

    def _read(self, document: object) -> Event | Exposure:
        if abs(self._shift) > SKEW_LIMIT:
            hours = self._shift.total_seconds() / 3600
            raise InvalidEvent("clock_skew", f"sent_at is {hours:+.1f} h from ours; state the time of this sending")
        if isinstance(document, dict) and document.get("kind") == "exposure" and self._make is not None:
            return self._exposure(document)
        event = parse_feedback(document)
        if self._shift:
            event = replace(event, time=_shifted(event.time, self._shift))
        check_time(event.time, self._now, late=self._late)
        return event

    def _exposure(self, document: Mapping[str, object]) -> Exposure:
        if self._reader is None and self._make is not None:
            self._reader = self._make()
        if self._reader is None:
            raise InvalidEvent("unknown_kind", "exposures are not taken here")
        stated = {name: value for name, value in document.items() if name not in ("kind", "event_id")}
        stated["exposure_id"] = read_text(document, "event_id")
        if self._shift and stated.get("time") is not None:
            stated["time"] = _shifted(read_time(stated), self._shift).isoformat()
        return self._reader.read(stated)


def _shift(sent_at: object, now: datetime) -> timedelta:
    """What is added to the events' times so that the caller's clock is right; nothing where it is right enough."""
    if sent_at is None:
        return _NO_SHIFT
    try:
        shift = now - read_time({"time": sent_at})
    except InvalidEvent as error:
        raise InvalidInput(f"sent_at: {error}") from None
    return shift if abs(shift) > TRAVEL else _NO_SHIFT


def _shifted(time: datetime, shift: timedelta) -> datetime:
    try:
        return time + shift
    except OverflowError:
        raise InvalidEvent("bad_time", f"time {time.isoformat()} cannot be set right by {shift}") from None
