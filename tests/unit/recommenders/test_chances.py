"""Scores that are worked out where somebody looks, and the order of candidates."""

import numpy as np
import pytest

from lamella.recommenders.artifact import sigmoid
from lamella.recommenders.chances import Chances, best_places, best_rows

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


def test_the_best_rows_are_those_of_a_full_sort_with_ties_by_row() -> None:
    values = np.random.default_rng(2).integers(0, 50, 500).astype(np.float32)
    wanted = np.lexsort((np.arange(500), -values))
    for given in (values, values.astype(np.float64)):
        for count in (0, 1, 7, 60, 499, 500):
            assert best_rows(given, count).tolist() == wanted[:count].tolist()
    assert best_rows(np.zeros(100, dtype=np.float32), 10).tolist() == list(range(10))


def test_the_best_rows_of_different_values_are_the_head_of_a_full_sort() -> None:
    values = np.random.default_rng(3).normal(size=5_000).astype(np.float32)
    assert best_rows(values, 500).tolist() == np.argsort(-values, kind="stable")[:500].tolist()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_order_is_that_of_a_stable_sort(kind: type) -> None:
    rng = np.random.default_rng(4)
    extremes = [0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45, 3e38, -3e38, 1.0, -1.0, -0.0, 0.0, 1e-39, -1e-39]
    for values in (extremes, rng.normal(size=501), rng.integers(-4, 4, 700), [], [2.0]):
        given = np.array(values, dtype=kind)
        assert best_places(given).tolist() == np.argsort(-given, kind="stable").tolist()
