"""Candidates as rows."""

import numpy as np
import pytest

from lamella.recommenders.candidates import ItemRows, Translations
from lamella.recommenders.orders import Order

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


def test_rows_read_in_their_order_however_far_somebody_looks() -> None:
    keys = tuple(f"i{row}" for row in range(200))
    rng = np.random.default_rng(1)
    for values in (rng.normal(size=120), rng.integers(0, 5, 120), np.zeros(120)):
        given, logits = rng.permutation(200)[:120], values.astype(np.float32)
        wanted = [keys[row] for row in given[np.argsort(-logits, kind="stable")]]

        def items(given: np.ndarray = given, logits: np.ndarray = logits) -> ItemRows:
            return ItemRows("mf@1", keys, given, Order(logits))

        assert list(items()) == wanted == items()
        assert [items()[at] for at in range(-120, 120)] == wanted * 2
        assert [keys[row] for row in items().rows] == wanted
        assert list(reversed(items())) == wanted[::-1]
        assert len(items()) == 120
        assert items().index(wanted[3]) == 3
        for part in (slice(10), slice(0, 120), slice(2, 9), slice(-5, None), slice(None, None, -7), slice(10, -3, 4)):
            assert items()[part] == wanted[part]
            assert items()[part][:3] == wanted[part][:3]
        both = items()
        assert (both[:10], both[:4], list(both), both[:10]) == (wanted[:10], wanted[:4], wanted, wanted[:10])
    with pytest.raises(IndexError):
        items()[120]


def test_rows_of_another_version_are_found_without_and_with_what_was_kept() -> None:
    translations, places = Translations(), {"c": 0, "a": 1}
    for _ in range(2):
        assert translations.rows(rows(3, 0, 2), "cnn@1", places).tolist() == [-1, 1, 0]
    assert translations.rows(["c", "z"], "cnn@1", places).tolist() == [0, -1]
    assert translations.rows(rows(3, 0), "mf@1", {}).tolist() == [3, 0]


def test_that_all_are_known_is_said_only_where_it_is_certain() -> None:
    translations, same = Translations(), {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4}
    for _ in range(2):
        found, are_known = translations.known_rows(rows(3, 0), "same@1", same)
        assert (found.tolist(), are_known) == ([3, 0], True)
        found, are_known = translations.known_rows(rows(3, 0), "other@1", {"d": 0, "c": 1, "b": 2, "a": 3})
        assert (found.tolist(), are_known) == ([0, 3], True)
        found, are_known = translations.known_rows(rows(3, 0), "less@1", {"a": 0, "b": 1, "d": 2})
        assert (found.tolist(), are_known) == ([2, 0], False)
    assert translations.known_rows(rows(2), "mf@1", {})[1]
    assert not translations.known_rows(["a"], "same@1", same)[1]


@pytest.mark.parametrize("left", ["mf@1", "cnn@1"])
def test_what_was_kept_of_a_version_is_forgotten_with_it(left: str) -> None:
    translations = Translations()
    translations.rows(rows(0), "cnn@1", {"a": 5})
    translations.forget(left)
    assert translations.rows(rows(0), "cnn@1", {"a": 7}).tolist() == [7]
