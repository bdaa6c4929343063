"""The record counted again from the records as they were sent: plain Python that shares nothing with the SQL."""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lamella.events.contract import Click, Custom, Interaction, Read, Slate
from lamella.experiments.conditions import holds
from lamella.experiments.measures import condition_of
from lamella.experiments.model import DeclaredMetric, Measure, MeasuredKind
from lamella.testing.traffic import NOW, traffic

PHASE = 7


@dataclass(frozen=True)
class Seen:
    kind: str
    unit: str
    time: datetime
    properties: Mapping[str, object]


def varied_traffic(seed: int, *, slates: int = 400) -> list[object]:
    """Traffic of every kind, with latencies, contexts that belong to a reader, and custom events with and without a
    request."""
    rng = random.Random(seed)
    records: list[object] = []
    for each in traffic(rng, slates=slates):
        if isinstance(each, Slate):
            number = int(each.unit.rpartition("-")[2])
            context = {"country": ("de", "fr", "cn")[number % 3], "age": number % 2, "is_new": number % 4 == 0}
            faults = {"rank": rng.choice(["late", "failed"])} if each.fallbacks else {}
            records.append(
                replace(
                    each,
                    latency_ms=round(rng.lognormvariate(1, 0.7), 6),
                    context=context if number % 7 else {},
                    fallbacks=faults,
                )
            )
            if rng.random() < 0.3:
                value = round(rng.lognormvariate(3, 1) - 10, 4)
                name = rng.choice(["purchase", "rating"])
                time = each.time + timedelta(minutes=rng.randrange(-300, 300))
                request = each.request_id if rng.random() < 0.5 else None
                records.append(
                    Custom(
                        event_id=f"custom-{each.request_id}",
                        unit=each.unit,
                        time=time,
                        name=name,
                        value=value,
                        request_id=request,
                    )
                )
        else:
            records.append(each)
    return records


def seen(records: Sequence[object]) -> Iterator[Seen]:
    """Every event with its properties."""
    for each in records:
        match each:
            case Slate():
                properties = {
                    "items": float(len(each.impressions)),
                    "latency_ms": each.latency_ms,
                    "fallback": bool(each.fallbacks),
                    "error": "failed" in each.fallbacks.values(),
                }
                yield Seen("slate", each.unit, each.time, properties)
                for shown in each.impressions:
                    own = {"item": shown.item, "rank": float(shown.rank), "score": shown.score}
                    yield Seen("impression", each.unit, each.time, own)
            case Click():
                yield Seen("click", each.unit, each.time, {"item": each.item})
            case Read():
                own = {"item": each.item, "read_seconds": each.read_seconds, "completion": each.completion}
                yield Seen("read", each.unit, each.time, own)
            case Interaction():
                yield Seen("interaction", each.unit, each.time, {"item": each.item, "action": each.action})
            case Custom():
                yield Seen("custom", each.unit, each.time, {"name": each.name, "value": each.value})


@dataclass
class First:
    at: datetime
    variant: str
    variants: set[str]
    counted: bool
    context: Mapping[str, object]


def first_exposures(records: Sequence[object], phase: int, until: datetime) -> dict[str, First]:
    """The analysed units: counted, in one variant, first exposed before `until`."""
    found: dict[str, First] = {}
    for each in sorted((one for one in records if isinstance(one, Slate)), key=lambda one: one.time):
        for exposed in each.exposures:
            if exposed.phase == phase:
                new = First(each.time, exposed.variant, set(), True, each.context)
                first = found.setdefault(each.unit, new)
                first.variants.add(exposed.variant)
                first.counted &= exposed.counted
    return {
        unit: first for unit, first in found.items() if first.counted and len(first.variants) == 1 and first.at < until
    }


def unit_rows(
    records: Sequence[object], metric: DeclaredMetric, *, phase: int = PHASE, until: datetime = NOW + timedelta(days=1)
) -> dict[str, list[tuple[float, ...]]]:
    """By variant, one row a unit: numerator, and the denominator of a ratio and of retention."""
    rows: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    events = defaultdict(list)
    for each in seen(records):
        events[each.unit].append(each)
    for unit, first in first_exposures(records, phase, until).items():
        own = events[unit]
        above = _total(metric, metric.measure, own, first.at, until)
        if metric.kind is MeasuredKind.RETENTION:
            is_over = first.at + timedelta(hours=metric.window.end_hours or 0) <= until
            rows[first.variant].append((float(above > 0 and is_over), float(is_over)))
        elif metric.kind is MeasuredKind.PROPORTION:
            rows[first.variant].append((float(above > 0),))
        elif metric.denominator is not None:
            rows[first.variant].append((above, _total(metric, metric.denominator, own, first.at, until)))
        else:
            rows[first.variant].append((above,))
    return dict(rows)


def values(
    records: Sequence[object], metric: DeclaredMetric, *, phase: int = PHASE, until: datetime = NOW + timedelta(days=1)
) -> dict[str, tuple[list[float], list[str]]]:
    """By variant, the values of the events that count, and their units."""
    found: dict[str, tuple[list[float], list[str]]] = defaultdict(lambda: ([], []))
    first = first_exposures(records, phase, until)
    for each in seen(records):
        if each.unit in first and _counts(metric, metric.measure, each, first[each.unit].at, until):
            found[first[each.unit].variant][0].append(float(str(each.properties[metric.measure.property or ""])))
            found[first[each.unit].variant][1].append(each.unit)
    return dict(found)


def _total(metric: DeclaredMetric, measure: Measure, events: Sequence[Seen], at: datetime, until: datetime) -> float:
    if measure.event == "exposure":
        return float(metric.window.start_hours == 0)
    counted = [each for each in events if _counts(metric, measure, each, at, until)]
    if measure.property is None:
        return float(len(counted))
    return float(sum(float(str(each.properties[measure.property])) for each in counted))


def _counts(metric: DeclaredMetric, measure: Measure, event: Seen, at: datetime, until: datetime) -> bool:
    if event.kind != measure.event or not holds(condition_of(measure), event.properties):  # type: ignore[arg-type]
        return False
    if measure.property is not None and event.properties[measure.property] is None:
        return False
    start, end = metric.window.start_hours, metric.window.end_hours
    since = at + timedelta(hours=start)
    return since <= event.time < until and (end is None or event.time < at + timedelta(hours=end))
