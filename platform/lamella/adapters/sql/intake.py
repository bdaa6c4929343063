"""Batches from the inbox, read and checked outside of any transaction: nothing here touches the store."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import Any, Final, TypeVar

import numpy as np
import orjson

from lamella.adapters.sql.columns import DAY_MICROS
from lamella.adapters.sql.digests import Digests, digest_of
from lamella.adapters.sql.event_frame import Events
from lamella.adapters.sql.slate_frame import Slates
from lamella.adapters.sql.steps import Steps, made_by
from lamella.errors import InvalidEvent
from lamella.events.codec import REFUSED, Fault, Record, encode, read_batch, read_record
from lamella.events.contract import EXPOSURE_MARK, Exposure

Frame = TypeVar("Frame", Events, Slates)
_OTHERS: Final = ("exposure", REFUSED)
_FRAMELESS: Final = ("slate", *_OTHERS)
_PART_BYTES: Final = 256 * 1024
"""What is parsed at once."""
_FRAME_BYTES: Final = 1024 * 1024
"""What becomes columns at once: still in the processor's cache, and done in some milliseconds."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Intake:
    """The records of some batches, in the order in which they came, and what could not be read.

    Exposures are kept by digest. `duplicate` counts repeated exposures and faults; repeats in the frames are still in.
    """

    slates: Slates = field(default_factory=lambda: Slates.of(()))
    events: Events = field(default_factory=lambda: Events.of(()))
    slate_digests: Digests = field(default_factory=lambda: Digests.of(()))
    event_digests: Digests = field(default_factory=lambda: Digests.of(()))
    exposures: dict[bytes, Exposure] = field(default_factory=dict)
    faults: dict[bytes, Fault] = field(default_factory=dict)
    duplicate: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, batches: Iterable[bytes]) -> "Intake":
        """What the batches hold."""
        return made_by(cls.steps(batches))

    @classmethod
    def steps(cls, batches: Iterable[bytes]) -> "Steps[Intake]":
        """Reads what the batches hold."""
        intake, slates, events, others = cls(), list[Slates](), list[Events](), list[Any]()
        for some in _parts(batches, _FRAME_BYTES):
            documents = list[Any]()
            for part in _parts(some, _PART_BYTES):
                documents += chain.from_iterable(intake._lists(part))
                yield
            kinds = [document.get("kind") if type(document) is dict else None for document in documents]
            pairs = list(zip(documents, kinds, strict=True))
            others += [document for document, kind in pairs if kind in _OTHERS]
            yield
            slates.append((yield from intake._frame(Slates, [each for each, kind in pairs if kind == "slate"])))
            yield
            events.append((yield from intake._frame(Events, [each for each, kind in pairs if kind not in _FRAMELESS])))
            del documents, kinds, pairs
            yield
        intake.slates = Slates.joined(slates)
        yield
        intake.events = Events.joined(events)
        yield
        intake.slate_digests = Digests.made(intake.slates.digests)
        intake.event_digests = Digests.made(intake.events.digests)
        yield
        for record in intake._records(others):
            if isinstance(record, Exposure):
                key = digest_of(EXPOSURE_MARK + record.exposure_id)
                if intake.exposures.setdefault(key, record) is not record:
                    intake.duplicate["exposure"] += 1
        return intake

    def days(self) -> set[date]:
        """The days of all facts; a bare exposure is none."""
        numbers = np.unique(np.concatenate((self.slates.micros, self.events.micros)) // DAY_MICROS)
        return {(_EPOCH + timedelta(days=number)).date() for number in numbers.tolist()}

    def _lists(self, batches: Sequence[bytes]) -> list[list[Any]]:
        """What each batch lists; one that is no list is a fault."""
        try:
            together: list[Any] = orjson.loads(b"[" + b",".join(batches) + b"]")
        except orjson.JSONDecodeError:
            together = []
        # A batch that is not JSON by itself may have become part of its neighbours.
        if len(together) == len(batches) and all(type(each) is list for each in together):
            return together
        lists = []
        for found in map(read_batch, batches):
            if isinstance(found, Fault):
                self._add_fault(found)
            else:
                lists.append(found)
        return lists

    def _frame(self, kind: type[Frame], documents: Sequence[Any]) -> Steps[Frame]:
        """The records as columns: all at once where all are well, otherwise without those that are faults."""
        try:
            frame = yield from kind.steps(documents)
            yield
            if frame.fits():
                return frame
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, InvalidEvent):
            pass
        good = self._records(documents)
        return kind.of(orjson.loads(encode(good)))

    def _records(self, documents: Iterable[object]) -> list[Record]:
        """The records that keep the contract; the others are faults."""
        records: list[Record] = []
        for document in documents:
            found = read_record(document)
            if isinstance(found, Fault):
                self._add_fault(found)
            else:
                records.append(found)
        return records

    def _add_fault(self, fault: Fault) -> None:
        key = hashlib.blake2b(fault.document, digest_size=16).digest()
        if self.faults.setdefault(key, fault) is not fault:
            self.duplicate[fault.kind] += 1


def _parts(batches: Iterable[bytes], most: int) -> Iterator[list[bytes]]:
    """The batches, about so many bytes at a time; at least one part."""
    part, size = list[bytes](), 0
    for batch in batches:
        part.append(batch)
        size += len(batch)
        if size >= most:
            yield part
            part, size = [], 0
    yield part
