import random
from datetime import timedelta

import pytest

from lamella.errors import Overloaded
from lamella.events.codec import encode
from lamella.events.contract import Exposed
from lamella.testing.traffic import NOW, click, interaction, read, slate, traffic


def test_an_empty_inbox_is_a_receipt_of_nothing(stores):
    receipt = stores.record.ingest(limit=10, now=NOW)
    assert (receipt.batches, receipt.stored, receipt.duplicate, receipt.quarantined) == (0, {}, {}, {})
    assert set(stores.record.counts().values()) == {0}


def test_a_batch_leaves_the_inbox_and_becomes_facts(stores):
    shown = slate(exposures=[Exposed(phase=1, variant="a")])
    receipt = stores.take([shown, click(of=shown), read(of=shown), interaction(of=shown)])
    assert receipt.stored == {"slate": 1, "impression": 3, "click": 1, "read": 1, "interaction": 1}
    kept = {"slate": 1, "impression": 3, "click": 1, "read": 1, "interaction": 1}
    assert stores.record.counts() == {**kept, "custom": 0, "exposure": 1, "quarantine": 0, "inbox": 0}


def test_an_ingest_takes_the_oldest_batches_up_to_its_limit(stores):
    for number in range(5):
        stores.journal.append(encode([slate(f"request-{number}")]))
    assert stores.record.ingest(limit=2, now=NOW).batches == 2
    counts = stores.record.counts()
    assert (counts["slate"], counts["inbox"]) == (2, 3)


def test_a_full_inbox_is_overloaded_until_it_is_drained(stores):
    for number in range(100):
        stores.journal.append(encode([slate(f"request-{number}")]))
    with pytest.raises(Overloaded):
        stores.journal.append(encode([slate("one too many")]))
    stores.record.ingest(limit=1, now=NOW)
    stores.journal.append(encode([slate("there is room again")]))
    assert stores.record.counts()["inbox"] == 100


def test_a_repeat_changes_nothing_and_is_counted_whether_in_the_same_batch_or_a_later_one(stores):
    shown = slate()
    first = stores.take([shown, shown, click(of=shown), click(of=shown)])
    again = stores.take([shown, click(of=shown)])
    assert first.stored == {"slate": 1, "impression": 3, "click": 1}
    assert first.duplicate == again.duplicate == {"slate": 1, "click": 1}
    assert again.stored == {}
    assert stores.record.counts()["click"] == 1


def test_feedback_that_comes_before_its_slate_in_the_same_ingest_is_no_orphan(stores):
    shown = slate()
    assert stores.take([click(of=shown)], [shown]).quarantined == {}


def test_feedback_on_an_older_slate_finds_its_arm(stores):
    shown = slate(exposures=[Exposed(phase=1, variant="a")])
    stores.take([shown])
    stores.take([click(of=shown)])
    (arm,) = stores.analysis.arm_totals(1, ["clicks"])
    assert arm.moments.mean_of("clicks") == 1


def test_an_orphan_is_quarantined_once_and_stored_when_its_slate_arrives(stores):
    shown = slate(exposures=[Exposed(phase=1, variant="a")])
    assert stores.take([click(of=shown)]).quarantined == {"unknown_request": 1}
    assert stores.take([click(of=shown)]).quarantined == {}
    assert stores.record.counts()["quarantine"] == 1
    assert stores.take([shown]).stored == {"slate": 1, "impression": 3, "click": 1}
    assert stores.record.counts()["quarantine"] == 0
    assert stores.take([click(of=shown)]).duplicate == {"click": 1}
    (arm,) = stores.analysis.arm_totals(1, ["clicks"])
    assert arm.moments.mean_of("clicks") == 1


def test_a_record_that_breaks_the_contract_is_quarantined_and_sinks_nobody(stores):
    good = encode([slate(), click(of=slate())])
    bad = good.replace(b'"kind":"click"', b'"kind":"clock"')
    stores.journal.append(bad)
    stores.journal.append(b"no JSON at all")
    receipt = stores.record.ingest(limit=10, now=NOW)
    assert receipt.quarantined == {"unknown_kind": 1, "unreadable_batch": 1}
    assert receipt.stored == {"slate": 1, "impression": 3}
    assert stores.record.counts()["quarantine"] == 2


@pytest.mark.parametrize("order", [1, 2, 3])
def test_batches_that_come_again_and_again_in_any_order_leave_the_same_record(stores, order):
    records = traffic(random.Random(5), slates=200)
    batches = [records[i : i + 20] for i in range(0, len(records), 20)] * 3
    random.Random(order).shuffle(batches)
    for start in range(0, len(batches), 7):
        stores.take(*batches[start : start + 7])
    counts = stores.record.counts()
    assert counts["slate"] == 200
    assert counts["click"] == sum(type(each).__name__ == "Click" for each in records)
    assert (counts["quarantine"], counts["inbox"]) == (0, 0)


def test_a_unit_is_exposed_once_to_a_phase_however_many_slates_it_saw(stores):
    exposures = [Exposed(phase=1, variant="a"), Exposed(phase=2, variant="x")]
    stores.take([slate(f"request-{n}", time=NOW + timedelta(minutes=n), exposures=exposures) for n in range(4)])
    assert stores.record.counts()["exposure"] == 2
