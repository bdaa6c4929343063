"""Maximal marginal relevance."""

import numpy as np
import pytest

from lamella.recommenders.diversity import maximal_marginal_relevance

RELEVANCE = np.array([0.9, 0.8, 0.7, 0.1], dtype=np.float32)
VECTORS = np.array([[1, 0], [1, 0.01], [0, 1], [0, -1]], dtype=np.float32)


def chosen(diversity: float, count: int = 3, relevance: np.ndarray = RELEVANCE) -> list[int]:
    return maximal_marginal_relevance(relevance, VECTORS[: len(relevance)], diversity=diversity, count=count).tolist()


def test_without_diversity_the_order_is_that_of_relevance() -> None:
    assert chosen(0.0, 4) == [0, 1, 2, 3]


def test_a_likeness_of_the_first_gives_way_to_another_kind() -> None:
    assert chosen(0.4) == [0, 2, 1]


def test_at_full_diversity_relevance_only_picks_the_first() -> None:
    assert chosen(1.0)[:2] == [0, 2]


def test_the_first_is_always_the_most_relevant() -> None:
    assert chosen(1.0, 1, RELEVANCE[::-1].copy()) == [3]


@pytest.mark.parametrize("count", [0, 4, 99])
def test_as_many_as_there_are_come_back_and_each_once(count: int) -> None:
    rows = chosen(0.3, count)
    assert len(set(rows)) == len(rows) == min(count, 4)


def test_nothing_and_all_alike_have_an_answer() -> None:
    assert maximal_marginal_relevance(RELEVANCE[:0], VECTORS[:0], diversity=0.5, count=3).tolist() == []
    assert chosen(0.5, 2, np.full(4, 0.3, dtype=np.float32)) == [0, 2]


def test_items_without_vectors_stay_in_the_order_of_relevance() -> None:
    rows = maximal_marginal_relevance(RELEVANCE, np.zeros((4, 0), dtype=np.float32), diversity=0.7, count=4)
    assert rows.tolist() == [0, 1, 2, 3]
