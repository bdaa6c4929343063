"""A phase over its looks: every metric and comparison as points in time, oldest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from lamella.reporting.document import Document, read_report
from lamella.reporting.view import Arm, Comparison, Metric, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One analysis of one metric: when, how many days into the phase, and what it found, by variant."""

    at: datetime
    days: float
    arms: dict[str, Arm]
    comparisons: dict[str, Comparison]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A metric's looks, oldest first, with the metric as the newest report describes it."""

    metric: Metric
    looks: tuple[Look, ...]


def timeline(report: Report, history: Sequence[Document]) -> tuple[Report, ...]:
    """The reports of the phase up to and including `report`, oldest first, one for each moment.

    Documents of other experiments, of other phases and of later moments are left out.
    """
    by_moment = {
        earlier.as_of: earlier
        for earlier in map(read_report, history)
        if (earlier.key, earlier.phase) == (report.key, report.phase) and earlier.as_of <= report.as_of
    }
    by_moment[report.as_of] = report
    return tuple(by_moment[moment] for moment in sorted(by_moment))


def courses(reports: Sequence[Report]) -> tuple[Course, ...]:
    """The course of each metric of the newest report; looks that did not have the metric are left out."""
    return tuple(
        Course(
            metric=metric,
            looks=tuple(
                Look(
                    at=report.as_of,
                    days=report.days,
                    arms={arm.variant: arm for arm in earlier.arms},
                    comparisons={one.variant: one for one in earlier.comparisons},
                )
                for report in reports
                for earlier in report.metrics
                if earlier.key == metric.key
            ),
        )
        for metric in reports[-1].metrics
    )
