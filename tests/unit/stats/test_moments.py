import numpy as np
import pytest

from lamella.errors import InvalidInput
from lamella.stats.moments import Moments


def test_by_hand():
    rows = Moments.from_rows(("a", "b"), [[1, 2], [3, 2], [5, 5]])
    assert rows.n == 3
    assert rows.mean.tolist() == [3.0, 3.0]
    assert rows.cross.tolist() == [[8.0, 6.0], [6.0, 6.0]]
    assert rows.covariance_of("a", "b") == 3.0
    assert rows.sum_of("a") == 9.0


def test_agree_with_numpy():
    rows = np.random.default_rng(1).normal(size=(500, 4))
    found = Moments.from_rows(tuple("abcd"), rows)
    np.testing.assert_allclose(found.cross / 499, np.cov(rows.T), rtol=1e-12)


def test_values_near_1e9_keep_a_variance_of_1():
    rows = 1e9 + np.array([[-1.0], [0.0], [1.0]] * 1000)
    halves = Moments.from_rows(("x",), rows[:1000]) + Moments.from_rows(("x",), rows[1000:])
    assert halves.covariance_of("x", "x") == pytest.approx(2000 / 2999, rel=1e-6)


def test_shifted_sums_near_the_mean_give_the_same_moments():
    rows = 1e9 + np.random.default_rng(2).normal(size=(1000, 2))
    shifted = rows - 1e9
    found = Moments.from_shifted_sums(("a", "b"), 1000, [1e9, 1e9], shifted.sum(axis=0), shifted.T @ shifted)
    whole = Moments.from_rows(("a", "b"), rows)
    np.testing.assert_allclose(found.cross, whole.cross, rtol=1e-6)
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-15)


def test_no_units_are_the_neutral_element():
    rows = Moments.from_rows(("a",), [[1], [2]])
    empty = Moments.empty(("a",))
    assert (rows + empty).n == (empty + rows).n == 2
    assert Moments.from_shifted_sums(("a",), 0, [0], [0], [[0]]).n == 0
    assert np.isnan(empty.covariance_of("a", "a"))


def test_other_columns_cannot_be_added_and_unknown_ones_are_refused():
    with pytest.raises(InvalidInput, match="cannot be added"):
        Moments.empty(("a",)) + Moments.empty(("b",))
    with pytest.raises(InvalidInput, match="'c' among a"):
        Moments.empty(("a",)).mean_of("c")
    with pytest.raises(InvalidInput, match="need n >= 0"):
        Moments(("a",), 1, np.zeros(2), np.zeros((1, 1)))


def test_a_projection_is_the_moments_of_the_new_columns():
    rows = np.random.default_rng(3).normal(size=(200, 3))
    found = Moments.from_rows(tuple("abc"), rows).project({"sum": {"a": 1, "b": 1}, "rest": {"c": -2.0}, "none": {}})
    direct = Moments.from_rows(
        ("sum", "rest", "none"), np.column_stack([rows[:, 0] + rows[:, 1], -2 * rows[:, 2], np.zeros(200)])
    )
    np.testing.assert_allclose(found.cross, direct.cross, atol=1e-9)
    np.testing.assert_allclose(found.mean, direct.mean, atol=1e-12)


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_a_combination_that_is_constant_has_no_variance_in_any_unit(unit):
    clicks = np.random.default_rng(4).poisson(3, 1000) * 0.1 * unit
    found = Moments.from_rows(("x", "d"), np.column_stack([clicks * 0.3, clicks])).project({"r": {"x": 1, "d": -0.3}})
    assert found.covariance_of("r", "r") == 0.0


def test_a_column_that_is_not_finite_spoils_only_what_holds_it():
    rows = [[1.0, 2.0, float("nan")], [2.0, 5.0, 1.0], [3.0, 1.0, 1.0]]
    found = Moments.from_rows(tuple("abc"), rows).project({"a": {"a": 1}, "b": {"b": 2}, "c": {"a": 1, "c": 1}})
    assert found.mean.tolist()[:2] == [2.0, pytest.approx(16 / 3)]
    assert found.covariance_of("a", "a") == 1.0
    assert np.isnan(found.covariance_of("c", "c"))
    assert np.isnan(found.mean_of("c"))
