"""Exposures without a slate, as bytes and back."""

from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest

from lamella.errors import InvalidInput
from lamella.events.codec import decode, encode
from lamella.events.contract import Exposed, Exposure

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
TOLD = Exposure(exposure_id="x-1", unit="读者-1", time=NOW, exposed=Exposed(phase=7, variant="b", counted=False))
DOCUMENT = {"kind": "exposure", "exposure_id": "x", "unit": "u", "time": NOW.isoformat(), "exposed": [1, "a", True]}


def test_an_exposure_comes_back_as_it_was():
    assert decode(encode([TOLD, TOLD])) == ([TOLD, TOLD], [])


def test_its_time_comes_back_in_utc_and_needs_an_offset():
    ahead = TOLD.time.astimezone(timezone(timedelta(hours=8)))
    ((back,), _) = decode(encode([Exposure(exposure_id="x", unit="u", time=ahead, exposed=TOLD.exposed)]))
    assert (back.time, back.time.tzinfo) == (NOW, UTC)
    with pytest.raises(InvalidInput, match="no offset"):
        encode([Exposure(exposure_id="x", unit="u", time=NOW.replace(tzinfo=None), exposed=TOLD.exposed)])


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"surprise": 1}, "unknown_field"),
        ({"unit": ""}, "empty"),
        ({"exposure_id": 7}, "wrong_type"),
        ({"time": "noon"}, "bad_time"),
        ({"exposed": [1, "a"]}, "wrong_type"),
        ({"exposed": [-1, "a", True]}, "wrong_type"),
        ({"exposed": [1, "", True]}, "empty"),
        ({"exposed": None}, "wrong_type"),
    ],
    ids=str,
)
def test_a_broken_one_is_a_fault_with_its_id_and_sinks_nobody(changed, why):
    records, (fault,) = decode(orjson.dumps([{**DOCUMENT, **changed}, DOCUMENT]))
    assert len(records) == 1
    assert (fault.why, fault.kind) == (why, "exposure")
    assert fault.key == ("" if "exposure_id" in changed else "x")
