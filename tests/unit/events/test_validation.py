import math
from datetime import UTC, datetime, timedelta

import pytest

from lamella.errors import InvalidEvent
from lamella.events.contract import Click, Interaction, Read
from lamella.events.validation import REASONS, parse_event

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
CLICK = {
    "kind": "click",
    "event_id": "e1",
    "request_id": "r1",
    "unit": "reader-1",
    "item": "item-1",
    "time": "2026-03-02T07:59:00Z",
}
READ = {**CLICK, "kind": "read", "read_seconds": 12.5, "completion": 0.25}
INTERACTION = {**CLICK, "kind": "interaction", "action": "share"}


def refused(document, **options):
    with pytest.raises(InvalidEvent) as error:
        parse_event(document, NOW, **options)
    assert error.value.why in REASONS
    assert error.value.code == "invalid_event"
    assert str(error.value)
    return error.value.why


def test_each_kind_becomes_its_own_value_with_its_time_in_utc():
    common = {"event_id": "e1", "request_id": "r1", "unit": "reader-1", "item": "item-1"}
    time = datetime(2026, 3, 2, 7, 59, tzinfo=UTC)
    assert parse_event(CLICK, NOW) == Click(**common, time=time)
    assert parse_event(READ, NOW) == Read(**common, time=time, read_seconds=12.5, completion=0.25)
    assert parse_event(INTERACTION, NOW) == Interaction(**common, time=time, action="share")


def test_a_time_with_an_offset_is_the_same_moment_in_utc():
    event = parse_event({**CLICK, "time": "2026-03-02T15:59:00+08:00"}, NOW)
    assert event.time == datetime(2026, 3, 2, 7, 59, tzinfo=UTC)
    assert event.time.tzinfo is UTC


def test_a_time_may_be_written_small():
    assert parse_event({**CLICK, "time": "2026-03-02t07:59:00z"}, NOW).time == datetime(2026, 3, 2, 7, 59, tzinfo=UTC)


@pytest.mark.parametrize("missing", ["event_id", "request_id", "unit", "item", "time", "kind"])
def test_a_missing_field_is_named(missing):
    document = {key: value for key, value in CLICK.items() if key != missing}
    with pytest.raises(InvalidEvent, match=missing):
        parse_event(document, NOW)
    assert refused(document) == "missing_field"


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "not_an_object"),
        (None, "not_an_object"),
        ({**CLICK, "kind": "glance"}, "unknown_kind"),
        ({**CLICK, "kind": ["click"]}, "unknown_kind"),
        ({**CLICK, "read_seconds": 1}, "unknown_field"),
        ({**CLICK, "unit": 7}, "wrong_type"),
        ({**CLICK, "unit": None}, "wrong_type"),
        ({**CLICK, "unit": ""}, "empty"),
        ({**CLICK, "item": "x" * 257}, "too_long"),
        ({**CLICK, "event_id": "a\x00b"}, "control_character"),
        ({**CLICK, "event_id": "a\nb"}, "control_character"),
        ({**CLICK, "event_id": "a\ud800b"}, "control_character"),
        ({**CLICK, "time": 1_772_438_400}, "wrong_type"),
        ({**CLICK, "time": "yesterday"}, "bad_time"),
        ({**CLICK, "time": "0001-01-01T00:00:00+14:00"}, "bad_time"),
        ({**CLICK, "time": "2026-03-02T07:59:00"}, "naive_time"),
        ({**CLICK, "time": "2026-03-02T08:05:01Z"}, "in_future"),
        ({**CLICK, "time": "2026-02-27T07:59:59Z"}, "too_late"),
        ({**READ, "read_seconds": -0.1}, "out_of_range"),
        ({**READ, "read_seconds": math.nan}, "out_of_range"),
        ({**READ, "read_seconds": math.inf}, "out_of_range"),
        ({**READ, "read_seconds": 86_401}, "out_of_range"),
        ({**READ, "read_seconds": 10**400}, "out_of_range"),
        ({**READ, "read_seconds": True}, "wrong_type"),
        ({**READ, "read_seconds": "12"}, "wrong_type"),
        ({**READ, "read_seconds": None}, "wrong_type"),
        ({**READ, "completion": 1.01}, "out_of_range"),
        ({**READ, "completion": -0.01}, "out_of_range"),
        ({**READ, "completion": "all"}, "wrong_type"),
        ({**INTERACTION, "action": ""}, "empty"),
        ({**INTERACTION, "action": "x" * 33}, "too_long"),
    ],
)
def test_what_breaks_the_contract_is_refused_with_its_word(document, why):
    assert refused(document) == why


def test_a_read_without_completion_was_not_measured():
    assert parse_event({**READ, "completion": None}, NOW).completion is None
    assert parse_event({key: value for key, value in READ.items() if key != "completion"}, NOW).completion is None


def test_the_edges_of_the_ranges_are_accepted():
    for completion in (0, 1, 0.0, 1.0):
        assert parse_event({**READ, "completion": completion}, NOW).completion == completion
    assert parse_event({**READ, "read_seconds": 0}, NOW).read_seconds == 0.0
    assert parse_event({**CLICK, "time": "2026-03-02T08:05:00Z"}, NOW)
    assert parse_event({**CLICK, "item": "新闻 “x” " + "x" * 240}, NOW)


def test_an_import_takes_any_age_and_a_window_may_be_set():
    old = {**CLICK, "time": "2020-01-01T00:00:00Z"}
    assert parse_event(old, NOW, late=None).time.year == 2020
    assert refused(CLICK, late=timedelta(seconds=30)) == "too_late"
