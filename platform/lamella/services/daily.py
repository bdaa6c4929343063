"""Metrics by day, cumulated, and by days since first exposure, which tell a novelty effect from a lasting one."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

import numpy as np

from lamella.experiments.model import Json
from lamella.metrics.definitions import Metric
from lamella.services.figures import corrected, metric_figures, numbers, ratio_figures
from lamella.services.measure_ports import Days
from lamella.stats.moments import Moments
from lamella.stats.multiplicity import Correction, adjusted_p

_DAY = timedelta(days=1)


def series_document(
    days: Days, metrics: Sequence[Metric], arms: Sequence[str], control: str, weights: Mapping[str, int]
) -> dict[str, Json]:
    """The series of every metric, and the sample ratio of each day's new units.

    `daily` is over all units exposed by the end of the day, those that stayed away included, `cumulative` over the same
    for all that they had done by then. `since_exposure` counts days from a unit's first (0), over the units whose day
    of that number lies in the record.
    """
    listed = sorted({day for _, day in days.entered} | {each.day for each in days.daily})
    daily = _daily(days, arms, listed)
    cumulative = _cumulative(days, arms, listed)
    since = _since_exposure(days, arms, listed)
    return {
        "metrics": [
            {
                "metric": metric.key,
                "daily": [
                    {"day": day.isoformat(), **metric_figures(metric, moments, control)} for day, moments in daily
                ],
                "cumulative": [
                    {"day": day.isoformat(), **metric_figures(metric, moments, control)} for day, moments in cumulative
                ],
                "since_exposure": [{"days": age, **metric_figures(metric, moments, control)} for age, moments in since],
            }
            for metric in metrics
        ],
        "sample_ratio": list(_sample_ratio(days, arms, listed, weights)),
    }


def _daily(days: Days, arms: Sequence[str], listed: Sequence[date]) -> list[tuple[date, dict[str, Moments]]]:
    active: defaultdict[tuple[str, date], list[Moments]] = defaultdict(list)
    for each in days.daily:
        active[each.variant, each.day].append(each.moments)
    entered = {
        (variant, day): sum(n for (of, first), n in days.entered.items() if of == variant and first <= day)
        for variant in arms
        for day in listed
    }
    return [
        (day, {variant: _with_rest(active[variant, day], entered[variant, day], days) for variant in arms})
        for day in listed
    ]


def _since_exposure(days: Days, arms: Sequence[str], listed: Sequence[date]) -> list[tuple[int, dict[str, Moments]]]:
    if not listed:
        return []
    last, oldest = listed[-1], min((first for _, first in days.entered), default=listed[-1])
    active: defaultdict[tuple[str, int], list[Moments]] = defaultdict(list)
    for each in days.daily:
        active[each.variant, (each.day - each.first_day).days].append(each.moments)
    found = []
    for age in range((last - oldest).days + 1):
        limit = last - age * _DAY
        reached = {
            variant: sum(n for (of, first), n in days.entered.items() if of == variant and first <= limit)
            for variant in arms
        }
        found.append((age, {variant: _with_rest(active[variant, age], reached[variant], days) for variant in arms}))
    return found


def _cumulative(days: Days, arms: Sequence[str], listed: Sequence[date]) -> list[tuple[date, dict[str, Moments]]]:
    at = {(each.variant, each.day): each.moments for each in days.cumulative}
    now = {variant: _empty(days) for variant in arms}
    found = []
    for day in listed:
        now = {variant: at.get((variant, day), held) for variant, held in now.items()}
        found.append((day, dict(now)))
    return found


def _with_rest(active: Iterable[Moments], units: int, days: Days) -> Moments:
    """The moments of all `units`, of which those not in `active` did nothing."""
    total = _empty(days)
    for each in active:
        total = total + each
    k = len(total.columns)
    rest = Moments(total.columns, max(units - total.n, 0), np.zeros(k), np.zeros((k, k)))
    return total + rest


def _empty(days: Days) -> Moments:
    return Moments.empty(days.daily[0].moments.columns if days.daily else ())


def _sample_ratio(
    days: Days, arms: Sequence[str], listed: Sequence[date], weights: Mapping[str, int]
) -> list[dict[str, Json]]:
    """Each day's new units against the weights, corrected for the number of days by Holm."""
    rows = [
        {"day": day.isoformat(), **ratio_figures({each: days.entered.get((each, day), 0) for each in arms}, weights)}
        for day in listed
    ]
    corrected(rows, adjusted_p(numbers(rows), Correction.HOLM) if numbers(rows) else ())
    return rows
