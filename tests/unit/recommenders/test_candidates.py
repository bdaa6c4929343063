"""Candidates as rows."""

import numpy as np
import pytest

from lamella.recommenders.candidates import ItemRows, Translations

KEYS = ("a", "b", "c", "d")


def rows(*places: int, reference: str = "mf@1", keys: tuple[str, ...] = KEYS) -> ItemRows:
    return ItemRows(reference, keys, np.array(places, dtype=np.int64))


def test_rows_read_like_the_keys_that_they_stand_for() -> None:
    items = rows(3, 0, 2)
    assert list(items) == ["d", "a", "c"] == [items[at] for at in range(len(items))]
    assert items == ["d", "a", "c"]
    assert items != ["d", "a"]
    assert items[1:] == ["a", "c"]
    assert "c" in items
    assert "b" not in items
    assert repr(items) == "['d', 'a', 'c']"
    assert not rows()


def test_rows_of_another_version_are_found_without_and_with_what_was_kept() -> None:
    translations, places = Translations(), {"c": 0, "a": 1}
    for _ in range(2):
        assert translations.rows(rows(3, 0, 2), "cnn@1", places).tolist() == [-1, 1, 0]
    assert translations.rows(["c", "z"], "cnn@1", places).tolist() == [0, -1]
    assert translations.rows(rows(3, 0), "mf@1", {}).tolist() == [3, 0]


@pytest.mark.parametrize("left", ["mf@1", "cnn@1"])
def test_what_was_kept_of_a_version_is_forgotten_with_it(left: str) -> None:
    translations = Translations()
    translations.rows(rows(0), "cnn@1", {"a": 5})
    translations.forget(left)
    assert translations.rows(rows(0), "cnn@1", {"a": 7}).tolist() == [7]
