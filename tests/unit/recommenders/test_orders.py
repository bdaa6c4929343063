"""The order of candidates by their values."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lamella.recommenders.orders import Order, best_places, best_rows


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


def made(rng: np.random.Generator, n: int) -> np.ndarray:
    """Values with many ties, with few, or with none."""
    kind = rng.integers(3)
    if kind == 0:
        return rng.integers(-3, 4, n).astype(np.float32)
    values = rng.normal(size=n).astype(np.float32)
    if kind == 1 and n:
        values[rng.integers(n, size=n // 8)] = values[0]
    return values


def test_the_best_of_few_and_of_many_are_those_of_a_stable_sort() -> None:
    rng = np.random.default_rng(6)
    for n in (0, 1, 2, 8, 9, 100, 501, 30_000):
        for _ in range(12):
            values = made(rng, n)
            wanted = np.argsort(-values, kind="stable").tolist()
            assert Order(values).whole().tolist() == wanted
            for count in (-1, 0, 1, 5, 10, n // 8, n // 2, n - 1, n, n + 1):
                assert best_rows(values, count).tolist() == wanted[: max(count, 0)]


@pytest.mark.parametrize("count", range(1, 13))
@pytest.mark.parametrize("n", [100, 30_000])
def test_a_head_that_ends_among_equals_takes_the_first_of_them(n: int, count: int) -> None:
    values = np.zeros(n, dtype=np.float32)
    values[[90, 40, 60]] = 2, 3, 2
    wanted = [40, 60, 90, *(place for place in range(n) if place not in {40, 60, 90})]
    assert best_rows(values, count).tolist() == wanted[:count]
    signed = np.where(np.arange(n) % 2, np.float32(0.0), np.float32(-0.0))
    assert best_rows(signed, count).tolist() == list(range(count))


def test_a_part_is_that_of_the_whole_order() -> None:
    rng = np.random.default_rng(7)
    values, array = made(rng, 90), rng.permutation(90)
    wanted = array[np.argsort(-values, kind="stable")].tolist()
    ends = (None, 0, 1, 7, 89, 90, 200, -1, -80, -200)
    for part in (slice(start, stop, step) for start in ends for stop in ends for step in (None, 1, 3, -1, -2)):
        assert Order(values).part(array, part).tolist() == wanted[part]


def test_threads_that_look_at_once_see_the_same_order() -> None:
    rng = np.random.default_rng(8)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(50):
            values = made(rng, 400)
            order, wanted = Order(values), np.argsort(-values, kind="stable").tolist()
            assert [whole.tolist() for whole in pool.map(lambda _, order=order: order.whole(), range(16))] == [
                wanted
            ] * 16


@pytest.mark.parametrize("count", [1, 10, 500])
@pytest.mark.parametrize("n", [5_000, 30_000])
def test_a_sample_that_misleads_costs_time_and_changes_nothing(n: int, count: int) -> None:
    """The greatest at even distances, in one place, where no sample looks, or nearly all excluded."""
    rng = np.random.default_rng(9)
    base = rng.normal(size=n).astype(np.float32)
    stride = min(n // 512, 64)
    every, between, start = base.copy(), base.copy(), base.copy()
    every[::stride] += 100
    between[1::stride] += 100
    start[: n // 9] += 100
    barred = np.full(n, -np.inf, dtype=np.float32)
    barred[rng.integers(n, size=count // 2 + 1)] = 1.0
    for values in (every, between, start, barred, np.sort(base), np.sort(base)[::-1]):
        assert best_rows(values, count).tolist() == np.argsort(-values, kind="stable")[:count].tolist()
