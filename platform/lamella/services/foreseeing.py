"""Whether an experiment can find what its plan asks for, from what the layer's reports measured; plain arithmetic.

The units that a share of the layer brings grow at best in proportion to the days, so "too few" is never said too early.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import NormalDist
from typing import Any, Final

from lamella.experiments.allocation import size
from lamella.experiments.model import BUCKETS, Experiment, Json
from lamella.metrics.definitions import METRICS, Metric

_LOOKS: Final = 1.025
"""What five looks with O'Brien-Fleming boundaries cost in units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What an experiment measured: the metric's value, one unit's variance, and units a day if it held every bucket."""

    value: float
    variance: float
    units_a_day: float


def power_warnings(experiment: Experiment, measured: Iterable[tuple[Experiment, Mapping[str, Json]]]) -> list[str]:
    """A sentence where the plan is under-powered for the traffic that `measured` (experiments with reports) shows.

    Empty where the plan has no end or no known metric, or where nothing usable was measured yet.
    """
    plan, metric = experiment.plan, METRICS.get(experiment.plan.primary_metric)
    found = [] if metric is None else [each for one in measured if (each := traffic_of(*one, metric)) is not None]
    needed = units_needed(experiment, found[0]) if found else None
    if plan.planned_days is None or needed is None:
        return []
    comes = found[0].units_a_day * size(experiment.ranges) / BUCKETS * plan.planned_days
    if comes >= needed:
        return []
    warning = (
        f"under-powered for its plan: a lift of {plan.minimum_effect:g} in {plan.primary_metric} needs about "
        f"{math.ceil(needed)} units, its buckets bring at most {math.floor(comes)} in {plan.planned_days} days; "
        f"plan more days, more buckets or a larger minimum_effect"
    )
    return [warning]


def units_needed(experiment: Experiment, traffic: Traffic) -> float | None:
    """The units of all arms that find the minimum effect in the worst comparison; None where the plan says nothing.

    n = (z_{1-α/2} + z_{power})²·s²·(W/w_a + W/w_b)/δ², with α shared by the comparisons.
    """
    plan = experiment.plan
    control = [one.weight for one in experiment.variants if one.is_control]
    others = [one.weight for one in experiment.variants if not one.is_control and one.weight > 0]
    effect = abs(plan.minimum_effect * traffic.value)
    if len(control) != 1 or not control[0] or not others or not effect:
        return None
    if not (0 < plan.alpha < 1 and 0 < plan.power < 1):
        return None
    normal = NormalDist()
    reach = normal.inv_cdf(1 - plan.alpha / (2 * len(others))) + normal.inv_cdf(plan.power)
    total = control[0] + sum(others)
    spread = total / control[0] + total / min(others)
    looks = _LOOKS if plan.method == "group_sequential" else 1.0
    return (reach / effect) ** 2 * traffic.variance * spread * looks


def traffic_of(experiment: Experiment, report: Mapping[str, Json], metric: Metric) -> Traffic | None:
    """What the report measured of the metric; None where it holds too little to tell."""
    try:
        inputs: Any = report["inputs"]
        described: Any = report["experiment"]
        columns: Sequence[str] = inputs["columns"]
        control = next(one.key for one in experiment.variants if one.is_control)
        arm = inputs["arms"][control]
        days = _days(described["started_at"], str(report["as_of"]))
        units = sum(one["n"] for one in inputs["arms"].values())
        value, variance = _moments(arm, columns, metric)
        share = size(experiment.ranges) / BUCKETS
        return Traffic(value=value, variance=variance, units_a_day=units / days / share)
    except (KeyError, TypeError, ValueError, IndexError, StopIteration, ZeroDivisionError):
        # A report of another time or shape, or without traffic: it tells nothing.
        return None


def _moments(arm: Any, columns: Sequence[str], metric: Metric) -> tuple[float, float]:
    """The metric's value and the variance of one unit's contribution; a ratio is linearised (delta method)."""
    above = [columns.index(each) for each in metric.numerator]
    mean, cross, degrees = arm["mean"], arm["cross"], arm["n"] - 1
    top = sum(mean[i] for i in above)
    spread = sum(cross[i][j] for i in above for j in above) / degrees
    if metric.denominator is None:
        return top, spread
    below = columns.index(metric.denominator)
    ratio = top / mean[below]
    joint = sum(cross[i][below] for i in above) / degrees
    variance = (spread - 2 * ratio * joint + ratio * ratio * cross[below][below] / degrees) / mean[below] ** 2
    return ratio, variance


def _days(started_at: str, as_of: str) -> float:
    seconds = (datetime.fromisoformat(as_of) - datetime.fromisoformat(started_at)).total_seconds()
    return max(seconds / 86_400, 1.0)
