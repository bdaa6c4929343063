"""Hyperparameters are checked, all at once."""

from dataclasses import dataclass

import pytest

from lamella.errors import InvalidInput
from lamella.recommenders.hyperparameters import Hyperparameters, integer, number, parse, unparse
from lamella.recommenders.kinds import KINDS, kind_named


@dataclass(frozen=True, slots=True, kw_only=True)
class Some(Hyperparameters):
    epochs: int = integer(20, 1, 100)
    reg: float = number(1.0, 0.0, 10.0)


def test_defaults_hold_where_nothing_is_said_and_a_whole_number_is_a_number() -> None:
    assert unparse(parse("some", Some, {"reg": 3})) == {"epochs": 20, "reg": 3.0}


@pytest.mark.parametrize("value", [0, 101, 2.5, True, "20", None])
def test_a_value_of_the_wrong_type_or_out_of_bounds_is_refused_with_its_bounds(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"some: epochs=.* is not an integer from 1 to 100"):
        parse("some", Some, {"epochs": value})  # type: ignore[dict-item]


def test_nan_is_no_number() -> None:
    with pytest.raises(InvalidInput, match="reg=nan"):
        parse("some", Some, {"reg": float("nan")})


def test_every_fault_is_listed_and_a_near_name_suggested() -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse("some", Some, {"epoch": 3, "reg": -1, "colour": "red"})
    assert refusal.value.faults == (
        "some has no hyperparameter 'epoch'; did you mean 'epochs'?",
        "some: reg=-1 is not a number from 0 to 10",
        "some has no hyperparameter 'colour'; it has epochs, reg",
    )


def test_every_kind_is_registered_under_its_own_name() -> None:
    assert set(KINDS) == {
        "newest",
        "popularity",
        "dot",
        "mf",
        "deep",
        "fm",
        "ncf",
        "twotower",
        "textcnn",
        "cnn",
        "gru",
        "lstm",
    }
    assert all(kind.name == name and kind.summary for name, kind in KINDS.items())


@pytest.mark.parametrize(("name", "hint"), [("textcn", "did you mean 'textcnn'"), ("x", "popularity, dot, mf, deep")])
def test_an_unknown_kind_is_refused_with_the_known_ones(name: str, hint: str) -> None:
    with pytest.raises(InvalidInput, match=hint):
        kind_named(name)
