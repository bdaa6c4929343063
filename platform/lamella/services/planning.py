"""How many units and days an experiment needs, and what it can find; as a document with every number it rests on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

import numpy as np

from lamella.errors import InvalidInput
from lamella.experiments.model import Json
from lamella.metrics.definitions import Metric, MetricUnit, find_metric
from lamella.services.measure_ports import DENOMINATOR, NUMERATOR
from lamella.services.tabulating import finite
from lamella.stats.moments import Moments
from lamella.stats.power import (
    Baseline,
    Design,
    adjusted_baseline,
    baseline,
    days_needed,
    detectable_lift,
    power_at,
    units_needed,
)
from lamella.stats.sequential import Spending, inflation
from lamella.stats.undefined import Undefined

_OUTLOOK_DAYS: Final = (7, 14, 21, 28, 42, 56)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """What is asked: a `lift` to find, or `units` or `days` to do it with.

    `treatments` share one control; `allocation` is units of a treatment per unit of control. `looks` 1 is a fixed
    horizon. `cumulative_units` counts different units at the end of each day of measured traffic.
    """

    lift: float | None = None
    units: int | None = None
    days: int | None = None
    alpha: float = 0.05
    power: float = 0.8
    treatments: int = 1
    allocation: float = 1.0
    looks: int = 5
    spending: Spending = Spending.OBRIEN_FLEMING
    cumulative_units: tuple[int, ...] = ()

    @property
    def design(self) -> Design:
        """The comparison of one treatment with control, its alpha shared by all, the looks paid for."""
        plain = Design(alpha=self.alpha, power=self.power, allocation=self.allocation, comparisons=self.treatments)
        own = plain.alpha / plain.comparisons
        price = inflation(self.looks, alpha=own, power=self.power, spending=self.spending) if self.looks > 1 else 1.0
        return replace(plain, inflation=price)

    @property
    def pairs(self) -> float:
        """All units per unit of one treatment and control together."""
        return (1.0 + self.treatments * self.allocation) / (1.0 + self.allocation)


def sizing_document(known: Baseline, asked: Sizing, *, raw: Baseline | None = None) -> dict[str, Json]:
    """The answer: units and days for a lift, or the detectable lift and power for units or days.

    What has no answer is null, with the code under `undefined`. `raw` is the baseline before CUPED, shown beside.
    Raises InvalidInput for a question without anything given, or with numbers out of range.
    """
    _check(asked)
    design = asked.design
    found: dict[str, Json] = {
        "baseline": _baseline_document(known),
        "raw_baseline": None if raw is None else _baseline_document(raw),
        "design": {
            "alpha": asked.alpha,
            "power": asked.power,
            "treatments": asked.treatments,
            "allocation": asked.allocation,
            "looks": asked.looks,
            "spending": asked.spending.value if asked.looks > 1 else None,
            "inflation": design.inflation,
            "alpha_per_comparison": asked.alpha / asked.treatments,
        },
        "undefined": None,
    }
    if asked.lift is not None:
        found |= _for_lift(known, asked, design, asked.lift)
    units = _units(asked)
    if units is not None:
        found |= _for_units(known, asked, design, units)
    if asked.cumulative_units:
        found["outlook"] = [
            {"days": days, **_for_units(known, asked, design, units_after(asked.cumulative_units, days))}
            for days in _OUTLOOK_DAYS
        ]
    return found


def units_after(cumulative_units: Sequence[int], days: int) -> int:
    """The different units after so many days; beyond what was measured the last day's growth is continued.

    >>> units_after([300, 500, 600], 5)
    800
    """
    if days <= len(cumulative_units):
        return cumulative_units[days - 1]
    before = cumulative_units[-2] if len(cumulative_units) > 1 else 0
    return cumulative_units[-1] + (days - len(cumulative_units)) * max(cumulative_units[-1] - before, 0)


def measured_baseline(
    arm: Moments, metric: Metric, *, with_covariates: bool
) -> tuple[Baseline | Undefined, Baseline | Undefined | None]:
    """The metric's baseline in an arm, and that which CUPED leaves where there are covariates, else None."""
    wanted: dict[str, Mapping[str, float]] = {"above": dict.fromkeys(metric.numerator, 1.0)}
    below = None if metric.denominator is None else "below"
    if metric.denominator is not None:
        wanted["below"] = {metric.denominator: 1.0}
    before = metric.covariates or (*metric.covariate_columns, "has_pre")
    if with_covariates:
        wanted |= {name: {name: 1.0} for name in before}
    own = arm.project(wanted)
    adjusted = adjusted_baseline(own, "above", before, denominator=below) if with_covariates else None
    return baseline(own, "above", below), adjusted


def reported_baseline(report: Mapping[str, Json], key: str) -> tuple[Baseline, Baseline | None]:
    """The baseline of a metric in the control arm of a report, and that before CUPED where the report has covariates.

    `key` is a built-in metric, or a declared one that the report holds.

    Raises InvalidInput where the report does not hold the metric, or too little to tell.
    """
    inputs = report.get("inputs")
    declared = inputs.get("metrics") if isinstance(inputs, Mapping) else None
    own = declared.get(key) if isinstance(declared, Mapping) else None
    arm = _control_moments(report, inputs if own is None else own)
    metric = find_metric(key) if own is None else _declared_metric(key, arm)
    unknown = [each for each in metric.columns if each not in arm.columns]
    if unknown:
        raise InvalidInput(f"the report does not hold {', '.join(unknown)}, which {key} needs")
    has_past = all(each in arm.columns for each in (*metric.covariate_columns, "has_pre"))
    raw, adjusted = measured_baseline(arm, metric, with_covariates=has_past)
    if isinstance(raw, Undefined):
        raise InvalidInput(f"metric {key!r} has no baseline yet ({raw.reason}): {raw.detail}")
    return (adjusted, raw) if isinstance(adjusted, Baseline) else (raw, None)


