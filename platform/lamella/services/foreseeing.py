"""Whether an experiment can find what its plan asks for, from the traffic that the store measured.

The newest report of the layer's experiments says what comes, and so does the record of the last weeks: a plan is short
of traffic where both say so. What comes is taken to grow in proportion to the days, which is the most that steady
traffic can, so "too few" is never said too early.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Any, Final

from lamella.experiments.allocation import size
from lamella.experiments.model import BUCKETS, Configuration, Experiment, Json, UnitKind
from lamella.metrics.definitions import METRICS, Metric
from lamella.services.ports import AnalysisStore, Clock
from lamella.stats.moments import Moments

RECENT: Final = timedelta(days=28)
"""How far back the record is read where no report tells."""

_GROWTH: Final = 100.0
"""How much more may come than what less than a day showed: it may be a try before the launch, or the night."""

_UNKNOWN: Final = "no traffic was measured yet that says whether the plan has enough of it; see the first reports"
_LOOKS: Final = 1.025
"""What five looks with O'Brien-Fleming boundaries cost in units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What was measured: the metric's value, one unit's variance, and the units of `days` over every bucket."""

    value: float
    variance: float
    units: float
    days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What the measured traffic says against a start: `faults` refuse it, `warnings` only tell."""

    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Foreseeing:
    """Forecasts from the reports and the record of the store."""

    def __init__(self, analysis: AnalysisStore, clock: Clock) -> None:
        self._analysis, self._clock = analysis, clock

    def forecast(self, now: Configuration, experiment: Experiment) -> Forecast:
        """A fault where the plan is under-powered; a warning where that was accepted, or nothing was measured yet."""
        metric = METRICS.get(experiment.plan.primary_metric)
        if experiment.plan.planned_days is None or metric is None:
            return Forecast()
        measured = [each for each in self._measured(now, experiment, metric) if each is not None]
        if not measured:
            return Forecast(warnings=(_UNKNOWN,))
        said = [power_faults(experiment, each) for each in measured]
        found = tuple(said[0]) if all(said) else ()
        return Forecast(warnings=found) if experiment.accept_underpowered else Forecast(faults=found)

    def _measured(self, now: Configuration, experiment: Experiment, metric: Metric) -> Iterator[Traffic | None]:
        """What the layer's experiments and the whole record say; the record is one of users."""
        peers = (each for each in reversed(now.experiments) if _is_like(each, experiment))
        reports = ((each, self._analysis.latest_report(each.key) or {}) for each in peers)
        yield next((found for each in reports if (found := traffic_of(*each, metric)) is not None), None)
        if any(one.unit is UnitKind.USER for one in now.layers if one.key == experiment.layer):
            yield self._recorded(metric)

    def _recorded(self, metric: Metric) -> Traffic | None:
        at = self._clock.now()
        found = self._analysis.recent_totals(metric.columns, since=at - RECENT)
        return None if found is None else traffic_recorded(found.moments, metric, found.began_at, at)


def _is_like(peer: Experiment, experiment: Experiment) -> bool:
    """Whether the peer's traffic says what comes: it let in everybody, or the same units, at one share of the layer."""
    lets_in = peer.rule in (None, experiment.rule) and peer.requires in ((), experiment.requires)
    return peer.layer == experiment.layer and bool(peer.phases) and lets_in and peer.ramped_at is None


def power_faults(experiment: Experiment, traffic: Traffic) -> list[str]:
    """A sentence where the plan is under-powered for the traffic; empty where the plan has no end or says nothing."""
    plan = experiment.plan
    needed = units_needed(experiment, traffic)
    if plan.planned_days is None or needed is None:
        return []
    steps = experiment.ramp.steps if experiment.ramp is not None else ()
    share = max([size(experiment.ranges) / BUCKETS, *(step.share for step in steps)])
    growth = 1.0 if traffic.days >= 1.0 else _GROWTH
    comes = traffic.units * share * growth * max(1.0, plan.planned_days / traffic.days)
    if comes >= needed:
        return []
    fault = (
        f"under-powered for its plan: a lift of {plan.minimum_effect:g} in {plan.primary_metric} needs about "
        f"{math.ceil(needed)} units, its buckets bring at most {math.floor(comes)} in {plan.planned_days} days; "
        f"plan more days, more buckets or a larger minimum_effect, or start it with accept_underpowered"
    )
    return [fault]


def units_needed(experiment: Experiment, traffic: Traffic) -> float | None:
    """The units of all arms that find the minimum effect in the worst comparison; None where the plan says nothing.

    n = (z_{1-α/2} + z_{power})²·s²·(W/w_a + W/w_b)/δ², with α shared by the comparisons.
    """
    plan = experiment.plan
    control = [one.weight for one in experiment.variants if one.is_control]
    others = [one.weight for one in experiment.variants if not one.is_control and one.weight > 0]
    effect = abs(plan.minimum_effect * traffic.value)
    if len(control) != 1 or control[0] <= 0 or not others or not effect or not math.isfinite(effect):
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
        days = _days(datetime.fromisoformat(described["started_at"]), datetime.fromisoformat(str(report["as_of"])))
        units = sum(one["n"] for one in inputs["arms"].values())
        value, variance = _moments(arm, columns, metric)
        share = size(experiment.ranges) / BUCKETS
        return Traffic(value=value, variance=variance, units=units / share, days=days)
    except (KeyError, TypeError, ValueError, IndexError, StopIteration, ZeroDivisionError):
        # A report of another time or shape, or without traffic: it tells nothing.
        return None


def traffic_recorded(moments: Moments, metric: Metric, began_at: datetime, at: datetime) -> Traffic | None:
    """What the record of all units measured of the metric since `began_at`; None where it holds too little to tell."""
    arm = {"n": moments.n, "mean": moments.mean.tolist(), "cross": moments.cross.tolist()}
    try:
        value, variance = _moments(arm, moments.columns, metric)
    except ZeroDivisionError:
        return None
    return Traffic(value=value, variance=variance, units=moments.n, days=_days(began_at, at))


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


def _days(since: datetime, until: datetime) -> float:
    """At least a second, so that the first moments promise much rather than too little."""
    return max((until - since).total_seconds(), 1.0) / 86_400
