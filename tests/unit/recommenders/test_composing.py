"""Maximal marginal relevance, and places drawn with a known chance."""

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from lamella.recommenders.composing import Chance, compose, generator_of

RELEVANCE = np.array([0.9, 0.8, 0.7, 0.1], dtype=np.float32)
VECTORS = np.array([[1, 0], [1, 0.01], [0, 1], [0, -1]], dtype=np.float32)
FALSE_ALARM = 1e-4
RUNS = 4_000


def chosen(diversity: float, count: int = 3, relevance: np.ndarray = RELEVANCE) -> list[int]:
    return compose(relevance, VECTORS[: len(relevance)], diversity=diversity, count=count).rows.tolist()


def drawn(chance: Chance, *, count: int = 2, runs: int = RUNS, diversity: float = 0.0) -> list[tuple]:
    found = []
    for run in range(runs):
        rng = generator_of(f"request-{run}")
        slate = compose(RELEVANCE, VECTORS, diversity=diversity, count=count, chance=chance, rng=rng)
        found.append((tuple(slate.rows.tolist()), tuple(slate.propensities.tolist())))
    return found


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
    assert compose(RELEVANCE[:0], VECTORS[:0], diversity=0.5, count=3).rows.tolist() == []
    assert chosen(0.5, 2, np.full(4, 0.3, dtype=np.float32)) == [0, 2]


def test_items_without_vectors_stay_in_the_order_of_relevance() -> None:
    found = compose(RELEVANCE, np.zeros((4, 0), dtype=np.float32), diversity=0.7, count=4)
    assert found.rows.tolist() == [0, 1, 2, 3]
    assert found.propensities.tolist() == [1.0] * 4


@pytest.mark.parametrize("chance", [Chance(0.3), Chance(0.0, 0.5), Chance(0.2, 0.5)])
@pytest.mark.parametrize("diversity", [0.0, 0.6])
def test_slates_come_as_often_as_their_propensities_say(chance: Chance, diversity: float) -> None:
    """The product of the propensities is the chance of the slate: all slates of two, false alarm 1e-4 each."""
    slates = drawn(chance, diversity=diversity)
    counts, chances = Counter(rows for rows, _ in slates), {rows: np.prod(each) for rows, each in slates}
    assert len(counts) == 4 * 3
    assert sum(chances.values()) == pytest.approx(1.0)
    expected = [RUNS * chances[rows] for rows in counts]
    assert chisquare(list(counts.values()), expected).pvalue > FALSE_ALARM


def test_epsilon_0_and_temperature_0_draw_nothing() -> None:
    assert {rows for rows, _ in drawn(Chance(), runs=50)} == {(0, 1)}


def test_epsilon_1_shows_each_item_as_often_in_each_place() -> None:
    for rows, chances in drawn(Chance(1.0), runs=50, count=4):
        assert sorted(rows) == [0, 1, 2, 3]
        assert chances == pytest.approx((1 / 4, 1 / 3, 1 / 2, 1.0))


def test_the_same_request_draws_the_same_slate_and_another_one_may_not() -> None:
    assert drawn(Chance(0.5), runs=20) == drawn(Chance(0.5), runs=20)
    assert len({rows for rows, _ in drawn(Chance(0.5), runs=20)}) > 1


def test_a_small_temperature_is_the_order_and_never_overflows() -> None:
    assert {rows for rows, _ in drawn(Chance(0.0, 1e-6), runs=50)} == {(0, 1)}
