"""Slates and feedback for tests: single records with sensible defaults, and seeded traffic of every kind."""

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from lamella.events.codec import Record
from lamella.events.contract import Click, Exposed, Impression, Interaction, Read, Slate

NOW: Final = datetime(2026, 3, 20, 15, 30, tzinfo=UTC)
ITEMS: Final = tuple(f"item-{number}" for number in range(200))
_ACTIONS: Final = ("comment", "share", "like")


def slate(
    request_id: str = "request-1",
    *,
    unit: str = "reader-1",
    time: datetime = NOW,
    exposures: Iterable[Exposed] = (),
    items: Sequence[str] = ("item-1", "item-2", "item-3"),
    fallbacks: Mapping[str, str] | None = None,
) -> Slate:
    """A slate of `items` in this order."""
    return Slate(
        request_id=request_id,
        unit=unit,
        time=time,
        exposures=tuple(exposures),
        impressions=tuple(
            Impression(item=item, rank=rank, score=1.0 / rank, source="mf@1") for rank, item in enumerate(items, 1)
        ),
        snapshot=1,
        models={"recall": "mf@1"},
        fallbacks=fallbacks or {},
        context={"device": "phone"},
        latency_ms=3.5,
    )


def click(event_id: str = "click-1", *, of: Slate, item: str | None = None, after: timedelta = timedelta()) -> Click:
    """A click on an item (the first one) of the slate."""
    shown = item or of.impressions[0].item
    return Click(event_id=event_id, request_id=of.request_id, unit=of.unit, item=shown, time=of.time + after)


def read(
    event_id: str = "read-1",
    *,
    of: Slate,
    read_seconds: float = 30.0,
    completion: float | None = 0.5,
    after: timedelta = timedelta(),
) -> Read:
    """A read of the first item of the slate."""
    return Read(
        event_id=event_id,
        request_id=of.request_id,
        unit=of.unit,
        item=of.impressions[0].item,
        time=of.time + after,
        read_seconds=read_seconds,
        completion=completion,
    )


def interaction(event_id: str = "interaction-1", *, of: Slate, action: str = "comment") -> Interaction:
    """What a reader did with the first item of the slate."""
    item = of.impressions[0].item
    return Interaction(
        event_id=event_id, request_id=of.request_id, unit=of.unit, item=item, time=of.time, action=action
    )


def traffic(
    rng: random.Random, *, slates: int = 500, units: int = 60, phase: int = 7, days: int = 14, end: datetime = NOW
) -> list[Record]:
    """The records of some readers over `days` until `end`, in no order.

    The phase runs over the second half, with variants a and b; one slate in a hundred shows its unit the other
    variant, and one in fifty is forced. Reads happen up to ten hours after their slate.
    """
    records: list[Record] = []
    start = end - timedelta(days=days / 2)
    for number in range(slates):
        unit = rng.randrange(units)
        time = end - timedelta(seconds=rng.randrange(int(days * 86_400)))
        variant = "ab"[(unit + (rng.random() < 0.01)) % 2]
        exposures = [Exposed(phase=phase, variant=variant, counted=unit % 50 != 49)] if time >= start else []
        shown = slate(
            f"request-{number}",
            unit=f"reader-{unit}",
            time=time,
            exposures=[*exposures, Exposed(phase=phase + 1, variant="only")],
            items=rng.sample(ITEMS, 5),
            fallbacks={"rank": "late"} if rng.random() < 0.1 else None,
        )
        records.append(shown)
        for each in shown.impressions:
            if rng.random() < 0.2:
                records += _feedback(rng, shown, f"{number}-{each.rank}", each.item)
    rng.shuffle(records)
    return records


def _feedback(rng: random.Random, of: Slate, name: str, item: str) -> Iterable[Record]:
    common = {"request_id": of.request_id, "unit": of.unit, "item": item}
    yield Click(event_id=f"click-{name}", time=of.time, **common)
    yield Read(
        event_id=f"read-{name}",
        time=of.time + timedelta(minutes=rng.randrange(600)),
        read_seconds=round(rng.lognormvariate(2, 1), 6),
        completion=round(rng.random(), 6) if rng.random() < 0.8 else None,
        **common,
    )
    if rng.random() < 0.3:
        yield Interaction(event_id=f"interaction-{name}", time=of.time, action=rng.choice(_ACTIONS), **common)
