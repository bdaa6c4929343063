from datetime import timedelta

import pytest

from lamella.errors import InvalidInput, Overloaded, TrainingFault
from lamella.events.codec import encode
from lamella.events.contract import Click, Exposed, Impression, Interaction, Read, Slate
from lamella.testing.analysis import MemoryAnalysisStore
from lamella.testing.fakes import START
from lamella.testing.record import MemoryRecord


def slate(request_id, unit="ann", *, variant="b", phase=1, counted=True, after=timedelta(), fallbacks=None):
    return Slate(
        request_id=request_id,
        unit=unit,
        time=START + after,
        exposures=(Exposed(phase=phase, variant=variant, counted=counted),),
        impressions=tuple(Impression(item=f"i{rank}", rank=rank, score=0.5, source="mf") for rank in (1, 2)),
        snapshot=1,
        fallbacks=fallbacks or {},
    )


def click(event_id, request_id, unit="ann", after=timedelta(minutes=1)):
    return Click(event_id=event_id, request_id=request_id, unit=unit, item="i1", time=START + after)


def ingest(record, *records):
    record.append(encode(records))
    return record.ingest(limit=100, now=START)


def totals(record, *columns, phase=1, **window):
    found = MemoryAnalysisStore(record).arm_totals(phase, columns, **window)
    return {arm.variant: arm for arm in found}


def test_a_repeat_is_counted_and_changes_nothing():
    record = MemoryRecord()
    ingest(record, slate("r"), click("e", "r"))
    before = record.counts()
    receipt = ingest(record, slate("r"), click("e", "r"))
    assert receipt.duplicate == {"slate": 1, "click": 1}
    assert receipt.stored == {}
    assert record.counts() == before


def test_feedback_before_its_slate_is_quarantined_and_found_when_the_slate_comes():
    record = MemoryRecord()
    assert ingest(record, click("e", "r")).quarantined == {"unknown_request": 1}
    assert record.counts()["quarantine"] == 1
    assert ingest(record, slate("r")).stored == {"slate": 1, "impression": 2, "click": 1}
    assert record.counts()["quarantine"] == 0


def test_a_batch_that_cannot_be_read_is_quarantined_and_sinks_no_other():
    record = MemoryRecord()
    record.append(b"{")
    assert ingest(record, slate("r")).quarantined == {"unreadable_batch": 1}
    assert record.counts()["slate"] == 1


def test_a_full_inbox_is_overloaded():
    record = MemoryRecord(limit=1)
    record.append(b"[]")
    with pytest.raises(Overloaded):
        record.append(b"[]")


def test_totals_are_per_unit_over_all_exposed_units():
    record = MemoryRecord()
    read = Read(event_id="x", request_id="r", unit="ann", item="i1", time=START, read_seconds=30.0, completion=0.5)
    share = Interaction(event_id="y", request_id="r", unit="ann", item="i1", time=START, action="share")
    ingest(record, slate("r"), slate("s", "bob"), click("e", "r"), click("f", "r"), read, share)
    arm = totals(record, "impressions", "clicks", "clicked", "read_seconds", "completion_reads", "shares")["b"]
    assert arm.moments.n == 2
    assert list(arm.moments.mean * 2) == [4.0, 2.0, 1.0, 30.0, 1.0, 1.0]


def test_a_unit_in_two_variants_is_counted_as_crossed_and_left_out():
    record = MemoryRecord()
    ingest(record, slate("r"), slate("s", variant="a", after=timedelta(hours=1)), slate("t", "bob"))
    arms = totals(record, "slates")
    assert (arms["b"].crossed, arms["b"].moments.n) == (1, 1)
    assert "a" not in arms


def test_a_forced_unit_is_out_of_the_analysis():
    record = MemoryRecord()
    ingest(record, slate("r", counted=False))
    assert totals(record, "slates") == {}


def test_the_window_hides_later_units_and_later_totals():
    record = MemoryRecord()
    late = timedelta(days=2)
    ingest(record, slate("r"), slate("s", "bob", after=late), click("e", "r"), click("f", "r", after=late))
    arm = totals(record, "clicks", until=START + timedelta(days=1))["b"]
    assert (arm.moments.n, arm.moments.mean_of("clicks")) == (1, 1.0)


def test_the_pre_period_ends_the_day_before_the_first_exposure():
    record = MemoryRecord()
    ingest(record, slate("old", phase=9), click("e", "old"), slate("r", after=timedelta(days=3)), slate("s", "bob"))
    arm = totals(record, "clicks", "pre_clicks", "has_pre")["b"]
    assert list(arm.moments.mean * 2) == [0.0, 1.0, 1.0]
    since = START + timedelta(days=1)
    assert totals(record, "has_pre", covariate_since=since)["b"].moments.mean_of("has_pre") == 0.0


def test_fallback_slates_are_counted():
    record = MemoryRecord()
    ingest(record, slate("r"), slate("s", fallbacks={"rank": "deadline"}))
    assert (totals(record, "slates")["b"].slates, totals(record, "slates")["b"].fallback_slates) == (2, 1)


def test_an_unknown_column_is_named():
    with pytest.raises(InvalidInput, match="sales"):
        totals(MemoryRecord(), "sales")


def test_training_data_is_in_time_order_with_its_clicks():
    record = MemoryRecord()
    ingest(record, slate("s", "bob", after=timedelta(hours=1)), slate("r"), click("e", "r"))
    log = record.impressions()
    assert list(log.units) == ["ann", "ann", "bob", "bob"]
    assert list(log.clicked) == [True, False, False, False]
    with pytest.raises(TrainingFault):
        record.impressions(since=START + timedelta(days=1))


def test_reports_are_numbered_within_their_phase():
    store = MemoryAnalysisStore(MemoryRecord())
    assert store.latest_report("exp") is None
    assert store.save_report("exp", 1, START, {"look": 1}) == 1
    assert store.save_report("exp", 1, START, {"look": 2}) == 2
    assert store.save_report("exp", 2, START, {"look": 1}) == 1
    assert store.latest_report("exp") == {"look": 1}
    assert store.reports("exp", 1) == [{"look": 1}, {"look": 2}]


def test_feedback_of_another_unit_is_quarantined_for_good():
    record = MemoryRecord()
    assert ingest(record, slate("r"), click("e", "r", unit="bob")).quarantined == {"unit_mismatch": 1}
    assert ingest(record, click("e", "r", unit="bob")).duplicate == {"click": 1}


def test_a_unit_that_was_forced_once_is_never_counted():
    record = MemoryRecord()
    ingest(record, slate("r"), slate("s", counted=False, after=timedelta(hours=1)))
    assert totals(record, "slates") == {}


def test_an_earlier_slate_that_arrives_late_moves_the_first_exposure():
    record = MemoryRecord()
    ingest(record, slate("r", after=timedelta(days=1)))
    ingest(record, slate("s"))
    assert totals(record, "slates", until=START + timedelta(hours=1))["b"].moments.n == 1
