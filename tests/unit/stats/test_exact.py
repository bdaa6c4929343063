"""Sums that are kept equal those of a fresh count, digit by digit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.errors import InvalidInput
from lamella.stats.exact import ExactSums
from lamella.stats.moments import Moments

LARGEST = 2**59 - 1
VALUES = st.one_of(st.integers(-5, 50), st.integers(-LARGEST, LARGEST), st.just(0))
ROWS = st.lists(st.tuples(VALUES, VALUES, st.integers(0, 3)), max_size=30)


def array(rows: list[tuple[int, int, int]]) -> np.ndarray:
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


@given(ROWS)
def test_the_sums_are_those_of_whole_numbers_in_python(rows):
    sums = tuple(sum(row[i] for row in rows) for i in range(3))
    products = tuple(sum(row[i] * row[j] for row in rows) for i in range(3) for j in range(i, 3))
    assert ExactSums.of(array(rows)) == ExactSums(units=len(rows), sums=sums, products=products)


@given(ROWS, ROWS)
def test_what_was_added_and_taken_away_leaves_no_trace(one, other):
    first, second = ExactSums.of(array(one)), ExactSums.of(array(other))
    assert first + second == ExactSums.of(array(one + other))
    assert first + second - second == first


def test_more_rows_than_a_block_holds_are_summed_as_exactly():
    rows = np.random.default_rng(1).integers(0, 10**12, (9_000, 3))
    whole = rows.astype(object)
    gram = whole.T @ whole
    found = ExactSums.of(rows)
    assert found.sums == tuple(whole.sum(axis=0))
    assert found.products == tuple(gram[i, j] for i in range(3) for j in range(i, 3))


def test_moments_are_those_of_the_rows_divided():
    rows = np.random.default_rng(2).integers(0, 10**9, (500, 3))
    found = ExactSums.of(rows).moments(("b", "a"), (1, 0), (1_000_000, 1))
    expected = Moments.from_rows(("b", "a"), np.column_stack([rows[:, 1] / 1e6, rows[:, 0]]))
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-14)
    np.testing.assert_allclose(found.cross, expected.cross, rtol=1e-11)


def test_a_spread_of_one_around_a_million_million_is_exact():
    rows = 10**12 + np.array([[0], [1], [2]])
    assert ExactSums.of(rows).moments(("x",), (0,), (1,)).covariance_of("x", "x") == 1.0


def test_no_rows_give_the_moments_of_nobody():
    found = ExactSums.of(np.zeros((0, 2), dtype=np.int64))
    assert found == ExactSums.empty(2)
    assert found.moments(("x", "y"), (0, 1), (1, 1)).n == 0


def test_values_too_large_to_be_summed_exactly_are_refused():
    with pytest.raises(InvalidInput, match="beyond"):
        ExactSums.of(np.array([[2**59]]))


def test_sums_of_other_columns_are_not_added():
    with pytest.raises(InvalidInput, match="2 columns"):
        _ = ExactSums.empty(2) + ExactSums.empty(3)
