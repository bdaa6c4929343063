"""Declared metrics beside the built-in ones: the metrics of a plan, and what the record says about the declared."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from lamella.experiments.model import AnalysisPlan, DeclaredMetric, MeasuredKind, Phase
from lamella.metrics.definitions import METRICS, Direction, Metric, MetricKind, MetricUnit
from lamella.services.measure_ports import DENOMINATOR, NUMERATOR, Measured, MeasureStore, Stretch
from lamella.stats.estimates import Estimate
from lamella.stats.undefined import Reason, Undefined

_SHARES = (MeasuredKind.PROPORTION, MeasuredKind.RETENTION)
_MARGIN = timedelta(days=1)


def metric_from(declared: DeclaredMetric) -> Metric:
    """The declared metric as the comparisons see it, over the columns of `Measured`."""
    is_over_units = declared.kind in (MeasuredKind.MEAN, MeasuredKind.PROPORTION, MeasuredKind.QUANTILE)
    return Metric(
        key=declared.key,
        label=declared.label,
        label_zh=declared.label_zh,
        numerator=(NUMERATOR,),
        denominator=None if is_over_units else DENOMINATOR,
        unit=MetricUnit.SHARE if declared.kind in _SHARES else MetricUnit(declared.unit),
        direction=Direction(declared.direction),
        # The share that came back is adjusted by who was there before, not by a share of the past.
        counted_before=NUMERATOR if declared.kind is MeasuredKind.RETENTION else None,
        is_bernoulli=declared.kind is MeasuredKind.PROPORTION,
        declared_kind=MetricKind(declared.kind.value),
        minimum_effect=declared.minimum_effect,
    )


def catalogue(declared: Iterable[DeclaredMetric]) -> dict[str, Metric]:
    """Every built-in metric and these, by key."""
    return {**METRICS, **{each.key: metric_from(each) for each in declared}}


def planned(plan: AnalysisPlan, declared: Iterable[DeclaredMetric]) -> tuple[DeclaredMetric, ...]:
    """The declared metrics that the plan names; each costs a scan of its facts, so that others are not reported."""
    named = {plan.primary_metric, *plan.secondary_metrics, *(one.metric for one in plan.guardrails)}
    return tuple(each for each in declared if each.key in named)


def stretch_of(plan: AnalysisPlan, phase: Phase, until: datetime) -> Stretch:
    """The part of the record that a report of the phase rests on."""
    past = phase.started_at - timedelta(days=plan.covariate_days) if plan.covariate_days else None
    # A day before the start, because the record's clocks may differ.
    return Stretch(phase=phase.id, until=until, since=phase.started_at - _MARGIN, covariate_since=past)


def measured_for(
    store: MeasureStore | None, stretch: Stretch, metrics: Sequence[DeclaredMetric]
) -> Mapping[str, Measured]:
    """What each metric found; where there is no store of facts, that it could not be read."""
    if not metrics:
        return {}
    if store is None:
        reason = Undefined(Reason.FAILED, "the facts are not at hand here; let a worker report")
        return {each.key: Measured(failed=reason) for each in metrics}
    return store.measured(stretch, metrics)


def known_estimates(
    measured: Mapping[str, Measured], variants: Sequence[str]
) -> dict[tuple[str, str], Estimate | Undefined]:
    """By metric and variant, what no moments tell: quantiles, and why a metric could not be read."""
    found: dict[tuple[str, str], Estimate | Undefined] = {}
    none = Undefined(Reason.TOO_FEW_UNITS, "no unit of the arm has such an event")
    for key, each in measured.items():
        if each.failed is not None:
            found |= {(key, variant): each.failed for variant in variants}
        elif each.quantiles:
            found |= {(key, variant): each.quantiles.get(variant, none) for variant in variants}
    return found
