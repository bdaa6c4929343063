import random
from datetime import timedelta

import pytest

from lamella.errors import InvalidEvent, NotFound
from lamella.events.codec import encode, fault_of
from lamella.events.contract import Custom, Exposed, Exposure
from lamella.services.flagging import BOT, INTERNAL, Flag
from lamella.testing.traffic import NOW, click, interaction, read, slate, traffic

SHOWN = [Exposed(phase=1, variant="a")]


def revenue(unit="reader-1", *, event_id="custom-1", request_id=None, time=NOW, value=-2.5):
    return Custom(event_id=event_id, unit=unit, time=time, name="revenue", value=value, request_id=request_id)


def test_a_custom_number_is_stored_once_with_or_without_a_request(stores):
    shown = slate(exposures=SHOWN)
    batch = [shown, revenue(), revenue(event_id="custom-2", request_id=shown.request_id)]
    assert stores.take(batch).stored["custom"] == 2
    assert stores.take(batch).duplicate == {"slate": 1, "custom": 2}
    assert stores.record.counts()["custom"] == 2


def test_a_custom_number_of_an_unknown_request_waits_for_its_slate(stores):
    shown = slate(exposures=SHOWN)
    assert stores.take([revenue(request_id=shown.request_id)]).quarantined == {"unknown_request": 1}
    assert stores.take([shown]).stored["custom"] == 1


def test_an_event_id_counts_once_whatever_the_kind(stores):
    shown = slate()
    receipt = stores.take([shown, click("same", of=shown), revenue(event_id="same")])
    assert receipt.duplicate == {"custom": 1}


def test_what_came_more_than_an_hour_late_is_counted_for_its_phase(stores):
    old = slate(exposures=SHOWN, time=NOW - timedelta(hours=3))
    stores.take([old, click(of=old), read(of=old, after=timedelta(hours=2, minutes=30))])
    stores.take([slate("other", exposures=[Exposed(phase=2, variant="a")], time=NOW - timedelta(hours=3))])
    assert stores.analysis.record_counts(1).late == 2
    assert stores.analysis.record_counts(2).late == 1


def test_refused_records_of_a_phases_units_are_counted_with_its_record(stores):
    shown = slate(exposures=SHOWN)
    bad = fault_of({"kind": "click", "unit": "reader-1"}, InvalidEvent("missing_field", "event_id is missing"))
    other = fault_of({"kind": "click", "unit": "stranger"}, InvalidEvent("missing_field", "event_id is missing"))
    stores.journal.append(encode([shown, bad, other]))
    receipt = stores.record.ingest(limit=10, now=NOW)
    assert receipt.quarantined == {"missing_field": 2}
    stores.take([click("orphan", of=slate("never shown"))])
    assert stores.analysis.record_counts(1).quarantined == 2
    assert stores.quarantine.counts() == {"missing_field": 2, "unknown_request": 1}
    (orphan,) = stores.quarantine.newest(reason="unknown_request")
    assert (orphan.key, orphan.unit, orphan.kind) == ("orphan", "reader-1", "click")


def test_old_refused_records_are_cleared_and_counted(stores):
    stores.take([click("orphan", of=slate())])
    assert stores.quarantine.clear(before=NOW) == 0
    assert stores.quarantine.clear(before=NOW + timedelta(seconds=1)) == 1
    assert stores.record.counts()["quarantine"] == 0


