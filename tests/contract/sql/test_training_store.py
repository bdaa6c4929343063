from dataclasses import replace
from datetime import timedelta

import pytest

from lamella.errors import TrainingFault
from lamella.testing.traffic import NOW, click, slate


def test_impressions_come_in_time_order_with_what_was_clicked(stores):
    late = slate("r1", unit="reader-2", time=NOW + timedelta(minutes=1), items=["i3"])
    early = slate("r2", unit="reader-1", items=["i1", "i2"])
    stores.take([late, early, click("c1", of=early, item="i2"), click("c2", of=early, item="i2")])
    log = stores.training.impressions()
    assert list(log.units) == ["reader-1", "reader-1", "reader-2"]
    assert list(log.items) == ["i1", "i2", "i3"]
    assert list(log.ranks) == [1, 2, 1]
    assert list(log.clicked) == [False, True, False]
    assert (log.since, log.until) == (early.time, late.time)


def test_a_window_takes_its_start_and_not_its_end(stores):
    stores.take([slate(f"r{n}", time=NOW + timedelta(hours=n), items=[f"i{n}"]) for n in range(4)])
    log = stores.training.impressions(since=NOW + timedelta(hours=1), until=NOW + timedelta(hours=3))
    assert list(log.items) == ["i1", "i2"]


def test_nothing_to_learn_from_is_a_training_fault(stores):
    stores.take([slate()])
    with pytest.raises(TrainingFault, match="no impression"):
        stores.training.impressions(since=NOW + timedelta(days=1))


def test_each_unit_has_its_newest_context(stores):
    old = replace(slate("r1", unit="ann", items=["i1"]), context={"device": "phone", "age": 30})
    later = slate("r2", unit="ann", time=NOW + timedelta(hours=1), items=["i1"])
    new = replace(later, context={"device": "desk"})
    stores.take([new, old, slate("r3", unit="bob", items=["i2"])])
    assert stores.training.impressions().contexts == {"ann": {"device": "desk"}, "bob": {"device": "phone"}}
