from datetime import timedelta

from lamella.events.contract import Exposed, Exposure
from lamella.testing.traffic import NOW, slate


def told(exposure_id="x-1", *, unit="reader-1", variant="a", phase=1, counted=True, hours=0):
    exposed = Exposed(phase=phase, variant=variant, counted=counted)
    return Exposure(exposure_id=exposure_id, unit=unit, time=NOW + timedelta(hours=hours), exposed=exposed)


def test_a_told_exposure_is_a_first_exposure_without_a_slate(stores):
    receipt = stores.take([told(), told("x-2", unit="reader-2", variant="b")])
    assert receipt.stored == {"exposure": 2}
    counts = stores.record.counts()
    assert (counts["exposure"], counts["slate"], counts["quarantine"]) == (2, 0, 0)
    arms = stores.analysis.arm_totals(1, ["clicks"])
    assert [(arm.variant, arm.moments.n, arm.slates) for arm in arms] == [("a", 1, 0), ("b", 1, 0)]


def test_a_repeat_of_its_id_changes_nothing_in_the_same_batch_or_later(stores):
    first = stores.take([told(), told()])
    again = stores.take([told(variant="b")])
    assert (first.stored, first.duplicate) == ({"exposure": 1}, {"exposure": 1})
    assert (again.stored, again.duplicate) == ({}, {"exposure": 1})
    (arm,) = stores.analysis.arm_totals(1, ["clicks"])
    assert (arm.variant, arm.crossed) == ("a", 0)


def test_another_variant_of_the_same_phase_is_a_crossing_and_the_earlier_one_counts(stores):
    stores.take([told(hours=2)])
    stores.take([told("x-2", variant="b", hours=1)])
    (arm,) = stores.analysis.arm_totals(1, ["clicks"])
    assert (arm.variant, arm.crossed) == ("b", 1)


def test_a_forced_one_is_out_of_the_analysis(stores):
    stores.take([told(counted=False)])
    assert stores.record.counts()["exposure"] == 1
    assert list(stores.analysis.arm_totals(1, ["clicks"])) == []


def test_an_exposure_id_and_an_event_id_may_be_the_same(stores):
    shown = slate("x-1", unit="reader-1")
    receipt = stores.take([shown, told("x-1")])
    assert receipt.stored == {"slate": 1, "impression": 3, "exposure": 1}
    assert receipt.duplicate == {}


def test_a_slate_after_it_counts_for_the_same_unit(stores):
    stores.take([told()])
    stores.take([slate(unit="reader-1", exposures=[Exposed(phase=1, variant="a")], time=NOW + timedelta(hours=1))])
    (arm,) = stores.analysis.arm_totals(1, ["slates"])
    assert (arm.moments.n, arm.slates) == (1, 1)
