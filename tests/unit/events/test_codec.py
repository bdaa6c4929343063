import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.errors import InvalidEvent, InvalidInput
from lamella.events.codec import COLUMNS, decode, encode, fault_of
from lamella.events.contract import Click, Exposed, Impression, Interaction, Read, Slate
from lamella.events.validation import parse_feedback
from lamella.testing.traffic import NOW, click, slate, traffic

ids = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=256)
moments = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
micros = st.integers(0, 1_000_000).map(lambda n: n / 1_000_000)
common = {"event_id": ids, "request_id": ids, "unit": ids, "item": ids, "time": moments}
feedback = st.one_of(
    st.builds(Click, **common),
    st.builds(Read, **common, read_seconds=st.integers(0, 86_400).map(float), completion=st.none() | micros),
    st.builds(Interaction, **common, action=ids.map(lambda text: text[:32])),
)
impressions = st.lists(
    st.builds(
        Impression,
        item=ids,
        rank=st.integers(1, 32_767),
        score=st.floats(allow_nan=False, allow_infinity=False),
        source=st.text("abc@1", max_size=9),
        propensity=st.floats(0, 1, exclude_min=True),
    ),
    unique_by=lambda each: each.rank,
    max_size=5,
)
slates = st.builds(
    Slate,
    request_id=ids,
    unit=ids,
    time=moments,
    exposures=st.lists(
        st.builds(Exposed, phase=st.integers(0, 2**31 - 1), variant=ids, counted=st.booleans()),
        unique_by=lambda each: each.phase,
        max_size=4,
    ).map(tuple),
    impressions=impressions.map(tuple),
    snapshot=st.integers(0, 2**31 - 1),
    models=st.dictionaries(ids, ids, max_size=2),
    fallbacks=st.dictionaries(ids, ids, max_size=2),
    context=st.dictionaries(ids, st.none() | st.booleans() | ids | st.integers(-(2**60), 2**60), max_size=3),
    latency_ms=st.integers(0, 10_000).map(float),
)


@given(records=st.lists(slates | feedback, max_size=4))
def test_what_was_encoded_is_decoded_the_same(records):
    assert decode(encode(records)) == (records, [])


def test_seeded_traffic_survives_and_a_time_in_another_zone_is_the_same_moment():
    records = traffic(random.Random(1), slates=50)
    assert decode(encode(records))[0] == records
    abroad = replace(slate(), time=NOW.astimezone(timezone(timedelta(hours=8))))
    assert decode(encode([abroad]))[0] == [slate()]


def test_impressions_as_an_older_version_listed_them_are_read():
    listed = [["i", 2, 0.5, "mf", 1.0], ["j", 1, 0.25, "", 0.5]]
    ((found,), _) = decode(orjson.dumps([document(impressions=listed)]))
    assert [[i.item, i.rank, i.score, i.source, i.propensity] for i in found.impressions] == listed


@pytest.mark.parametrize(
    ("wrong", "why"),
    [({"item": "i\nj"}, "control_character"), ({"source": "m\nf"}, "control_character"), ({"item": ""}, "empty")],
)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_text_of_several_lines_becomes_no_other_item(number, wrong, why):
    shown = tuple(replace(slate().impressions[0], rank=rank + 1, **wrong) for rank in range(number))
    records, (fault,) = decode(encode([replace(slate(), impressions=shown), slate("fine")]))
    assert (fault.why, [each.request_id for each in records]) == (why, ["fine"])


def test_scores_of_numpy_are_numbers():
    scored = replace(slate(), impressions=(Impression(item="i", rank=1, score=np.float64(0.5), source="mf"),))
    ((found,), _) = decode(encode([scored]))
    assert found.impressions[0].score == 0.5


def test_a_naive_time_and_half_a_character_are_refused_when_encoding():
    with pytest.raises(InvalidInput, match="no offset"):
        encode([replace(slate(), time=NOW.replace(tzinfo=None))])
    with pytest.raises(InvalidInput, match="JSON"):
        encode([replace(slate(), unit="\ud800")])


