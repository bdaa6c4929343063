"""Records read as columns are the records read one by one."""

import json
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamella.adapters.sql.columns import micros_at, plain
from lamella.adapters.sql.event_frame import EXTRAS, Events
from lamella.adapters.sql.intake import Intake
from lamella.adapters.sql.slate_frame import Slates
from lamella.events.codec import COLUMNS, decode, encode
from lamella.events.contract import Click, Custom, Exposure, Impression, Interaction, Read, Slate
from lamella.testing.traffic import NOW, click, interaction, read, slate, traffic

KINDS = {Click: "click", Read: "read", Interaction: "interaction", Custom: "custom"}


def events_in(intake: Intake) -> list[tuple[object, ...]]:
    """What the frame says of each event, in order."""
    frame = intake.events
    extras = {
        int(row): tuple(column[at] for column in frame.extras[kind])
        for kind, rows in frame.rows.items()
        for at, row in enumerate(rows)
    }
    texts = (frame.event_ids, frame.units, frame.micros, frame.request_ids, frame.items)
    common = (frame.kinds, *map(plain, texts))
    return [(*each, *extras[row]) for row, each in enumerate(zip(*common, strict=True))]


def events_of(records) -> list[tuple[object, ...]]:
    """The same of records."""
    return [
        (
            *(KINDS[type(each)], each.event_id, each.unit, micros_at(each.time), each.request_id, each.item),
            *(getattr(each, name) for name in EXTRAS[KINDS[type(each)]]),
        )
        for each in records
        if type(each) in KINDS
    ]


def slates_in(intake: Intake) -> list[tuple[object, ...]]:
    frame, at, found = intake.slates, 0, []
    columns = list(map(plain, frame.impressions))
    for row, shown in enumerate(frame.shown):
        impressions = [tuple(column[at + each] for column in columns) for each in range(shown)]
        at += shown
        words = (orjson.loads(frame.models[row]), orjson.loads(frame.fallbacks[row]), frame.contexts[row])
        texts = (frame.request_ids[row].as_py(), frame.units[row].as_py())
        common = (*texts, int(frame.micros[row]), frame.snapshots[row])
        found.append((*common, frame.latencies[row], *words, frame.exposures[frame.combination[row]], impressions))
    return found


def slates_of(records) -> list[tuple[object, ...]]:
    return [
        (
            *(each.request_id, each.unit, micros_at(each.time), each.snapshot, each.latency_ms),
            *(each.models, each.fallbacks, each.context, each.exposures),
            [(i.item, i.rank, i.score, i.source, i.propensity) for i in each.impressions],
        )
        for each in records
        if isinstance(each, Slate)
    ]


def check(*batches: bytes) -> None:
    """The frames say what reading one by one says, and the faults are the same."""
    intake = Intake.of(batches)
    read_singly = [decode(batch) for batch in batches]
    records = [record for found, _ in read_singly for record in found]
    assert events_in(intake) == events_of(records)
    assert slates_in(intake) == slates_of(records)
    assert list(intake.exposures.values()) == [each for each in records if isinstance(each, Exposure)]
    faults = [fault for _, found in read_singly for fault in found]
    assert Counter(each.why for each in intake.faults.values()) == Counter(
        fault.why for fault in {fault.document: fault for fault in faults}.values()
    )


def test_traffic_is_framed_without_looking_at_a_single_record():
    records = traffic(random.Random(3), slates=200)
    documents = orjson.loads(encode(records))
    assert Slates.of([each for each in documents if each["kind"] == "slate"]).fits()
    assert Events.of([each for each in documents if each["kind"] != "slate"]).fits()
    check(*(encode(records[at : at + 50]) for at in range(0, len(records), 50)))


def test_events_are_told_as_they_were_written():
    records = [each for each in traffic(random.Random(4), slates=60) if not isinstance(each, Slate)]
    records.append(Custom(event_id="custom-1", unit="reader-1", time=NOW, name="revenue", value=-2.5))
    batch = encode(records)
    frame = Intake.of([batch]).events
    assert frame.documents(np.arange(len(records))) == orjson.loads(batch)
    assert frame.documents(np.array([7, 2])) == [orjson.loads(batch)[row] for row in (7, 2)]
    assert frame.documents(np.array([], dtype=np.int64)) == []


def test_what_is_parsed_in_parts_is_what_is_parsed_at_once(monkeypatch):
    monkeypatch.setattr("lamella.adapters.sql.intake._PART_BYTES", 1)
    monkeypatch.setattr("lamella.adapters.sql.intake._FRAME_BYTES", 2_000)
    records = traffic(random.Random(5), slates=20)
    check(encode(records[:30]), b"[", encode(records[30:]), b"{}", encode(records[:3]))


