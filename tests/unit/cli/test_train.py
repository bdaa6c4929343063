"""Hyperparameters as the command line writes them."""

import pytest

from lamella.cli.train import parse_pairs
from lamella.errors import InvalidInput


def test_what_is_json_is_read_as_json_and_the_rest_is_text() -> None:
    endless = "9" * 5_000
    found = parse_pairs(("epochs=3", "reg=0.5", "name=mf", f"hidden={endless}", "a=b=c"))
    assert found == {"epochs": 3, "reg": 0.5, "name": "mf", "hidden": endless, "a": "b=c"}


@pytest.mark.parametrize("pair", ["epochs", "=3"])
def test_what_is_no_pair_is_refused(pair: str) -> None:
    with pytest.raises(InvalidInput, match="is not NAME=VALUE"):
        parse_pairs((pair,))
