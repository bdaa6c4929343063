from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.events.codec import decode, encode
from lamella.events.contract import Impression, Impressions
from lamella.testing.traffic import slate

COLUMNS = Impressions(("a", "b"), (0.5, 0.25), "recall:mf@1", (0.75, 1.0))
LISTED = (
    Impression(item="a", rank=1, score=0.5, source="recall:mf@1", propensity=0.75),
    Impression(item="b", rank=2, score=0.25, source="recall:mf@1", propensity=1.0),
)


def test_columns_are_read_as_the_impressions_that_they_are() -> None:
    assert tuple(COLUMNS) == LISTED
    assert (len(COLUMNS), COLUMNS[1], COLUMNS[-1], COLUMNS[:1]) == (2, LISTED[1], LISTED[1], LISTED[:1])
    assert LISTED[0] in COLUMNS
    assert [each.propensity for each in Impressions(("a",), (0.5,), "mf")] == [1.0]
    with pytest.raises(IndexError):
        COLUMNS[2]


def test_columns_equal_what_lists_the_same() -> None:
    assert COLUMNS == LISTED
    assert LISTED == COLUMNS
    assert hash(COLUMNS) == hash(LISTED)
    assert LISTED[:1] != COLUMNS
    assert COLUMNS != "ab"
    assert slate("r1", items=["a"]) == slate("r1", items=["a"])
    assert repr(COLUMNS) == repr(LISTED)


@pytest.mark.parametrize(
    ("items", "scores", "propensities"), [(("a",), (), ()), (("a",), (0.5,), (1.0, 1.0)), ((), (0.5,), ())]
)
def test_columns_of_unlike_length_are_refused(items, scores, propensities) -> None:
    with pytest.raises(ValueError, match="propensities"):
        Impressions(items, scores, "mf", propensities)


shares = st.floats(0, 1)


@given(
    st.lists(st.tuples(st.text(max_size=3), shares, st.sampled_from([1.0, 0.5])), max_size=4),
    st.sampled_from(["mf", "two\nlines", ""]),
    st.booleans(),
)
def test_a_slate_travels_as_the_same_bytes_whether_its_impressions_are_columns_or_listed(
    rows, source, is_drawn
) -> None:
    items, scores, propensities = zip(*rows, strict=True) if rows else ((), (), ())
    columns = Impressions(items, scores, source, propensities if is_drawn else ())
    listed = tuple(columns)
    one, other = (encode([_with(each)]) for each in (columns, listed))
    assert one == other
    assert decode(one) == decode(other)


def _with(impressions):
    return replace(slate("r1"), impressions=impressions)