SHOWN = slate(time=datetime(2026, 3, 2, 8, 0, 0, 123_456, tzinfo=UTC))
GOOD = orjson.loads(
    encode(
        [
            SHOWN,
            click(of=SHOWN),
            read(of=SHOWN, completion=None),
            interaction(of=SHOWN),
            Custom(event_id="custom-1", unit="reader-1", time=NOW, name="revenue", value=-2.5),
        ]
    )
)
PLACES = [(at, name) for at, document in enumerate(GOOD) for name in document]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False),
    st.text(max_size=300),
    st.sampled_from(
        ["", "a\u00a0b", "a\x00b", "\u200d", "2026-03-02T08:00:00Z", "2026-03-02T08:00:00", "NaT", "x" * 257, [], {}]
    ),
    st.sampled_from(
        ["item-1", "item-1\nitem-2", "\n", "item-1\n", [0.5], [0.5, 0.25], [2, 1], [1, 1], [True], [2**40]]
    ),
    st.sampled_from([1e-7, 0.1234567, 86_400.5, [[1, "a", True]], [[1, "a", 1]], [["item", 1, 0.5, "mf@1", 1.0]] * 2]),
    st.sampled_from([[["item", 1, 1, "", 1]], [["item", 2, 1.0, "s", 0.5], ["item", 1, 1.0, "s", 0.5]], {"a": 1}]),
)


@settings(max_examples=150, deadline=None)
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_one_field_of_another_value_changes_what_reading_one_by_one_changes(place, value):
    at, name = place
    documents = json.loads(json.dumps(GOOD))
    documents[at][name] = value
    check(orjson.dumps(documents))


@settings(max_examples=300, deadline=None)
@given(changes=st.dictionaries(st.sampled_from(COLUMNS), VALUES, min_size=2))
def test_columns_of_impressions_are_what_reading_one_by_one_says(changes):
    check(orjson.dumps([GOOD[0], {**GOOD[0], "request_id": "other", **changes}]))


@given(shown=st.lists(st.lists(st.tuples(st.text("ab\u00e9\u4e2d", min_size=1), st.sampled_from("st")), max_size=4)))
def test_slates_of_any_length_and_source_are_framed(shown):
    slates = [
        replace(SHOWN, request_id=str(at), impressions=[
            Impression(item=item, rank=rank, score=rank / 4, source=source, propensity=0.5 if at % 2 else 1.0)
            for rank, (item, source) in enumerate(each, start=1)
        ])
        for at, each in enumerate(shown)
    ]  # fmt: skip
    assert Slates.of(orjson.loads(encode(slates))).fits()
    check(encode(slates))


def test_impressions_as_an_older_version_listed_them_are_framed():
    old = {name: value for name, value in GOOD[0].items() if name not in COLUMNS}
    check(orjson.dumps([{**old, "impressions": [["i", 2, 0.5, "mf", 1.0], ["j", 1, 0.25, "", 0.5]]}]), encode([SHOWN]))


@pytest.mark.parametrize(("at", "name"), PLACES)
def test_a_field_that_is_missing_or_too_many_is_a_fault_of_its_record_alone(at, name):
    documents = json.loads(json.dumps(GOOD))
    del documents[at][name]
    check(orjson.dumps(documents))
    documents = json.loads(json.dumps(GOOD))
    documents[at]["colour"] = name
    check(orjson.dumps(documents))


@pytest.mark.parametrize("poison", [b"", b"{}", b"no JSON", b"[1, null, []]", b"[[", b'["a"]],[["b"]', b"7"])
def test_a_batch_that_cannot_be_read_sinks_no_other(poison):
    check(encode([SHOWN]), poison, encode([click(of=SHOWN)]))


@pytest.mark.parametrize(
    "time",
    [
        *("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "2026-03-02T08:00:00.1+01:30", "20260302T080000Z"),
        *("2026-03-02T08:00:60Z", "2026-03-02", "2026-03-02 08:00+00", "2026-03-02T08:00:00 +00:00", "\u0662026-03-02"),
    ],
)
def test_a_time_in_other_words_is_what_reading_it_by_itself_says(time):
    documents = json.loads(json.dumps(GOOD))
    documents[1]["time"] = time
    check(orjson.dumps(documents))


@given(moment=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), offset=st.integers(-720, 720))  # noqa: DTZ001
def test_every_moment_of_the_calendar_is_kept_to_the_microsecond(moment, offset):
    time = moment.replace(tzinfo=UTC) + timedelta(minutes=offset)
    check(encode([click(of=slate(time=time))]))
