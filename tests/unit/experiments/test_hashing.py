import cbor2
import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.errors import InvalidInput
from lamella.experiments.hashing import HASHES, Salt, cbor, hash32, scale

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=400)


@given(value=TEXT)
def test_text_is_encoded_as_cbor2_encodes_it(value: str) -> None:
    assert cbor(value) == cbor2.dumps(value, canonical=True)


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 65_535, 65_536])
def test_every_length_gets_the_shortest_head(size: int) -> None:
    assert cbor("a" * size) == cbor2.dumps("a" * size, canonical=True)


@given(value=st.booleans() | st.integers(-(2**64), 2**64 - 1))
def test_integers_and_booleans_are_encoded_as_cbor2_encodes_them(value: int) -> None:
    assert cbor(value) == cbor2.dumps(value, canonical=True)


@given(value=st.floats() | st.floats(width=16) | st.floats(width=32))
def test_floats_are_encoded_as_cbor2_encodes_them_and_whole_ones_as_integers(value: float) -> None:
    whole = value.is_integer() and -(2**63) <= value < 2**64
    assert cbor(value) == cbor2.dumps(int(value) if whole else value, canonical=True)


def test_an_integer_of_more_than_64_bits_has_no_encoding() -> None:
    with pytest.raises(InvalidInput, match="64 bits"):
        cbor(2**64)


def test_half_a_surrogate_pair_is_no_unit() -> None:
    with pytest.raises(InvalidInput, match="not valid Unicode"):
        hash32("salt", "\ud800")


@given(salt=TEXT, unit=TEXT)
def test_a_prepared_salt_hashes_as_the_definition_says(salt: str, unit: str) -> None:
    defined = mmh3.hash(cbor2.dumps(f"{salt}:{unit}", canonical=True), seed=0, signed=False)
    assert hash32(salt, unit) == defined
    assert Salt(salt).hash(unit.encode()) == defined


@given(hashed=st.integers(0, HASHES - 1), total=st.integers(1, 2**31 - 1))
def test_a_hash_lands_inside_the_total_and_in_proportion(hashed: int, total: int) -> None:
    place = scale(hashed, total)
    assert 0 <= place < total
    assert place == hashed * total // HASHES