def document(**changes):
    """A slate as it is encoded; with `impressions`, as an older version listed them."""
    (found,) = orjson.loads(encode([slate()]))
    if "impressions" in changes:
        found = {name: value for name, value in found.items() if name not in COLUMNS}
    return {**found, **changes}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"impressions": [["i", 1, None, "mf", 1.0]]}, "wrong_type"),
        ({"impressions": [["i", 0, 0.5, "mf", 1.0]]}, "out_of_range"),
        ({"impressions": [["i", 1, 0.5, "mf", 0.0]]}, "out_of_range"),
        ({"impressions": [["i", 1, 0.5, "mf", 1.0], ["j", 1, 0.4, "mf", 1.0]]}, "repeated"),
        ({"impressions": [["i\x00", 1, 0.5, "mf", 1.0]]}, "control_character"),
        ({"items": "i", "scores": [None]}, "wrong_type"),
        ({"items": "i\nj"}, "wrong_type"),
        ({"items": "i\n", "scores": [0.5, 0.4]}, "empty"),
        ({"items": "", "scores": [0.5]}, "wrong_type"),
        ({"items": ["i"], "scores": [0.5]}, "wrong_type"),
        ({"items": "i", "scores": [0.5], "ranks": [0]}, "out_of_range"),
        ({"items": "i\nj", "scores": [0.5, 0.4], "ranks": [1, 1]}, "repeated"),
        ({"items": "i\nj", "scores": [0.5, 0.4], "ranks": [1]}, "wrong_type"),
        ({"items": "i", "scores": [0.5], "propensities": [0.0]}, "out_of_range"),
        ({"items": "i", "scores": [0.5], "sources": "a\nb"}, "wrong_type"),
        ({"exposures": [[1, "a", True], [1, "b", True]]}, "repeated"),
        ({"exposures": [[-1, "a", True]]}, "wrong_type"),
        ({"exposures": [[1, "", True]]}, "empty"),
        ({"exposures": {"1": "a"}}, "wrong_type"),
        ({"snapshot": 2**40}, "wrong_type"),
        ({"snapshot": 1.5}, "wrong_type"),
        ({"models": {"recall": 1}}, "wrong_type"),
        ({"context": []}, "wrong_type"),
        ({"latency_ms": -1}, "out_of_range"),
        ({"unit": ""}, "empty"),
        ({"colour": "red"}, "unknown_field"),
    ],
)
def test_a_slate_that_the_store_could_not_keep_is_a_fault_and_its_neighbours_are_not(changes, why):
    batch = orjson.dumps([document(request_id="a"), document(request_id="bad", **changes), document(request_id="z")])
    records, (fault,) = decode(batch)
    assert [record.request_id for record in records] == ["a", "z"]
    assert (fault.why, fault.kind, fault.key) == (why, "slate", "bad")
    assert orjson.loads(fault.document)["request_id"] == "bad"


@pytest.mark.parametrize("batch", [b"", b"{", b"{}", b"7", b"\xff", b'[{"kind":"click"'])
def test_bytes_that_are_no_array_are_one_fault(batch):
    records, (fault,) = decode(batch)
    assert (records, fault.why, fault.document) == ([], "unreadable_batch", batch)


def test_a_score_that_is_no_number_is_a_fault_of_that_slate_only():
    broken = replace(slate("bad"), impressions=(Impression(item="i", rank=1, score=math.nan, source="mf"),))
    records, faults = decode(encode([broken, click(of=slate())]))
    assert records == [click(of=slate())]
    assert [fault.why for fault in faults] == ["wrong_type"]


def test_a_record_that_is_nested_too_deeply_is_a_fault_that_keeps_what_else_it_says():
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    for document in ({"kind": "click", "event_id": deep, "unit": "ann"}, {"kind": deep, "event_id": "e1"}, deep):
        with pytest.raises(InvalidEvent) as refused:
            parse_feedback(document)
        fault = fault_of(document, refused.value)
        assert encode([fault])
        assert orjson.loads(fault.document) is not None
        if isinstance(document, dict):
            assert {name: text for name, text in document.items() if text is not deep}.items() <= orjson.loads(
                fault.document
            ).items()
