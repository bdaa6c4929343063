import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lamella.errors import InvalidInput
from lamella.services.assigning import CONTEXT_BYTES
from lamella.web.parsing import TEXT_LENGTH, parse_batch, parse_wish
from lamella.web.serving_schemas import RecommendationBody

texts = st.text("ab 安é\n\0\x7f", max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(
    st.sampled_from(["unit", "context", "k", "exclude", "request_id", "user"]), json_values, max_size=5
)


def faults_of(body):
    with pytest.raises(InvalidInput) as refused:
        parse_wish(body)
    return refused.value.faults


def test_a_unit_alone_is_enough():
    wanted = parse_wish({"unit": "ann"})
    assert (wanted.unit, wanted.context, wanted.k, wanted.exclude) == ("ann", {}, None, frozenset())


@pytest.mark.parametrize("unit", ["ann", "安", "x" * TEXT_LENGTH, "a b", "👩‍🚀"])
def test_any_printable_text_up_to_the_limit_is_a_unit(unit):
    assert parse_wish({"unit": unit}).unit == unit


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ("", "empty"),
        ("x" * (TEXT_LENGTH + 1), "257 characters"),
        ("x" * 10_000, "10000 characters"),
        ("a\nb", "control character"),
        ("a\x00b", "control character"),
        ("a\x7fb", "control character"),
        ("a\x85b", "control character"),
        (7, "send text"),
        (True, "send text"),
        (["ann"], "send text"),
        (None, "is missing"),
    ],
)
def test_an_unusable_unit_is_refused_in_words(unit, words):
    assert words in faults_of({"unit": unit})[0]


def test_a_value_that_is_nested_too_deeply_to_be_shown_is_refused_like_any_other():
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    for name in ("unit", "k", "context", "request_id", "preview", "exclude"):
        assert any(fault.startswith(name) for fault in faults_of({"unit": "ann", name: deep})), name
    with pytest.raises(InvalidInput, match="events: is a"):
        parse_batch({"events": {"deep": deep}})


@pytest.mark.parametrize("k", [0, -1, 101, 1.0, "5", True, [1]])
def test_k_is_a_whole_number_from_1_to_100(k):
    assert faults_of({"unit": "ann", "k": k})[0].startswith("k: ")


@pytest.mark.parametrize("context", [[], "x", 1, None, True])
def test_a_context_is_an_object(context):
    assert faults_of({"unit": "ann", "context": context})[0].startswith("context: ")


def test_a_context_may_have_64_kb_and_not_a_byte_more():
    overhead = len(orjson.dumps({"x": ""}))
    assert parse_wish({"unit": "ann", "context": {"x": "y" * (CONTEXT_BYTES - overhead)}})
    too_large = faults_of({"unit": "ann", "context": {"x": "y" * (CONTEXT_BYTES - overhead + 1)}})
    assert f"has {CONTEXT_BYTES + 1} bytes" in too_large[0]


def test_a_deep_context_is_refused():
    context: dict[str, object] = {}
    for _ in range(50):
        context = {"x": context}
    assert "nested" in faults_of({"unit": "ann", "context": context})[0]


def test_a_nul_in_the_context_is_refused_because_no_store_keeps_it():
    assert "NUL" in faults_of({"unit": "ann", "context": {"x": "a\0"}})[0]


def test_every_fault_is_named_at_once():
    faults = faults_of({"user": "ann", "context": 1, "k": 0, "exclude": "x"})
    assert [fault.split(":")[0] for fault in faults] == ["user", "unit", "context", "k", "exclude"]


def test_a_bad_item_in_exclude_is_named_by_its_place():
    assert faults_of({"unit": "ann", "exclude": ["a", 2]})[0].startswith("exclude[1]: ")


@given(bodies)
def test_what_the_hand_parser_accepts_the_documented_model_accepts_too(body):
    try:
        parse_wish(body)
    except InvalidInput:
        return
    RecommendationBody.model_validate(body)


@given(bodies)
def test_what_the_documented_model_refuses_the_hand_parser_refuses_too(body):
    try:
        RecommendationBody.model_validate(body)
    except ValidationError:
        assert faults_of(body)


@pytest.mark.parametrize("events", [None, {}, "x", [], [{}] * 1001])
def test_a_batch_holds_1_to_1000_events(events):
    with pytest.raises(InvalidInput, match="events: "):
        parse_batch({"events": events})


def test_a_batch_is_an_object_with_events_only():
    with pytest.raises(InvalidInput) as refused:
        parse_batch({"event": []})
    assert refused.value.faults == ("event: is not a known field", "events: is missing")
