"""What is wrong with an analysis plan."""

import math
from collections import Counter
from collections.abc import Collection
from typing import Final

from lamella.experiments.model import AnalysisPlan
from lamella.experiments.selection import near

METHODS: Final = ("group_sequential", "always_valid", "fixed_horizon")
CORRECTIONS: Final = ("holm", "hochberg", "bonferroni", "bh", "by", "none")
ON_VERDICT: Final = ("recommend", "stop", "promote")
LONGEST_DAYS: Final = 730
MOST_LOOKS: Final = 100


def plan_faults(plan: AnalysisPlan, metrics: Collection[str]) -> list[str]:
    """A sentence for each thing that is wrong with `plan`; `metrics` are the keys of the known metrics."""
    return [*_metric_faults(plan, metrics), *_number_faults(plan), *_day_faults(plan)]


def _metric_faults(plan: AnalysisPlan, metrics: Collection[str]) -> list[str]:
    faults: list[str] = []
    if not plan.primary_metric:
        faults.append(f"the plan has no primary metric; choose one of {', '.join(sorted(metrics))}")
    named = [plan.primary_metric, *(one.metric for one in plan.guardrails), *plan.secondary_metrics]
    unknown = [metric for metric in dict.fromkeys(named) if metric and metric not in metrics]
    faults += [f"the plan names an unknown metric {metric!r}; {near(metric, list(metrics))}" for metric in unknown]
    unknown = [metric for metric in plan.covariate_metrics if metric not in metrics]
    faults += [f"covariate_metrics names no metric {metric!r}; {near(metric, list(metrics))}" for metric in unknown]
    if plan.covariate_metrics and not plan.covariate_days:
        faults.append("covariate_metrics need covariate_days above 0; set how many days of the past count")
    twice = [metric for metric, times in Counter(named).items() if metric and times > 1]
    faults += [f"the plan names metric {metric!r} more than once; give it one role" for metric in twice]
    faults += [
        f"guardrail {one.metric!r} has margin {one.margin}; it must be a share above 0 and up to 1 (0.02 is 2 %)"
        for one in plan.guardrails
        if not 0 < one.margin <= 1
    ]
    return faults


def _number_faults(plan: AnalysisPlan) -> list[str]:
    faults: list[str] = []
    if plan.method not in METHODS:
        faults.append(f"the plan's method {plan.method!r} is none; it must be one of {', '.join(METHODS)}")
    if plan.correction not in CORRECTIONS:
        faults.append(f"the plan's correction {plan.correction!r} is none; it must be one of {', '.join(CORRECTIONS)}")
    if plan.on_verdict not in ON_VERDICT:
        faults.append(f"the plan's on_verdict {plan.on_verdict!r} is none; it must be one of {', '.join(ON_VERDICT)}")
    if not 0 < plan.alpha <= 0.5:
        faults.append(f"the plan's alpha is {plan.alpha}; it must be above 0 and up to 0.5 (0.05 is usual)")
    if not 0.5 <= plan.power < 1:
        faults.append(f"the plan's power is {plan.power}; it must be from 0.5 to below 1 (0.8 is usual)")
    if not (plan.minimum_effect > 0 and math.isfinite(plan.minimum_effect)):
        faults.append(f"the plan's minimum_effect is {plan.minimum_effect}; it must be above 0 (0.02 is a lift of 2 %)")
    if not 1 <= plan.looks <= MOST_LOOKS:
        faults.append(f"the plan takes {plan.looks} looks; it must be 1 to {MOST_LOOKS}")
    return faults


def _day_faults(plan: AnalysisPlan) -> list[str]:
    faults: list[str] = []
    if plan.planned_days is None:
        if plan.method == "group_sequential":
            faults.append("a group_sequential plan needs planned_days; set them, or choose always_valid")
    elif not 1 <= plan.planned_days <= LONGEST_DAYS:
        faults.append(f"the plan takes {plan.planned_days} days; it must be 1 to {LONGEST_DAYS}")
    elif plan.minimum_days > plan.planned_days:
        faults.append(f"minimum_days {plan.minimum_days} is more than planned_days {plan.planned_days}; lower it")
    if not 0 <= plan.minimum_days <= LONGEST_DAYS:
        faults.append(f"the plan's minimum_days is {plan.minimum_days}; it must be 0 to {LONGEST_DAYS}")
    if not 0 <= plan.covariate_days <= LONGEST_DAYS:
        faults.append(f"the plan's covariate_days is {plan.covariate_days}; it must be 0 to {LONGEST_DAYS}")
    return faults
