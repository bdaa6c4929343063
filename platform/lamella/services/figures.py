"""Metrics of arms as the small documents that series, segments and health are made of: figures, no verdict."""

from collections.abc import Mapping, Sequence
from typing import Final

from lamella.experiments.model import Json
from lamella.metrics.definitions import Metric
from lamella.services.comparing import EstimatesBy, Role, arm_value, compare, failure
from lamella.services.tabulating import finite
from lamella.stats.estimates import Difference, Estimate, difference
from lamella.stats.lift import Lift, fieller
from lamella.stats.moments import Moments
from lamella.stats.srm import THRESHOLD, sample_ratio
from lamella.stats.standard import Judged, Method, Standard
from lamella.stats.undefined import Reason, Undefined

LABEL: Final = "exploratory"
LEVEL_ALPHA: Final = 0.05
_PLAIN: Final = Standard(method=Method.FIXED_HORIZON, alpha=LEVEL_ALPHA)


def metric_figures(metric: Metric, arms: Mapping[str, Moments], control: str) -> dict[str, Json]:
    """The metric in every arm, and each other arm beside control at 95 %, uncorrected. A failure gives no figures."""
    return {
        "metric": metric.key,
        "arms": [_arm(variant, moments, _value(metric, moments)) for variant, moments in arms.items()],
        "comparisons": _comparisons(metric, arms, control),
    }


def pair_figures(
    variant: str, control: Estimate | Undefined, treatment: Estimate | Undefined
) -> tuple[dict[str, Json], Difference | Undefined]:
    """The comparison of two estimates at 95 %, and the difference that it shows."""
    found = difference(control, treatment, alpha=LEVEL_ALPHA)
    lift = fieller(control, treatment, alpha=LEVEL_ALPHA)
    return _shown(variant, found, lift), found


def estimate_figures(
    variant: str, found: Estimate | Undefined, interval: tuple[float, float] | None
) -> dict[str, Json]:
    """A figure with its interval, which is null where it has none."""
    return {
        "variant": variant,
        "value": None if isinstance(found, Undefined) else finite(found.value),
        "ci": [None, None] if interval is None else [finite(interval[0]), finite(interval[1])],
        "undefined": found.reason.value if isinstance(found, Undefined) else None,
    }


def ratio_figures(units: Mapping[str, int], weights: Mapping[str, int]) -> dict[str, Json]:
    """The sample ratio of some units: `p` is uncorrected, `p_adjusted` and `passed` are for the caller to fill."""
    found = sample_ratio(units, weights)
    return {
        "units": dict(units),
        "p": None if isinstance(found, Undefined) else finite(found.p),
        "undefined": found.reason.value if isinstance(found, Undefined) else None,
    }


def corrected(rows: Sequence[dict[str, Json]], p: Sequence[float], *, limit: float = THRESHOLD) -> None:
    """Adds `p_adjusted` and `passed` to the rows that have a p-value; `p` are the corrected ones, in their order."""
    adjusted = iter(p)
    for row in rows:
        value = None if row["p"] is None else next(adjusted)
        row["p_adjusted"], row["passed"] = value, None if value is None else value >= limit


def numbers(rows: Sequence[Mapping[str, Json]]) -> list[float]:
    """The p-values of the rows that have one."""
    return [float(each) for row in rows if isinstance(each := row["p"], int | float)]


def estimates_of(metric: Metric, moments: Moments) -> Estimate | Undefined:
    """The metric in one arm; undefined (failed) instead of an error."""
    return _value(metric, moments)


def _value(metric: Metric, moments: Moments) -> Estimate | Undefined:
    try:
        return arm_value(metric, moments)
    except Exception as error:  # noqa: BLE001 - one broken metric must not cost the others their figures
        return failure(error)


def _arm(variant: str, moments: Moments, found: Estimate | Undefined) -> dict[str, Json]:
    return {
        "variant": variant,
        "units": moments.n,
        "value": None if isinstance(found, Undefined) else finite(found.value),
        "standard_error": None if isinstance(found, Undefined) or found.variance < 0 else finite(found.variance**0.5),
        "undefined": found.reason.value if isinstance(found, Undefined) else None,
    }


def _comparisons(
    metric: Metric, arms: Mapping[str, Moments], control: str, estimates: EstimatesBy | None = None
) -> list[Json]:
    if control not in arms:
        return []
    others = {variant: moments for variant, moments in arms.items() if variant != control}
    own = {metric.key: arms}
    role = Role(metric=metric, role=LABEL)
    readings = compare(
        [role], arms[control], others, _PLAIN, own=own, control_key=control, correction="none", estimates=estimates
    )
    return [
        _shown(
            each.variant,
            each.raw.difference if isinstance(each.raw, Judged) else each.raw,
            each.raw.lift if isinstance(each.raw, Judged) else each.raw,
        )
        for each in readings
    ]


def _shown(variant: str, found: Difference | Undefined, lift: Lift | Undefined) -> dict[str, Json]:
    low, high = (None, None) if isinstance(lift, Undefined) else lift.interval
    if isinstance(found, Undefined):
        reason: Reason | None = found.reason
    else:
        reason = lift.reason if isinstance(lift, Undefined) else None
    return {
        "variant": variant,
        "difference": None if isinstance(found, Undefined) else finite(found.value),
        "difference_ci": [None, None] if isinstance(found, Undefined) else [finite(found.low), finite(found.high)],
        "relative_lift": None if isinstance(lift, Undefined) else finite(lift.value),
        "ci": [finite(low), finite(high)],
        "p": None if isinstance(found, Undefined) else finite(found.p),
        "level": 1.0 - LEVEL_ALPHA,
        "undefined": None if reason is None else reason.value,
    }
