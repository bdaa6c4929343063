"""Ramps: when an experiment may take more traffic, and how much. A ramp only adds buckets."""

import math
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from lamella.experiments.allocation import size
from lamella.experiments.model import BUCKETS, Experiment, Ramp, Status

MOST_STEPS: Final = 50
LONGEST_HOLD_HOURS: Final = 24 * 730


def next_step(experiment: Experiment, at: datetime, *, is_safe: bool | None) -> float | None:
    """The share that the experiment may go to at `at`, or None where it stays.

    `is_safe` says what the newest report since the last step found; None where there is none. A gated ramp takes its
    first step without one and every other one only after a report that found no harm. A step is due once the one
    before was held for its hours, counted from when it was taken; the first is due at once.
    """
    ramp = experiment.ramp
    if ramp is None or experiment.status is not Status.RUNNING:
        return None
    held = size(experiment.ranges)
    coming = next((one for one in ramp.steps if round(one.share * BUCKETS) > held), None)
    if coming is None:
        return None
    reached = [one for one in ramp.steps if round(one.share * BUCKETS) <= held]
    if not reached:
        return coming.share
    is_due = since(experiment) + timedelta(hours=reached[-1].hold_hours) <= at
    return coming.share if is_due and (is_safe is True or not ramp.is_gated) else None


def since(experiment: Experiment) -> datetime:
    """When the present step began: when the ramp took it, or the phase began. The experiment has a phase."""
    started = experiment.phases[-1].started_at
    return started if experiment.ramped_at is None else max(started, experiment.ramped_at)


def ramp_faults(experiment: Experiment) -> list[str]:
    """A sentence for each thing that is wrong with the ramp, and with the times of start and end."""
    faults: list[str] = [] if experiment.ramp is None else _step_faults(experiment.ramp)
    start, end = experiment.starts_at, experiment.ends_at
    if start is not None and end is not None and end <= start:
        faults.append(f"it would end at {end.isoformat()}, not after its start; choose a later end")
    return faults


def _step_faults(ramp: Ramp) -> list[str]:
    faults = [
        f"the ramp's step to {one.share} is no share of a layer; it must be from {1 / BUCKETS} to 1"
        for one in ramp.steps
        if not (0 < one.share <= 1 and round(one.share * BUCKETS))
    ]
    faults += [
        f"the ramp holds {one.share} for {one.hold_hours} hours; it must be 0 to {LONGEST_HOLD_HOURS}"
        for one in ramp.steps
        if not (math.isfinite(one.hold_hours) and 0 <= one.hold_hours <= LONGEST_HOLD_HOURS)
    ]
    faults += [
        f"the ramp goes from {left.share} to {right.share}; a ramp only adds, so list growing shares"
        for left, right in pairwise(ramp.steps)
        if right.share <= left.share
    ]
    if not 1 <= len(ramp.steps) <= MOST_STEPS:
        faults.append(f"the ramp has {len(ramp.steps)} steps; it must have 1 to {MOST_STEPS}")
    return faults