def bot(unit="robot"):
    shown = slate(f"request-{unit}", unit=unit, exposures=SHOWN)
    agent = {"user_agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}
    return type(shown)(**{name: getattr(shown, name) for name in shown.__slots__} | {"context": agent})


def test_a_bot_is_left_out_of_the_analysis_and_counted(stores):
    stores.take([slate(exposures=SHOWN), bot()])
    (arm,) = stores.analysis.arm_totals(1, ["slates"])
    assert arm.moments.n == 1
    assert stores.analysis.record_counts(1).flagged == {BOT: 1}
    (flag,) = stores.flags.all()
    assert (flag.unit, flag.reason) == ("robot", BOT)
    assert "Googlebot" in flag.detail


def test_a_flag_takes_a_unit_out_of_what_was_recorded_before_and_its_removal_brings_it_back(stores):
    stores.take([slate(exposures=SHOWN), slate("second", unit="colleague", exposures=SHOWN)])
    stores.flags.put(Flag(unit="colleague", reason=INTERNAL, detail="by eve", at=NOW))
    (arm,) = stores.analysis.arm_totals(1, ["slates"])
    assert arm.moments.n == 1
    assert stores.analysis.record_counts(1).flagged == {INTERNAL: 1}
    stores.flags.remove("colleague")
    (arm,) = stores.analysis.arm_totals(1, ["slates"])
    assert arm.moments.n == 2
    with pytest.raises(NotFound):
        stores.flags.remove("colleague")


def test_a_unit_with_too_many_slates_on_one_day_is_a_bot(stores):
    stores.take([slate(f"request-{n}", unit="busy", exposures=SHOWN) for n in range(5)], [slate(exposures=SHOWN)])
    assert stores.flags.flag_heavy(slates=5, now=NOW) == 0
    assert stores.flags.flag_heavy(slates=4, now=NOW) == 1
    assert [flag.unit for flag in stores.flags.all()] == ["busy"]


def test_an_erased_unit_is_gone_and_the_others_totals_stay_as_they_were(stores):
    records = traffic(random.Random(3), slates=120, units=12)
    victim = "reader-4"
    others = [each for each in records if each.unit != victim]
    stores.take(records)
    stores.take([revenue(victim), Exposure(exposure_id="told", unit=victim, time=NOW, exposed=SHOWN[0])])
    stores.flags.put(Flag(unit=victim, reason=INTERNAL, detail="by eve", at=NOW))
    stores.journal.append(encode([click("waits", of=slate("unseen", unit=victim)), slate("stays", unit="reader-9")]))
    exported = stores.units.export(victim)
    assert {"slate", "click", "custom", "exposure", "flagged_unit", "inbox"} <= exported.keys()
    gone = stores.units.erase(victim)
    assert gone["slate"] == len(exported["slate"])
    assert stores.units.export(victim) == {}
    assert stores.record.ingest(limit=10, now=NOW).stored == {"slate": 1, "impression": 3}
    counts = stores.record.counts()
    assert counts["slate"] == 1 + sum(type(each).__name__ == "Slate" for each in others)
    assert counts["click"] == sum(type(each).__name__ == "Click" for each in others)


def test_reports_recompute_without_an_erased_unit_to_the_last_digit(stores, fresh_stores):
    records = traffic(random.Random(4), slates=150, units=15)
    columns = ["impressions", "clicks", "read_seconds", "pre_clicks", "has_pre"]
    stores.take(records)
    stores.units.erase("reader-3")
    fresh_stores.take([each for each in records if each.unit != "reader-3"])
    left, never = (each.analysis.arm_totals(7, columns) for each in (stores, fresh_stores))
    assert [(arm.variant, arm.moments.n, arm.crossed, arm.slates) for arm in left] == [
        (arm.variant, arm.moments.n, arm.crossed, arm.slates) for arm in never
    ]
    for one, other in zip(left, never, strict=True):
        assert one.moments.mean.tolist() == pytest.approx(other.moments.mean.tolist(), rel=1e-12)


def test_an_erased_slate_does_not_come_back_and_its_feedback_is_kept_without_the_unit(stores):
    shown = slate(exposures=SHOWN)
    stores.take([shown, click(of=shown)])
    stores.units.erase(shown.unit)
    assert stores.take([shown, click(of=shown)]).duplicate == {"slate": 1, "click": 1}
    assert stores.take([interaction(of=shown)]).quarantined == {"erased": 1}
    assert stores.units.export(shown.unit) == {}
    assert stores.record.counts()["click"] == 0
