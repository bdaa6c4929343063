import math
from datetime import timedelta

import pytest

from lamella.errors import InvalidEvent, InvalidInput, Overloaded
from lamella.events.codec import decode
from lamella.events.contract import Custom, Exposed, Exposure
from lamella.services.recent import Recent
from lamella.services.recording import Recording
from lamella.testing.fakes import FakeClock
from lamella.testing.record import MemoryRecord
from lamella.testing.traffic import NOW

COMMON = {"request_id": "r1", "unit": "reader-1", "item": "item-1", "time": NOW.isoformat()}


def click(event_id="e1", **fields):
    return {"kind": "click", "event_id": event_id, **COMMON, **fields}


class Receipts:
    """A record that holds some ids already, and counts how often it is asked."""

    def __init__(self, *ids):
        self.ids, self.asked = set(ids), []

    def known(self, event_ids, exposure_ids=()):
        self.asked.append([*event_ids, *exposure_ids])
        return frozenset({*event_ids, *(f"\x1e{each}" for each in exposure_ids)} & self.ids)


class Reader:
    """Takes every exposure to be one of phase 1."""

    def read(self, document):
        if "variant" not in document:
            raise InvalidEvent("unknown_variant", "no variant")
        exposed = Exposed(phase=1, variant=document["variant"])
        return Exposure(exposure_id=document["exposure_id"], unit=document["unit"], time=NOW, exposed=exposed)


def recording(**options):
    journal = MemoryRecord()
    return journal, Recording(journal, FakeClock(NOW), **options)


def taken(journal):
    return [record for batch in journal.inbox for record in decode(batch)[0]]


def test_each_event_has_a_verdict_in_the_order_of_the_call():
    journal, events = recording(receipts=Receipts("known"))
    receipt = events.events([click("new"), click("known"), click("new"), {"kind": "click"}])
    assert receipt.verdicts == ("accepted", "duplicate", "duplicate", "rejected")
    assert (receipt.accepted, receipt.duplicate, len(receipt.rejected)) == (1, 2, 1)
    assert [each.event_id for each in taken(journal)] == ["new"]


def test_a_retry_is_a_duplicate_without_asking_the_store_and_writes_nothing():
    receipts = Receipts()
    journal, events = recording(receipts=receipts)
    batch = [click(f"e{number}") for number in range(1_000)]
    assert events.events(batch).accepted == 1_000
    assert events.events(batch).duplicate == 1_000
    assert (len(journal.inbox), len(receipts.asked)) == (1, 1)


def test_what_could_not_be_kept_is_no_duplicate_of_itself_when_it_comes_again():
    journal, events = recording()
    journal.down = Overloaded("the inbox")
    with pytest.raises(Overloaded):
        events.events([click()])
    journal.down = None
    assert events.events([click()]).verdicts == ("accepted",)


def test_the_memory_of_ids_is_bounded_and_forgets_the_oldest():
    recent = Recent(limit=3)
    recent.add(["a", "b", "c", "d"])
    assert [name in recent for name in "abcd"] == [False, True, True, True]


