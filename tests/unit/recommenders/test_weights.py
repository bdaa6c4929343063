"""How many bytes a model takes."""

import sys

import numpy as np
import pytest

from lamella.recommenders.weights import bytes_of


@pytest.mark.parametrize(
    "keys", [("u1", "u22"), ("böb", "文章", "x"), (b"ab", "ab"), ("a", np.zeros(3)), ("a", 1, 2.0)]
)
def test_keys_are_counted_one_by_one_whatever_they_are(keys: tuple[object, ...]) -> None:
    assert bytes_of(keys) == sys.getsizeof(keys) + sum(map(bytes_of, keys))
    assert bytes_of(list(keys)) == sys.getsizeof(list(keys)) + sum(map(bytes_of, keys))


def test_a_key_takes_what_python_says() -> None:
    assert bytes_of("文章") == sys.getsizeof("文章")
    assert bytes_of(("文章",)) == sys.getsizeof(("文章",)) + sys.getsizeof("文章")


def test_a_table_takes_its_values_and_an_entry_a_pair_each() -> None:
    table = {"a": np.zeros(4), "b": np.zeros(2)}
    entries = bytes_of({"a": 1, "b": 2})
    assert entries > sys.getsizeof({"a": 1, "b": 2})
    assert bytes_of(table) == entries + 48
