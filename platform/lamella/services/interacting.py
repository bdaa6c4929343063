"""Does an experiment's effect depend on the variant that its units got in another one that ran beside it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from lamella.experiments.model import Configuration, DeclaredMetric, Experiment, Json, MeasuredKind, Phase
from lamella.metrics.definitions import METRICS, Metric, needed_columns
from lamella.services.allowance import Allowance
from lamella.services.figures import LEVEL_ALPHA, estimates_of, numbers
from lamella.services.measure_ports import FactStore, Stretch
from lamella.services.subjects import Subject
from lamella.services.tabulating import finite
from lamella.stats.estimates import Estimate
from lamella.stats.heterogeneity import interaction
from lamella.stats.moments import Moments
from lamella.stats.multiplicity import Correction, adjusted_p
from lamella.stats.undefined import Undefined

MOST_OTHERS: Final = 8
"""So many experiments are looked at in one report: those that overlap longest."""
_LIMIT: Final = 0.05

Row: TypeAlias = dict[str, Json]


def overlapping(
    configuration: Configuration, experiment: Experiment, phase: Phase, until: datetime
) -> list[tuple[Experiment, Phase]]:
    """The other layers' experiments, the longest overlap first, each with its phase that ran longest beside `phase`."""
    found = []
    for other in configuration.experiments:
        if other.key == experiment.key or other.layer == experiment.layer:
            continue
        shared = {each.id: _shared(phase, each, until) for each in other.phases}
        best = max(other.phases, key=lambda each: (shared[each.id], each.number), default=None)
        if best is not None and shared[best.id] > timedelta(0):
            found.append((shared[best.id], other, best))
    found.sort(key=lambda each: (-each[0], each[1].key))
    return [(other, best) for _, other, best in found]


class Pairs:
    """What one round of reports found of pairs of experiments: each pair is asked for once, and shown in both reports.

    Figures of a pair are those of the report that asked first; the other one shows them from its own side.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[int, int, str], list[Row]] = {}

    def keep(self, phase: int, other: int, metric: str, rows: Sequence[Row]) -> None:
        """From now on the pair is known."""
        self._found[phase, other, metric] = [dict(row) for row in rows]

    def known(self, phase: int, other: int, metric: str) -> list[Row] | None:
        """The rows of the pair as a report on `phase` shows them; None where none asked for them yet."""
        held = self._found.get((phase, other, metric))
        if held is not None:
            return [dict(row) for row in held]
        mirrored = self._found.get((other, phase, metric))
        return None if mirrored is None else [_mirrored(row) for row in mirrored]


def interactions_document(
    facts: FactStore,
    subject: Subject,
    stretch: Stretch,
    metric: Metric,
    declared: DeclaredMetric | None,
    *,
    pairs: Pairs,
    allowance: Allowance,
) -> dict[str, Json]:
    """One row for each other experiment and pair of treatments: the interaction of the primary metric, Holm over all.

    `interaction` is the difference under the other treatment less that under the other control, in the metric's unit.
    The experiments that overlap longest come first. `left_out` names the others: those beyond MOST_OTHERS, and those
    for which no time was left.
    """
    others = overlapping(subject.configuration, subject.experiment, subject.phase, stretch.until)
    if declared is not None and declared.kind is MeasuredKind.QUANTILE:
        return {"metric": metric.key, "pairs": [], "left_out": [other.key for other, _ in others]}
    rows: list[Row] = []
    left_out: list[Json] = []
    for place, (other, phase) in enumerate(others):
        found = pairs.known(subject.phase.id, phase.id, metric.key)
        if place >= MOST_OTHERS or (found is None and allowance.is_over):
            left_out.append(other.key)
            continue
        if found is None:
            beside = Subject(other, phase, subject.configuration)
            found = _pair(facts, (subject, beside), stretch, metric, declared)
            pairs.keep(subject.phase.id, phase.id, metric.key, found)
        rows += found
    p = numbers(rows)
    adjusted = iter(adjusted_p(p, Correction.HOLM) if p else ())
    for row in rows:
        value = None if row["p"] is None else next(adjusted)
        row["p_adjusted"], row["significant"] = value, value is not None and value < _LIMIT
    return {"metric": metric.key, "pairs": list(rows), "left_out": left_out}


def _pair(
    facts: FactStore, of: tuple[Subject, Subject], stretch: Stretch, metric: Metric, declared: DeclaredMetric | None
) -> list[Row]:
    """A row for each pair of treatments of the two experiments."""
    subject, beside = of
    columns = needed_columns([metric]) if metric.key in METRICS else ()
    found = facts.crossed_with(stretch, columns, beside.phase.id, () if declared is None else (declared,))
    cells = {(each.variant, each.values[0]): each.moments for each in found[metric.key if declared else ""]}
    return [
        _row(metric, cells, of, (subject.control, own), (beside.control, other))
        for own in subject.arms[1:]
        for other in beside.arms[1:]
    ]


def _mirrored(row: Row) -> Row:
    """The same figures, told from the other experiment's side: the interaction is the same."""
    units = row["units"]
    turned: list[Json] = [
        {**each, "variant": each["other_variant"], "other_variant": each["variant"]}
        for each in (units if isinstance(units, list) else [])
        if isinstance(each, dict)
    ]
    return {
        **row,
        "experiment": row["of"],
        "layer": row["of_layer"],
        "of": row["experiment"],
        "of_layer": row["layer"],
        "variant": row["other_variant"],
        "other_variant": row["variant"],
        "units": turned,
    }


def _row(
    metric: Metric,
    cells: dict[tuple[str, str | None], Moments],
    of: tuple[Subject, Subject],
    own: tuple[str, str],
    beside: tuple[str, str],
) -> Row:
    held = {(a, b): cells.get((a, b), Moments.empty(metric.columns)) for a in own for b in beside}

    def pair(against: str) -> tuple[Estimate | Undefined, Estimate | Undefined]:
        return estimates_of(metric, held[own[0], against]), estimates_of(metric, held[own[1], against])

    found = interaction(pair(beside[0]), pair(beside[1]), alpha=LEVEL_ALPHA)
    is_known = not isinstance(found, Undefined)
    return {
        "experiment": of[1].experiment.key,
        "layer": of[1].experiment.layer,
        "of": of[0].experiment.key,
        "of_layer": of[0].experiment.layer,
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