def test_custom_numbers_need_no_request_and_no_item():
    journal, events = recording()
    bare = {"kind": "custom", "event_id": "c1", "unit": "u", "time": NOW.isoformat(), "name": "revenue", "value": -3}
    full = {"kind": "custom", "event_id": "c2", **COMMON, "name": "revenue", "value": 1.23456789}
    assert events.events([bare, full]).accepted == 2
    one, other = taken(journal)
    assert one == Custom(event_id="c1", unit="u", time=NOW, name="revenue", value=-3.0)
    assert (other.value, other.request_id, other.item) == (1.234568, "r1", "item-1")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"value": math.nan}, "out_of_range"),
        ({"value": math.inf}, "out_of_range"),
        ({"value": -math.inf}, "out_of_range"),
        ({"value": 1.1e12}, "out_of_range"),
        ({"value": "3"}, "wrong_type"),
        ({"value": True}, "wrong_type"),
        ({"name": ""}, "empty"),
        ({"name": "n" * 65}, "too_long"),
        ({"read_seconds": 1}, "unknown_field"),
        ({"request_id": ""}, "empty"),
        ({"item": 3}, "wrong_type"),
    ],
)
def test_a_custom_number_that_breaks_the_contract_says_how(fields, why):
    _, events = recording()
    event = {"kind": "custom", "event_id": "c1", "unit": "u", "time": NOW.isoformat(), "name": "n", "value": 1}
    (rejected,) = events.events([{**event, **fields}]).rejected
    assert rejected.code == why


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"completion": 1.01}, "out_of_range"),
        ({"completion": -0.01}, "out_of_range"),
        ({"completion": math.nan}, "out_of_range"),
        ({"read_seconds": -1}, "out_of_range"),
        ({"read_seconds": math.nan}, "out_of_range"),
        ({"read_seconds": math.inf}, "out_of_range"),
        ({"time": (NOW + timedelta(minutes=6)).isoformat()}, "in_future"),
        ({"time": (NOW - timedelta(hours=73)).isoformat()}, "too_late"),
        ({"kind": "glance"}, "unknown_kind"),
    ],
)
def test_a_read_that_cannot_be_is_refused_with_its_reason_and_kept(fields, why):
    journal, events = recording()
    read = {"kind": "read", "event_id": "e1", **COMMON, "read_seconds": 3.0, "completion": 0.5}
    receipt = events.events([{**read, **fields}, {**read, "event_id": "good"}])
    assert ([each.code for each in receipt.rejected], receipt.accepted) == ([why], 1)
    journal.ingest(limit=10, now=NOW)
    assert journal.counts()["quarantine"] == 1 + 1  # the good one names a slate that is unknown here


def test_an_event_may_be_as_old_as_the_window_says_to_the_second():
    _, events = recording()
    old = (NOW - timedelta(hours=72)).isoformat()
    assert events.events([click(time=old)]).accepted == 1


def test_exposures_come_among_the_events():
    journal, events = recording(exposures=Reader, receipts=Receipts("\x1eknown"))
    told = {"kind": "exposure", "unit": "u", "experiment": "x", "variant": "a"}
    receipt = events.events(
        [{**told, "event_id": "same"}, click("same"), {**told, "event_id": "known"}, {"kind": "exposure", "unit": "u"}]
    )
    assert receipt.verdicts == ("accepted", "accepted", "duplicate", "rejected")
    assert [type(each).__name__ for each in taken(journal)] == ["Exposure", "Click"]


@pytest.mark.parametrize(
    "wrong", [timedelta(hours=1), timedelta(hours=-1), timedelta(seconds=-11), timedelta(hours=23)]
)
def test_a_wrong_clock_is_set_right_by_as_much_as_it_is_wrong(wrong):
    journal, events = recording()
    happened = NOW - timedelta(minutes=2)
    sent_at = (NOW + wrong).isoformat()
    assert events.events([click(time=(happened + wrong).isoformat())], sent_at=sent_at).accepted == 1
    assert taken(journal)[0].time == happened


def test_a_clock_that_is_right_enough_is_left_alone():
    journal, events = recording()
    happened = (NOW - timedelta(minutes=2)).isoformat()
    events.events([click(time=happened)], sent_at=(NOW - timedelta(seconds=9)).isoformat())
    assert taken(journal)[0].time == NOW - timedelta(minutes=2)


def test_a_body_of_another_day_is_refused_event_by_event():
    journal, events = recording()
    sent_at = (NOW - timedelta(hours=25)).isoformat()
    assert [each.code for each in events.events([click("a"), click("b")], sent_at=sent_at).rejected] == [
        "clock_skew"
    ] * 2
    assert len(journal.inbox) == 1


@pytest.mark.parametrize("sent_at", ["yesterday", 3, "2026-03-20T15:30:00"])
def test_a_time_of_sending_that_is_none_refuses_the_call(sent_at):
    with pytest.raises(InvalidInput, match="sent_at"):
        recording()[1].events([click()], sent_at=sent_at)


@pytest.mark.parametrize("unit", ["half \ud800 a pair", "nul \x00", "bell \x07"])
def test_a_text_that_no_store_takes_is_refused_and_its_quarantine_can_be_written(unit):
    journal, events = recording()
    (rejected,) = events.events([click(unit=unit)]).rejected
    assert rejected.code == "control_character"
    (fault,) = decode(journal.inbox[0])[1]
    assert "\x00" not in fault.unit + fault.detail
    (fault.unit + fault.detail + fault.key).encode()
