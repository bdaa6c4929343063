import random
from datetime import timedelta

import orjson
import pytest

from lamella.errors import InvalidInput, Overloaded, StoreUnavailable
from lamella.events.codec import decode
from lamella.services.recording import Receipt, Recording
from lamella.testing.fakes import FakeClock
from lamella.testing.record import MemoryRecord
from lamella.testing.traffic import NOW, slate, traffic

CLICK = {
    "kind": "click",
    "event_id": "e1",
    "request_id": "r1",
    "unit": "reader-1",
    "item": "item-1",
    "time": NOW.isoformat(),
}


def recording(**options):
    journal = MemoryRecord()
    return journal, Recording(journal, FakeClock(NOW), **options)


def test_good_events_are_one_batch_and_bad_ones_are_named():
    journal, events = recording()
    receipt = events.events([CLICK, {**CLICK, "event_id": "e2", "unit": ""}, "no object", {**CLICK, "event_id": "e3"}])
    assert receipt.accepted == 2
    assert [(each.index, each.event_id, each.code) for each in receipt.rejected] == [
        (1, "e2", "empty"),
        (2, "", "not_an_object"),
    ]
    assert "unit" in receipt.rejected[0].reason
    (batch,) = journal.inbox
    assert [event.event_id for event in decode(batch)[0]] == ["e1", "e3"]


def test_nothing_is_no_batch():
    journal, events = recording()
    assert events.events([]) == Receipt(accepted=0)
    assert journal.inbox == ()


def test_what_was_refused_is_as_durable_as_what_was_taken():
    journal, events = recording()
    bad = {**CLICK, "event_id": "e2", "completion": 2}
    assert events.events([bad]).accepted == 0
    (batch,) = journal.inbox
    (fault,) = decode(batch)[1]
    assert (fault.why, fault.kind, fault.key, fault.unit) == ("unknown_field", "click", "e2", "reader-1")
    assert orjson.loads(fault.document) == bad


@pytest.mark.parametrize("documents", [None, {}, "events", [CLICK] * 1001])
def test_no_list_or_too_long_a_one_is_refused_as_a_whole(documents):
    with pytest.raises(InvalidInput):
        recording()[1].events(documents)


@pytest.mark.parametrize("error", [Overloaded("the inbox"), StoreUnavailable("down")])
def test_what_is_not_durable_is_not_acknowledged(error):
    journal, events = recording()
    journal.down = error
    with pytest.raises(type(error)):
        events.events([CLICK])


def test_the_window_for_late_events_is_that_of_the_installation():
    _, events = recording(late=timedelta(hours=1))
    old = {**CLICK, "time": (NOW - timedelta(hours=2)).isoformat()}
    assert [each.code for each in events.events([old]).rejected] == ["too_late"]


def test_a_slate_is_a_batch_of_its_own():
    journal, events = recording()
    events.slate(slate())
    assert decode(journal.inbox[0])[0] == [slate()]


def test_a_backfill_goes_through_in_batches_of_a_thousand_whatever_its_age():
    journal, events = recording()
    records = traffic(random.Random(1), slates=900, end=NOW - timedelta(days=400))
    assert events.backfill(iter(records)) == len(records)
    assert [len(decode(batch)[0]) for batch in journal.inbox][:-1] == [1_000] * (len(records) // 1_000)
    assert [each for batch in journal.inbox for each in decode(batch)[0]] == records


def test_while_the_store_is_away_events_are_taken_and_repeats_are_known_from_memory():
    class Away:
        def known(self, _event_ids, _exposure_ids=()):
            raise StoreUnavailable("away")

    journal, events = recording(receipts=Away())
    assert events.events([CLICK]).verdicts == ("accepted",)
    assert events.events([CLICK]).verdicts == ("duplicate",)
    assert len(journal.inbox) == 1