def _declared_metric(key: str, arm: Moments) -> Metric:
    """The metric over the columns that a report holds of a declared one."""
    is_ratio = DENOMINATOR in arm.columns
    return Metric(
        key=key,
        label=key,
        label_zh=key,
        numerator=(NUMERATOR,),
        denominator=DENOMINATOR if is_ratio else None,
        unit=MetricUnit.COUNT,
    )


def _control_moments(report: Mapping[str, Json], inputs: Json) -> Moments:
    """The moments of the control arm, out of the report's inputs or those of one declared metric."""
    variants = report.get("variants")
    rows = [each for each in variants if isinstance(each, Mapping)] if isinstance(variants, Sequence) else []
    control = next((each.get("variant") for each in rows if each.get("is_control")), None)
    try:
        arm: Any = inputs["arms"][control]  # type: ignore[index, call-overload]
        columns: Any = inputs["columns"]  # type: ignore[index, call-overload]
        none = float("nan")
        mean = [none if each is None else float(each) for each in arm["mean"]]
        cross = [[none if each is None else float(each) for each in row] for row in arm["cross"]]
        return Moments(tuple(columns), int(arm["n"]), np.array(mean), np.array(cross).reshape(len(mean), len(mean)))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput("the report holds no moments of its control arm") from error


def traffic_by_day(started_at: datetime, reports: Sequence[Mapping[str, Json]]) -> tuple[int, ...]:
    """The different units at the end of each whole day since the start, from reports of one phase, oldest first.

    A day without a report has what a straight line between its neighbours says.
    """
    known = [(0.0, 0.0)]
    for report in reports:
        as_of, variants = report.get("as_of"), report.get("variants")
        if isinstance(as_of, str) and isinstance(variants, Sequence):
            days = (datetime.fromisoformat(as_of) - started_at).total_seconds() / 86_400
            counts = [each.get("units") for each in variants if isinstance(each, Mapping)]
            known.append((days, float(sum(each for each in counts if isinstance(each, int)))))
    last = known[-1][0]
    if last <= 0.0:
        return ()
    whole = max(1, math.floor(last + 1e-9))
    if last < 1.0:
        return (round(known[-1][1] / last),)
    return tuple(round(_between(known, float(day))) for day in range(1, whole + 1))


def _between(known: Sequence[tuple[float, float]], day: float) -> float:
    for (one, low), (other, high) in pairwise(known):
        if one <= day <= other:
            return low if other <= one else low + (high - low) * (day - one) / (other - one)
    return known[-1][1]


def _check(asked: Sizing) -> None:
    faults = []
    if asked.lift is None and asked.units is None and asked.days is None:
        faults.append("give a --lift to find, or --units or --days to find it with")
    if asked.lift == 0.0:
        faults.append("the lift is 0; no number of units finds that")
    if asked.days is not None and not asked.cumulative_units:
        faults.append("--days needs the traffic: --traffic UNITS_A_DAY, or an experiment of the store")
    if asked.looks < 1 or asked.treatments < 1:
        faults.append("looks and treatments are at least 1")
    faults += [
        f"{name} is {value:g}; it must lie between 0 and 1"
        for name, value in (("alpha", asked.alpha), ("power", asked.power))
        if not 0.0 < value < 1.0
    ]
    if faults:
        raise InvalidInput(*faults)


def _units(asked: Sizing) -> int | None:
    if asked.units is not None:
        return asked.units
    return None if asked.days is None else units_after(asked.cumulative_units, asked.days)


def _for_lift(known: Baseline, asked: Sizing, design: Design, lift: float) -> dict[str, Json]:
    pair = units_needed(known, lift, design)
    if isinstance(pair, Undefined):
        return {"lift": lift, "units": None, "units_control": None, "days_needed": None, "undefined": pair.reason.value}
    control = math.ceil(pair / (1.0 + asked.allocation))
    treatment = math.ceil(pair * asked.allocation / (1.0 + asked.allocation))
    units = control + asked.treatments * treatment
    days = days_needed(units, asked.cumulative_units) if asked.cumulative_units else None
    return {
        "lift": lift,
        "units": units,
        "units_control": control,
        "units_treatment": treatment,
        "days_needed": None if isinstance(days, Undefined) else days,
        "undefined": days.reason.value if isinstance(days, Undefined) else None,
    }


def _for_units(known: Baseline, asked: Sizing, design: Design, units: int) -> dict[str, Json]:
    pair = math.floor(units / asked.pairs)
    least = detectable_lift(known, pair, design)
    if isinstance(least, Undefined):
        return {"given_units": units, "detectable_lift": None, "power_at_lift": None, "undefined": least.reason.value}
    chance = None if asked.lift is None else power_at(known, pair, asked.lift, design)
    return {
        "given_units": units,
        "detectable_lift": finite(least),
        "power_at_lift": None if isinstance(chance, Undefined) else finite(chance),
    }


def _baseline_document(known: Baseline) -> dict[str, Json]:
    return {"value": known.value, "deviation": known.deviation}
