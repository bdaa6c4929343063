"""Batches from the inbox, read and checked outside of any transaction: nothing here touches the store."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Final, TypeVar

from lamella.events.codec import Fault, Record, decode
from lamella.events.contract import Click, Exposure, Feedback, Interaction, Read, Slate

T = TypeVar("T")
KIND: Final[dict[type[Record], str]] = {Slate: "slate", Click: "click", Read: "read", Interaction: "interaction"}


# Exposures leave their receipts among those of events; no event id holds a control character.
_EXPOSURE: Final = "\x1e"


def digest_of(identity: str) -> bytes:
    """The 16 bytes that a request id or event id is known by: BLAKE2b-128."""
    return hashlib.blake2b(identity.encode(), digest_size=16).digest()


@dataclass(slots=True)
class Intake:
    """The records of some batches, each once: slates by the digest of their request, the others by that of their id.

    `duplicate` counts what was in the batches more than once, by kind.
    """

    slates: dict[bytes, Slate] = field(default_factory=dict)
    feedback: dict[bytes, Feedback] = field(default_factory=dict)
    exposures: dict[bytes, Exposure] = field(default_factory=dict)
    faults: dict[bytes, Fault] = field(default_factory=dict)
    duplicate: Counter[str] = field(default_factory=Counter)

    def read(self, batches: Iterable[bytes]) -> None:
        """Takes in the records of the batches."""
        for batch in batches:
            records, faults = decode(batch)
            for record in records:
                self.add(record)
            for fault in faults:
                key = hashlib.blake2b(fault.document, digest_size=16).digest()
                self._once(self.faults, key, fault, fault.kind)

    def add(self, record: Record) -> None:
        """Takes in one record; the first of each id counts."""
        if isinstance(record, Slate):
            self._once(self.slates, digest_of(record.request_id), record, "slate")
        elif isinstance(record, Exposure):
            self._once(self.exposures, digest_of(_EXPOSURE + record.exposure_id), record, "exposure")
        else:
            self._once(self.feedback, digest_of(record.event_id), record, KIND[type(record)])

    def days(self) -> set[date]:
        """The days of all facts; a bare exposure is none."""
        days = {slate.time.date() for slate in self.slates.values()}
        return days | {event.time.date() for event in self.feedback.values()}

    def _once(self, kept: dict[bytes, T], key: bytes, value: T, kind: str) -> None:
        if kept.setdefault(key, value) is not value:
            self.duplicate[kind] += 1
