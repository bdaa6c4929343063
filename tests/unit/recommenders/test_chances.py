"""Scores that are worked out where somebody looks."""

import numpy as np

from lamella.recommenders.artifact import sigmoid
from lamella.recommenders.chances import Chances
from lamella.recommenders.orders import Order

LOGITS = np.random.default_rng(5).normal(scale=6, size=100).astype(np.float32)


def test_chances_read_like_the_list_that_they_stand_for() -> None:
    whole = sigmoid(LOGITS).tolist()
    found = Chances(LOGITS)
    assert list(found) == whole == found
    assert found != whole[:-1]
    assert len(found) == 100
    assert repr(found) == repr(whole)
    assert not Chances(LOGITS[:0])


def test_a_chance_is_the_same_number_whichever_part_is_read() -> None:
    whole = sigmoid(LOGITS).tolist()
    found = Chances(LOGITS)
    assert [found[at] for at in range(100)] == whole
    assert found[-1] == whole[-1]
    for start in range(20):
        for stop in range(start, 60, 7):
            assert list(found[start:stop]) == whole[start:stop]


def test_chances_are_read_in_the_order_that_comes_with_them() -> None:
    for logits in (LOGITS, np.round(LOGITS / 4)):
        order = np.argsort(-logits, kind="stable")
        whole = sigmoid(logits[order]).tolist()
        assert list(Chances(logits, Order(logits))) == whole == Chances(logits, Order(logits))
        assert [Chances(logits, Order(logits))[at] for at in range(-100, 100)] == whole * 2
        assert len(Chances(logits, Order(logits))) == 100
        for part in (slice(0), slice(10), slice(100), slice(3, 40), slice(-4, None), slice(None, None, -3)):
            assert list(Chances(logits, Order(logits))[part]) == whole[part]
        found = Chances(logits, Order(logits))
        assert (found[:10], found[:5], found, found[:10]) == (whole[:10], whole[:5], whole, whole[:10])
