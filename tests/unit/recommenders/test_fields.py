"""Attributes become small integers, and place somebody without a row."""

import numpy as np
import pytest

from lamella.recommenders.fields import CATEGORY, LIST, NUMBER, WORDS, Field, field_of, fields_of
from lamella.recommenders.layers import Layer
from lamella.recommenders.side import Side

PEOPLE = [
    {"region": "north" if n % 2 else "south", "age": n, "interests": ["a", "b"] if n % 3 else ["c"], "id": f"x{n}"}
    for n in range(40)
]


def test_texts_are_categories_lists_are_lists_and_numbers_fall_into_quantile_bins() -> None:
    fields = {field.name: field for field in fields_of(PEOPLE)}
    assert {name: field.kind for name, field in fields.items()} == {
        "region": CATEGORY,
        "age": NUMBER,
        "interests": LIST,
    }
    assert fields["age"].size == 9
    assert np.bincount(fields["age"].encode(PEOPLE).rows[:, 0])[1:].tolist() == [5] * 8


def test_what_is_unique_to_each_or_the_same_for_all_is_no_field() -> None:
    assert not fields_of([{"id": f"x{n}", "planet": "earth"} for n in range(9)])


def test_the_values_of_a_list_share_the_weight_and_unknown_ones_have_none() -> None:
    field = Field(name="interests", kind=LIST, values=("a", "b"))
    encoded = field.encode([{"interests": ["b", "zzz", "a"]}, {"interests": "a"}, {"interests": 7.5}, {}])
    assert encoded.rows[:, :2].tolist() == [[2, 1], [1, 0], [0, 0], [0, 0]]
    assert encoded.weights[:, :2].tolist() == [[0.5, 0.5], [1, 0], [0, 0], [0, 0]]


def test_titles_are_read_word_by_word() -> None:
    (field,) = fields_of(
        [{"title": "cats win"}, {"title": "cats lose"}, {"title": "dogs win"}], texts=frozenset({"title"})
    )
    assert (field.kind, field.values) == (WORDS, ("cats", "win"))


@pytest.mark.parametrize("value", ["old", None, float("nan"), True, [], {}])
def test_what_is_no_number_is_none(value: object) -> None:
    (field,) = fields_of([{"age": n} for n in range(20)])
    assert not field.encode([{"age": value}]).weights.any()  # type: ignore[dict-item]


def test_a_field_survives_json() -> None:
    for field in fields_of(PEOPLE):
        assert field_of(field.document()) == field


def test_a_side_is_the_sum_of_its_rows_and_a_machine_adds_its_pairs() -> None:
    """By hand: start (1, 0), region north (0, 2) and interests a, b at half weight (2, 0) and (0, 4)."""
    fields = (
        Field(name="interests", kind=LIST, values=("a", "b")),
        Field(name="region", kind=CATEGORY, values=("north",)),
    )
    table = np.array([[9, 9], [2, 0], [0, 4], [9, 9], [0, 2]], dtype=np.float32)
    side = Side(
        fields=fields,
        table=table,
        linear=np.array([9, 1, 3, 9, 10], dtype=np.float32),
        start=np.array([1, 0], dtype=np.float32),
        start_bias=0.5,
        centre=np.array([1, 0], dtype=np.float32),
        has_squares=True,
    )
    placed = side.place({"region": "north", "interests": ["a", "b"]})
    assert placed.vector.tolist() == [1.0, 4.0]
    assert placed.hidden.tolist() == [2.0, 4.0]
    pairs = 1 * 1 + 0 * 0 + 2 * 2  # start·a, a·b and start·region are 1, 0, 0; region·b is 4
    assert placed.bias == pytest.approx(0.5 + 10 + 0.5 * 1 + 0.5 * 3 + pairs)
    assert not side.faults()


def test_a_side_whose_layers_do_not_fit_is_faulty() -> None:
    nothing = np.zeros((0, 2), dtype=np.float32)
    side = Side(
        fields=(),
        table=nothing,
        linear=nothing[:, 0],
        start=np.zeros(2, dtype=np.float32),
        start_bias=0.0,
        centre=np.zeros(3, dtype=np.float32),
        layers=(Layer(np.zeros((4, 3), dtype=np.float32), np.zeros(3, dtype=np.float32)),),
    )
    assert side.faults() == ["a dense layer of shape (4, 3) does not take 2 inputs"]
