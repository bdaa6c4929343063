"""Does an experiment's effect depend on the variant that its units got in another one that ran beside it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from lamella.experiments.model import Configuration, DeclaredMetric, Experiment, Json, MeasuredKind, Phase
from lamella.metrics.definitions import METRICS, Metric, needed_columns
from lamella.services.figures import LEVEL_ALPHA, estimates_of, numbers
from lamella.services.measure_ports import FactStore, Stretch
from lamella.services.tabulating import finite
from lamella.stats.estimates import Estimate
from lamella.stats.heterogeneity import interaction
from lamella.stats.moments import Moments
from lamella.stats.multiplicity import Correction, adjusted_p
from lamella.stats.undefined import Undefined

MOST_OTHERS: Final = 20
_LIMIT: Final = 0.05


def overlapping(
    configuration: Configuration, experiment: Experiment, phase: Phase, until: datetime
) -> list[tuple[Experiment, Phase]]:
    """The other layers' experiments, each with its phase that ran longest beside `phase` until `until`."""
    found = []
    for other in configuration.experiments:
        if other.key == experiment.key or other.layer == experiment.layer:
            continue
        shared = {each.id: _shared(phase, each, until) for each in other.phases}
        best = max(other.phases, key=lambda each: (shared[each.id], each.number), default=None)
        if best is not None and shared[best.id] > timedelta(0):
            found.append((shared[best.id], other, best))
    found.sort(key=lambda each: (-each[0], each[1].key))
    return [(other, best) for _, other, best in found[:MOST_OTHERS]]


def interactions_document(
    facts: FactStore,
    stretch: Stretch,
    others: Sequence[tuple[Experiment, Phase]],
    metric: Metric,
    declared: DeclaredMetric | None,
    *,
    arms: Sequence[str],
    control: str,
) -> list[Json]:
    """One row for each other experiment and pair of treatments: the interaction of the primary metric, Holm over all.

    `interaction` is the difference under the other treatment less that under the other control, in the metric's unit.
    """
    if declared is not None and declared.kind is MeasuredKind.QUANTILE:
        return []
    columns = needed_columns([metric]) if metric.key in METRICS else ()
    rows: list[dict[str, Json]] = []
    for other, phase in others:
        found = facts.crossed_with(stretch, columns, phase.id, () if declared is None else (declared,))
        cells = {(each.variant, each.values[0]): each.moments for each in found[metric.key if declared else ""]}
        beside = next((each.key for each in other.variants if each.is_control), other.variants[0].key)
        rows += [
            _row(metric, cells, other, (control, variant), (beside, each.key))
            for variant in arms
            if variant != control
            for each in other.variants
            if each.key != beside and each.weight > 0
        ]
    p = numbers(rows)
    adjusted = iter(adjusted_p(p, Correction.HOLM) if p else ())
    for row in rows:
        value = None if row["p"] is None else next(adjusted)
        row["p_adjusted"], row["significant"] = value, value is not None and value < _LIMIT
    return list(rows)


def _row(
    metric: Metric,
    cells: dict[tuple[str, str | None], Moments],
    other: Experiment,
    own: tuple[str, str],
    beside: tuple[str, str],
) -> dict[str, Json]:
    held = {(a, b): cells.get((a, b), Moments.empty(metric.columns)) for a in own for b in beside}

    def pair(against: str) -> tuple[Estimate | Undefined, Estimate | Undefined]:
        return estimates_of(metric, held[own[0], against]), estimates_of(metric, held[own[1], against])

    found = interaction(pair(beside[0]), pair(beside[1]), alpha=LEVEL_ALPHA)
    is_known = not isinstance(found, Undefined)
    return {
        "experiment": other.key,
        "layer": other.layer,
        "metric": metric.key,
        "variant": own[1],
        "other_variant": beside[1],
        "units": [
            {"variant": a, "other_variant": b, "units": held[a, b].n, "value": _value(estimates_of(metric, held[a, b]))}
            for a in own
            for b in beside
        ],
        "interaction": None if isinstance(found, Undefined) else finite(found.value),
        "interaction_ci": [None, None] if isinstance(found, Undefined) else [finite(found.low), finite(found.high)],
        "p": finite(found.p) if is_known and not isinstance(found, Undefined) else None,
        "level": 1.0 - LEVEL_ALPHA,
        "undefined": found.reason.value if isinstance(found, Undefined) else None,
    }


def _value(found: Estimate | Undefined) -> float | None:
    return None if isinstance(found, Undefined) else finite(found.value)


def _shared(one: Phase, other: Phase, until: datetime) -> timedelta:
    start = max(one.started_at, other.started_at)
    end = min(one.ended_at or until, other.ended_at or until, until)
    return end - start
