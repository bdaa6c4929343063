"""What earlier reports of a phase say: the looks that are spent, their evidence, the always-valid results so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lamella.experiments.model import Json
from lamella.stats.evidence import Decision, Verdict
from lamella.stats.standard import Earlier

Key = tuple[str, str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A look that was taken: its number in the schedule, the share of information, and what it found.

    `z` is the statistic of the leading treatment's primary metric, `boundary` what it had to reach.
    """

    number: int
    information: float
    at: str
    z: float | None = None
    boundary: float | None = None


def looks_of(report: Mapping[str, Json]) -> tuple[Look, ...]:
    """The looks that a report records; none for a report that has no such part."""
    part = report.get("looks")
    found = []
    for row in _rows(part if isinstance(part, Mapping) else None, "history"):
        number, information = _number(row.get("number")), _number(row.get("information"))
        if number is not None and information is not None:
            z, boundary = _number(row.get("z")), _number(row.get("boundary"))
            at = str(row.get("at"))
            found.append(Look(number=int(number), information=information, at=at, z=z, boundary=boundary))
    return tuple(found)


def evidence_of(report: Mapping[str, Json]) -> Verdict | None:
    """The evidence that the last look found, as a report records it."""
    part = report.get("looks")
    found = part.get("evidence") if isinstance(part, Mapping) else None
    if not isinstance(found, Mapping):
        return None
    variant, numbers = found.get("variant"), found.get("numbers")
    return Verdict(
        decision=Decision(str(found.get("decision"))),
        variant=variant if isinstance(variant, str) else None,
        reason=str(found.get("reason")),
        numbers={key: _number(value) for key, value in numbers.items()} if isinstance(numbers, Mapping) else {},
    )


def _number(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def phase_of(report: Mapping[str, Json]) -> int | None:
    """The phase that a report is about."""
    about = report.get("experiment")
    phase = _number(about.get("phase")) if isinstance(about, Mapping) else None
    return None if phase is None else int(phase)


def taken_before(previous: Sequence[Mapping[str, Json]]) -> int:
    """How many looks the newest report counts."""
    part = previous[-1].get("looks") if previous else None
    taken = _number(part.get("taken")) if isinstance(part, Mapping) else None
    return 0 if taken is None else int(taken)


def earlier_comparisons(previous: Sequence[Mapping[str, Json]]) -> dict[Key, Earlier]:
    """The newest report's comparisons by metric, variant and whether they are adjusted; they hold the smallest p."""
    found: dict[Key, Earlier] = {}
    for metric in _rows(previous[-1] if previous else None, "metrics"):
        for row in _rows(metric, "comparisons"):
            key, adjusted = (str(metric.get("metric")), str(row.get("variant"))), row.get("adjusted")
            for is_adjusted, part in ((False, row), (True, adjusted)):
                earlier = _earlier(part) if isinstance(part, Mapping) else None
                if earlier is not None:
                    found[*key, is_adjusted] = earlier
    return found


def _earlier(row: Mapping[str, Json]) -> Earlier | None:
    p, level = _number(row.get("p")), _number(row.get("level"))
    if p is None or level is None:
        return None
    return Earlier(p=p, level=level, difference=_bounds(row.get("difference_ci")), lift=_bounds(row.get("ci")))


def _bounds(value: Json) -> tuple[float | None, float | None]:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        return _number(value[0]), _number(value[1])
    return None, None


def _rows(document: Mapping[str, Json] | None, name: str) -> list[Mapping[str, Json]]:
    rows = None if document is None else document.get(name)
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        return []
    return [row for row in rows if isinstance(row, Mapping)]
