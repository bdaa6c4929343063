"""Whatever comes in whatever order, every store says what a store that takes one record after the other says."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from lamella.events.codec import encode
from lamella.events.contract import Click, Custom, Exposed, Exposure, Impression, Interaction, Read, Slate
from lamella.testing.traffic import NOW

UNITS = ("ann", "bob", "\u8bfb\u8005", "\u00e9" * 256, "e\u0301", "a b/c")
ITEMS = ("news", "\u65b0\u95fb", "x" * 256, "a,b", '"', "item-1", "\U0001f600")
SLATES = [f"request-{number}" for number in range(25)]
COLUMNS = (
    "slates",
    "impressions",
    "clicks",
    "reads",
    "read_seconds",
    "completion",
    "comments",
    "shares",
    "interactions",
)


def slate(name):
    rng = random.Random(name)
    phases = rng.sample(range(1, 5), rng.randrange(4))
    items = rng.sample(ITEMS, rng.randrange(len(ITEMS)))
    ranks = rng.sample(range(1, 40), len(items)) if rng.random() < 0.3 else range(1, len(items) + 1)
    shared = rng.choice(["mf@1", ""])
    return Slate(
        request_id=name,
        unit=rng.choice(UNITS),
        time=NOW - timedelta(minutes=rng.choice([0, 1, 30, 90, 3_000]), microseconds=rng.randrange(3)),
        exposures=tuple(
            Exposed(phase=phase, variant=rng.choice(["a", "b", "\u4e59"]), counted=rng.random() < 0.8)
            for phase in phases
        ),
        impressions=tuple(
            Impression(
                item=item,
                rank=rank,
                score=rng.choice([0.0, -1.5, 1e-300, 3, 1 / 3]),
                source=rng.choice(["explore", "mf@1"]) if rng.random() < 0.2 else shared,
                propensity=rng.choice([1.0, 1.0, 0.25]),
            )
            for item, rank in zip(items, ranks, strict=True)
        ),
        snapshot=rng.randrange(3),
        models=rng.choice([{}, {"recall": "mf@1"}]),
        fallbacks=rng.choice([{}, {"rank": "late"}]),
        context=rng.choice([{}, {"device": "phone"}, {"age": 30, "user_agent": "a crawler"}]),
        latency_ms=rng.choice([0.0, 2.5]),
    )


def event(name):
    rng = random.Random(name)
    shown = slate(rng.choice([*SLATES, "nobody knows"]))
    unit = shown.unit if rng.random() < 0.9 else rng.choice(UNITS)
    common = {
        "event_id": name, "request_id": shown.request_id, "unit": unit, "item": rng.choice(ITEMS),
        "time": shown.time + timedelta(seconds=rng.randrange(100)),
    }  # fmt: skip
    match rng.randrange(5):
        case 0:
            return Click(**common)
        case 1:
            completion = rng.choice([None, 0.0, 0.333333, 1.0])
            return Read(**common, read_seconds=rng.choice([0.0, 0.000001, 12.5, 86_400.0]), completion=completion)
        case 2:
            return Interaction(**common, action=rng.choice(["comment", "share", "like"]))
        case 3:
            return Custom(**common, name="revenue", value=rng.choice([-2.5, 0.0, 1e12]))
    return Custom(event_id=name, unit=unit, time=common["time"], name="stars", value=4.0)


def exposure(name):
    rng = random.Random(name)
    exposed = Exposed(phase=rng.randrange(1, 5), variant=rng.choice("ab"))
    return Exposure(exposure_id=name, unit=rng.choice(UNITS), time=slate(name).time, exposed=exposed)


def stream(rng):
    """Batches of slates, events and exposures, of which many come again, and events may come before their slates."""
    records = [slate(name) for name in SLATES] + [exposure(f"exposure-{number}") for number in range(12)]
    records += [event(f"event-{number}") for number in range(120)]
    records += rng.choices(records, k=60)
    rng.shuffle(records)
    while records:
        size = rng.randrange(1, 20)
        yield encode(records[:size])
        del records[:size]


def taken(stores):
    """The receipt of an ingest of all that waits."""
    return stores.record.ingest(limit=1_000, now=NOW)


def sums_of(arm):
    return [arm.moments.sum_of(name) for name in COLUMNS]


@pytest.mark.parametrize("seed", range(10))
def test_any_stream_leaves_what_one_record_after_the_other_leaves(stores, fresh_stores, seed):
    rng = random.Random(seed)
    for batch in stream(rng):
        for each in (stores, fresh_stores):
            each.journal.append(batch)
        if rng.random() < 0.2:
            assert taken(stores) == taken(fresh_stores)
    assert taken(stores) == taken(fresh_stores)
    assert stores.record.counts() == fresh_stores.record.counts()
    for phase in range(1, 5):
        found, wanted = (of.analysis.arm_totals(phase, COLUMNS) for of in (stores, fresh_stores))
        assert [replace(each, moments=None) for each in found] == [replace(each, moments=None) for each in wanted]
        assert [sums_of(each) for each in found] == [pytest.approx(sums_of(each), rel=1e-12) for each in wanted]
    first, other = (of.training.impressions() for of in (stores, fresh_stores))
    assert sorted(zip(first.units, first.items, first.ranks, first.clicked, strict=True)) == sorted(
        zip(other.units, other.items, other.ranks, other.clicked, strict=True)
    )
