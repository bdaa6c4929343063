"""The health of the recommender and of the service in each variant, with intervals."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from lamella.experiments.measures import metric_from_document
from lamella.experiments.model import DeclaredMetric, Json
from lamella.metrics.health import FIGURES, Figure, health
from lamella.services.figures import LEVEL_ALPHA, estimate_figures, estimates_of, pair_figures
from lamella.services.measure_ports import FactStore, Measured, Stretch
from lamella.services.measuring import known_estimates, metric_from
from lamella.stats.estimates import Estimate
from lamella.stats.jackknife import jackknife
from lamella.stats.moments import Moments
from lamella.stats.tails import critical_value, two_sided_p
from lamella.stats.undefined import Reason, Undefined

BLOCKS: Final = 64
"""Divides the 256 values of the unit's hash."""

_LATENCY: Final[dict[str, Json]] = {"event": "slate", "property": "latency_ms"}
_SLATES: Final[dict[str, Json]] = {"event": "slate"}


def _declare(key: str, label: str, label_zh: str, kind: str, **rest: Json) -> DeclaredMetric:
    return metric_from_document(
        {"key": key, "label": label, "label_zh": label_zh, "kind": kind, "direction": "decrease", **rest}
    )


def _share(key: str, label: str, label_zh: str, flag: str) -> DeclaredMetric:
    flagged: dict[str, Json] = {"event": "slate", "filter": {"==": [{"var": flag}, True]}}
    return _declare(key, label, label_zh, "ratio", measure=flagged, denominator=_SLATES, unit="share")


SERVICE: Final = (
    _declare("latency_mean", "Mean latency (ms)", "平均延迟（毫秒）", "ratio", measure=_LATENCY, denominator=_SLATES),
    _declare("latency_p50", "Median latency (ms)", "延迟中位数（毫秒）", "quantile", measure=_LATENCY, quantile=0.5),
    _declare("latency_p95", "P95 latency (ms)", "延迟 95 分位（毫秒）", "quantile", measure=_LATENCY, quantile=0.95),
    _share("error_rate", "Lists with a model that failed", "模型出错率", "error"),
    _share("fallback_rate", "Lists that fell back", "降级率", "fallback"),
)
"""What is measured of the service: times from parsed request to ordered list; lateness alone is no error."""


def recommender_document(facts: FactStore, stretch: Stretch, arms: Sequence[str], control: str) -> list[Json]:
    """Every figure of recommender health in every variant, with intervals by a jackknife over blocks of units."""
    found = health(facts.shown(stretch, blocks=BLOCKS), facts.catalogue_size(stretch.until))
    return [
        _figure_of_lists(name, labels, {key: each for key, each in found[name].items() if key in arms}, control)
        for name, labels in FIGURES.items()
    ]


def service_document(facts: FactStore, stretch: Stretch, arms: Sequence[str], control: str) -> list[Json]:
    """Latency, errors and fallbacks of the slates in every variant, clustered by unit."""
    plain = Stretch(phase=stretch.phase, until=stretch.until, since=stretch.since)
    measured = facts.measured_aside(plain, SERVICE)
    return [
        _figure(each.key, (each.label, each.label_zh), _estimates(each, measured[each.key], arms), arms, control)
        for each in SERVICE
    ]


def _estimates(declared: DeclaredMetric, measured: Measured, arms: Sequence[str]) -> dict[str, Estimate | Undefined]:
    known = known_estimates({declared.key: measured}, arms)
    metric = metric_from(declared)
    empty = Moments.empty(metric.columns)
    return {
        arm: known.get((declared.key, arm)) or estimates_of(metric, measured.moments.get(arm, empty)) for arm in arms
    }


def _figure_of_lists(
    name: str, labels: tuple[str, str], figures: Mapping[str, Figure], control: str
) -> dict[str, Json]:
    """A figure that is compared by leaving the same block out of both arms: they share what they are measured by."""
    held = {variant: jackknife(each.value, each.without) for variant, each in figures.items()}
    own = figures.get(control)
    return {
        "figure": name,
        "label": labels[0],
        "label_zh": labels[1],
        "arms": [estimate_figures(variant, each, _interval(each)) for variant, each in held.items()],
        "comparisons": [
            joint_figures(variant, own, each)
            for variant, each in figures.items()
            if own is not None and each is not own
        ],
    }


def joint_figures(variant: str, control: Figure, treatment: Figure) -> dict[str, Json]:
    """The difference and the lift, each by its own jackknife."""
    difference = jackknife(*_paired(control, treatment, operator.sub))
    lift = jackknife(*_paired(control, treatment, _lift))
    found = None if isinstance(difference, Undefined) or not difference.variance > 0.0 else difference
    between, beside = _interval(difference) or (None, None), _interval(lift) or (None, None)
    undefined = difference.reason.value if isinstance(difference, Undefined) else None
    return {
        "variant": variant,
        "difference": None if isinstance(difference, Undefined) else difference.value,
        "difference_ci": [*between],
        "relative_lift": None if isinstance(lift, Undefined) else lift.value,
        "ci": [*beside],
        "p": None if found is None else two_sided_p(found.value / math.sqrt(found.variance), found.n - 1),
        "level": 1.0 - LEVEL_ALPHA,
        "undefined": undefined if found is not None or undefined else Reason.ZERO_VARIANCE.value,
    }


def _paired(
    control: Figure, treatment: Figure, of: Callable[[float, float], float | None]
) -> tuple[float | None, list[float | None]]:
    pairs = [(treatment.value, control.value), *zip(treatment.without, control.without, strict=True)]
    made = [None if one is None or other is None else of(one, other) for one, other in pairs]
    return made[0], made[1:]


def _lift(one: float, other: float) -> float | None:
    return one / other - 1.0 if other else None


def _figure(
    name: str,
    labels: tuple[str, str],
    estimates: dict[str, Estimate | Undefined],
    arms: Sequence[str],
    control: str,
) -> dict[str, Json]:
    held = {variant: estimates[variant] for variant in arms if variant in estimates}
    return {
        "figure": name,
        "label": labels[0],
        "label_zh": labels[1],
        "arms": [estimate_figures(variant, each, _interval(each)) for variant, each in held.items()],
        "comparisons": [
            pair_figures(variant, held[control], each)[0]
            for variant, each in held.items()
            if variant != control and control in held
        ],
    }


def _interval(found: Estimate | Undefined) -> tuple[float, float] | None:
    if isinstance(found, Undefined) or found.n < 2 or not found.variance >= 0.0:
        return None
    half = critical_value(LEVEL_ALPHA, found.n - 1) * math.sqrt(found.variance)
    return found.value - half, found.value + half
