"""Per-unit totals and reports in memory, over a MemoryRecord.

It recomputes everything from the facts at every question, so it is slow and easy to trust: the SQL store, which keeps
running totals, is held against it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lamella.errors import InvalidInput
from lamella.events.contract import Click, Event, Exposure, Feedback, Interaction, Read, Slate
from lamella.experiments.model import Json
from lamella.services.ports import ArmTotals
from lamella.services.record_ports import RecordCounts
from lamella.services.traffic_ports import RecentTotals
from lamella.stats.moments import Moments
from lamella.testing.record import Fact, FirstExposure, MemoryRecord

TOTALS: Final = (
    "slates",
    "fallback_slates",
    "impressions",
    "clicks",
    "reads",
    "read_seconds",
    "completion",
    "completion_reads",
    "comments",
    "shares",
    "interactions",
)
"""The per-unit totals; `clicked` is derived from them."""


class MemoryAnalysisStore:
    """An AnalysisStore over a MemoryRecord."""

    def __init__(self, record: MemoryRecord) -> None:
        self._record = record
        self._reports: list[tuple[str, int, Mapping[str, Json]]] = []

    def arm_totals(
        self,
        phase: int,
        columns: Sequence[str],
        *,
        until: datetime | None = None,
        covariate_since: datetime | None = None,
    ) -> Sequence[ArmTotals]:
        """The arms of a phase, by variant. Raises InvalidInput for an unknown column."""
        _check_columns(columns)
        facts = [fact for fact in self._record.facts if until is None or fact.record.time < until]
        exposed = {
            unit: first
            for unit, first in self._record.exposed(phase).items()
            if first.counted and unit not in self._record.flags and (until is None or first.first_at < until)
        }
        by_unit: dict[str, list[Fact]] = {unit: [] for unit in exposed}
        for fact in facts:
            if fact.slate.unit in by_unit:
                by_unit[fact.slate.unit].append(fact)
        return [
            _arm(_Question(phase, columns, covariate_since), variant, exposed, by_unit)
            for variant in sorted({first.variant for first in exposed.values()})
        ]

    def recent_totals(self, columns: Sequence[str], *, since: datetime) -> RecentTotals | None:
        """The totals of all units from the day of `since` on; None where nothing was served then."""
        _check_columns(columns)
        facts = [fact for fact in self._record.facts if fact.day >= since.date()]
        served = [fact.record.time for fact in facts if fact.record is fact.slate]
        if not served:
            return None
        by_unit: dict[str, list[Fact]] = {}
        for fact in facts:
            by_unit.setdefault(fact.slate.unit, []).append(fact)
        rows = [[_value(column, of, ()) for column in columns] for of in by_unit.values()]
        return RecentTotals(moments=Moments.from_rows(columns, rows), began_at=min(served))

    def record_counts(self, phase: int) -> RecordCounts:
        """What came late, was refused, or is left out of the analysis of a phase."""
        exposed, slates = (
            self._record.exposed(phase),
            {fact.slate.request_id: fact.slate for fact in self._record.facts},
        )
        flags = Counter(flag.reason for unit, flag in self._record.flags.items() if unit in exposed)
        return RecordCounts(
            late=sum(_is_of(phase, record, slates) for record in self._record.late),
            quarantined=sum(unit in exposed for unit in self._record.refused),
            flagged=dict(flags),
        )

    def save_report(self, experiment: str, phase: int, as_of: datetime, document: Mapping[str, Json]) -> int:  # noqa: ARG002 - the port has it
        """Keeps the report; returns its number within the phase."""
        self._reports.append((experiment, phase, document))
        return len(self.reports(experiment, phase))

    def latest_report(self, experiment: str) -> Mapping[str, Json] | None:
        """The newest report, or None."""
        return next((document for of, _, document in reversed(self._reports) if of == experiment), None)

    def reports(self, experiment: str, phase: int) -> Sequence[Mapping[str, Json]]:
        """Every report of the phase, oldest first."""
        return [document for of, number, document in self._reports if (of, number) == (experiment, phase)]


@dataclass(frozen=True, slots=True)
class _Question:
    phase: int
    columns: Sequence[str]
    covariate_since: datetime | None


def _arm(
    asked: _Question, variant: str, exposed: Mapping[str, FirstExposure], by_unit: Mapping[str, Sequence[Fact]]
) -> ArmTotals:
    rows = []
    slates = fallback_slates = crossed = 0
    for unit, first in exposed.items():
        if first.variant != variant:
            continue
        during = [fact for fact in by_unit[unit] if _served(fact, asked.phase, variant)]
        shown = [fact.slate for fact in during if fact.record is fact.slate]
        slates += len(shown)
        fallback_slates += sum(bool(slate.fallbacks) for slate in shown)
        crossed += first.crossed
        if not first.crossed:
            before = [fact for fact in by_unit[unit] if _precedes(fact, first, asked.covariate_since)]
            rows.append([_value(column, during, before) for column in asked.columns])
    return ArmTotals(
        variant=variant,
        moments=Moments.from_rows(asked.columns, rows),
        crossed=crossed,
        slates=slates,
        fallback_slates=fallback_slates,
    )


def _is_of(phase: int, record: Slate | Event | Exposure, slates: Mapping[str, Slate]) -> bool:
    if isinstance(record, Exposure):
        return record.exposed.phase == phase
    slate = record if isinstance(record, Slate) else slates[record.request_id or ""]
    return any(each.phase == phase for each in slate.exposures)


def _served(fact: Fact, phase: int, variant: str) -> bool:
    return any(each.phase == phase and each.variant == variant and each.counted for each in fact.slate.exposures)


def _precedes(fact: Fact, first: FirstExposure, since: datetime | None) -> bool:
    """Whole days only: the day of the first exposure belongs to neither side."""
    return fact.day < first.first_at.date() and (since is None or fact.day >= since.date())


def _value(column: str, during: Sequence[Fact], before: Sequence[Fact]) -> float:
    if column == "has_pre":
        return float(bool(before))
    if column.startswith("pre_"):
        return _total(column.removeprefix("pre_"), before)
    return _total(column, during)


def _total(column: str, facts: Iterable[Fact]) -> float:
    if column == "clicked":
        return float(any(isinstance(fact.record, Click) for fact in facts))
    return float(sum(_share(column, fact.record) for fact in facts))


def _share(column: str, record: Slate | Feedback) -> float:
    match record:
        case Slate():
            return {
                "slates": 1,
                "fallback_slates": int(bool(record.fallbacks)),
                "impressions": len(record.impressions),
            }.get(column, 0)
        case Click():
            return float(column == "clicks")
        case Read():
            measured = record.completion is not None
            values = {"reads": 1.0, "read_seconds": record.read_seconds, "completion_reads": float(measured)}
            return {**values, "completion": record.completion or 0.0}.get(column, 0.0)
        case Interaction():
            names = {"interactions", {"comment": "comments", "share": "shares"}.get(record.action, "")}
            return float(column in names)


def _check_columns(columns: Sequence[str]) -> None:
    known = {*TOTALS, "clicked"}
    unknown = [each for each in columns if each != "has_pre" and each.removeprefix("pre_") not in known]
    if unknown:
        raise InvalidInput(f"no columns {', '.join(unknown)}; there are {', '.join(sorted(known))}, pre_ each, has_pre")
