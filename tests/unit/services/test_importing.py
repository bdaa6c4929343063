import json
from dataclasses import replace
from datetime import timedelta

import pytest

from configurations import draft, newsroom, running
from lamella.events.codec import decode, encode
from lamella.events.contract import Click, Custom, Exposed, Exposure, Slate
from lamella.services.importing import Importing, Line
from lamella.testing.traffic import NOW

OLD = NOW - timedelta(days=900)
TIME = OLD.isoformat()
CLICK = {"kind": "click", "event_id": "e", "request_id": "r", "unit": "u", "item": "i", "time": TIME}
SLATE = {"kind": "slate", "request_id": "r", "unit": "u", "time": TIME}


def configuration():
    live = running(newsroom(), draft("trial"))
    (trial,) = live.experiments
    phase = replace(trial.phases[-1], started_at=OLD - timedelta(days=1))
    return replace(live, experiments=(replace(trial, phases=(phase,)),)), phase.id


CONFIGURATION, PHASE = configuration()


def imported(*rows):
    lines = [Line(number=number, row=row) for number, row in enumerate(rows, start=1)]
    return list(Importing(CONFIGURATION, NOW).records(lines))


def why(row):
    (one,) = imported(row)
    assert one.record is None
    return one.fault.why


def test_events_of_any_age_are_records_and_texts_of_a_csv_become_numbers():
    read = {**CLICK, "kind": "read", "read_seconds": "12.5", "completion": ""}
    custom = {"kind": "custom", "unit": "u", "time": TIME, "name": "revenue", "value": "-2", "item": ""}
    one, two, three = imported(CLICK, read, custom)
    assert isinstance(one.record, Click)
    assert (two.record.read_seconds, two.record.completion) == (12.5, None)
    assert isinstance(three.record, Custom)
    assert (three.record.value, three.record.item) == (-2.0, None)


def test_an_event_without_an_id_has_the_same_one_every_time_and_another_one_in_another_row():
    bare = {name: value for name, value in CLICK.items() if name != "event_id"}
    first = [each.record.event_id for each in imported(bare, bare)]
    assert first == [each.record.event_id for each in imported(bare, bare)]
    assert len(set(first)) == 2


def test_impressions_that_follow_each_other_are_one_slate():
    shown = {"kind": "impression", "request_id": "r", "unit": "u", "time": TIME, "score": "0.5"}
    rows = [{**shown, "item": "a"}, {**shown, "item": "b", "rank": "2", "experiment": "trial", "variant": "control"}]
    slate, click, other = imported(*rows, CLICK, {**shown, "request_id": "r2", "item": "c"})
    assert isinstance(slate.record, Slate)
    assert (slate.first, slate.last, click.first, other.last) == (1, 2, 3, 4)
    assert [(each.item, each.rank, each.score) for each in slate.record.impressions] == [("a", 1, 0.5), ("b", 2, 0.5)]
    assert slate.record.exposures == (Exposed(phase=PHASE, variant="control"),)


def test_a_slate_may_list_its_items_or_describe_its_impressions():
    exposures = [{"experiment": "trial", "variant": "treatment", "counted": False}]
    listed, described = imported(
        {**SLATE, "items": ["a", "b"], "exposures": exposures},
        {**SLATE, "impressions": [{"item": "a", "score": 2, "source": "mf@1"}], "context": {"device": "phone"}},
    )
    assert [each.item for each in listed.record.impressions] == ["a", "b"]
    assert listed.record.exposures == (Exposed(phase=PHASE, variant="treatment", counted=False),)
    assert described.record.impressions[0].source == "mf@1"


def test_an_exposure_as_the_record_writes_it_is_taken_as_it_is():
    (slate,) = imported({**SLATE, "items": ["a"], "exposures": [[PHASE, "treatment", False]]})
    assert slate.record.exposures == (Exposed(phase=PHASE, variant="treatment", counted=False),)


def test_exposures_find_the_phase_of_their_time():
    told = {"kind": "exposure", "event_id": "x", "unit": "u", "time": TIME, "experiment": "trial", "variant": "control"}
    (one,) = imported(told)
    assert isinstance(one.record, Exposure)
    assert one.record.exposed == Exposed(phase=PHASE, variant="control")
    assert why({**told, "time": (OLD - timedelta(days=2)).isoformat()}) == "unknown_phase"
    assert why({**told, "experiment": "other"}) == "unknown_experiment"
    assert why({**told, "variant": "other"}) == "unknown_variant"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (ValueError("not JSON"), "not_an_object"),
        ({**CLICK, "kind": "glance"}, "unknown_kind"),
        ({**CLICK, "unit": ""}, "missing_field"),
        ({**CLICK, "read_seconds": "3"}, "unknown_field"),
        ({**CLICK, "kind": "read", "read_seconds": "many"}, "wrong_type"),
        ({**CLICK, "kind": "read", "read_seconds": "nan"}, "out_of_range"),
        ({**CLICK, "time": (NOW + timedelta(days=1)).isoformat()}, "in_future"),
        ({"kind": "slate", "request_id": "r", "unit": "u", "time": TIME, "items": "a"}, "wrong_type"),
        ({"kind": "slate", "request_id": "r", "unit": "u", "time": TIME, "exposures": ["x"]}, "wrong_type"),
        ({**SLATE, "exposures": [[999, "control", True]]}, "unknown_phase"),
        ({**SLATE, "exposures": [[]]}, "unknown_phase"),
        ({**SLATE, "exposures": [[PHASE, "nope", True]]}, "unknown_variant"),
        ({**SLATE, "exposures": [[PHASE, "control"]]}, "wrong_type"),
        ({"kind": "impression", "request_id": "r", "unit": "u", "time": TIME}, "wrong_type"),
    ],
)
def test_a_row_that_breaks_the_contract_is_refused_by_itself(row, reason):
    bad, good = imported(row, {**CLICK, "event_id": "good"})
    assert (bad.record, bad.fault.why) == (None, reason)
    assert good.record is not None


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"kind": "custom", "unit": "u", "time": TIME, "name": "n", "value": 10**30}, "out_of_range"),
        ({"kind": "custom", "unit": "\ud800", "time": TIME, "name": "n", "value": 1}, "control_character"),
        ({"kind": "custom", "unit": json.loads("[" * 900 + "]" * 900), "time": TIME}, "wrong_type"),
        (
            {
                "kind": "slate",
                "request_id": "r",
                "unit": "u",
                "time": TIME,
                "impressions": [{"item": "i", "score": 10**400}],
            },
            "out_of_range",
        ),
        *(
            ({"kind": "slate", "request_id": "r", "unit": "u", "time": TIME, "items": ["i"], name: {"a": value}}, kind)
            for name, value, kind in [
                ("context", json.loads("[" * 300 + "]" * 300), "wrong_type"),
                ("context", "\ud800", "wrong_type"),
                ("context", "\0", "wrong_type"),
                ("context", 2**70, "wrong_type"),
                ("models", "\ud800", "wrong_type"),
            ]
        ),
    ],
)
def test_what_json_can_say_and_no_store_can_keep_is_refused_by_itself(row, reason):
    first, refused, last = imported(CLICK, row, {**CLICK, "event_id": "f"})
    assert refused.fault is not None
    assert refused.fault.why == reason
    assert decode(encode([first.record, last.record]))[0] == [first.record, last.record]
