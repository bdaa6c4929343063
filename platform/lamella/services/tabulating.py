"""The parts of the report document, as plain JSON values."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

from lamella.experiments.model import Json
from lamella.metrics.definitions import Direction, Metric, MetricKind
from lamella.services.comparing import EstimatesBy, MomentsBy, Reading, Role, arm_value, failure, own_moments
from lamella.services.measure_ports import Measured
from lamella.services.ports import ArmTotals
from lamella.services.schedule import Standing
from lamella.stats.bayes import Binomial, Chance, beta_binomial_chance, normal_chance, normal_posterior
from lamella.stats.estimates import Estimate
from lamella.stats.evidence import Check, Verdict
from lamella.stats.lift import Lift
from lamella.stats.moments import Moments
from lamella.stats.standard import Judged, Method, Pair
from lamella.stats.undefined import Reason, Undefined

# The standard deviation of relative lifts before data, as GrowthBook proposes: weak, it matters for small samples.
PRIOR_DEVIATION = 0.3


def check_document(check: Check) -> dict[str, Json]:
    """One check."""
    return {
        "check": check.check,
        "passed": check.passed,
        "blocking": check.blocking,
        "p": finite(check.p),
        "detail": check.detail,
    }


def verdict_document(verdict: Verdict) -> dict[str, Json]:
    """The decision with its reason and numbers."""
    return {
        "decision": verdict.decision.value,
        "variant": verdict.variant,
        "reason": verdict.reason,
        "numbers": {key: finite(value) for key, value in verdict.numbers.items()},
    }


def looks_document(stand: Standing, evidence: Verdict, taken_before: int) -> dict[str, Json]:
    """The looks taken, and the evidence that the last of them found.

    An always-valid plan looks at every report.
    """
    history: list[Json] = [
        {
            "number": look.number,
            "information": look.information,
            "z": finite(look.z),
            "boundary": finite(look.boundary),
            "at": look.at,
        }
        for look in stand.looks
    ]
    is_unlimited = stand.method is Method.ALWAYS_VALID
    return {
        "taken": taken_before + 1 if is_unlimited else len(stand.looks),
        "planned": None if is_unlimited else stand.planned_looks,
        "information": stand.information,
        "is_look": stand.may_judge,
        "history": history,
        "evidence": verdict_document(evidence),
    }


def variant_documents(arms: Sequence[ArmTotals], weights: Mapping[str, int], control: str) -> list[Json]:
    """One row for each arm, control first."""
    return [
        {
            "variant": arm.variant,
            "is_control": arm.variant == control,
            "weight": weights.get(arm.variant, 0),
            "units": arm.moments.n,
            "crossed": arm.crossed,
            "slates": arm.slates,
            "fallback_slates": arm.fallback_slates,
        }
        for arm in arms
    ]


def inputs_document(
    arms: Sequence[ArmTotals], measured: Mapping[str, Measured] | None = None, until: datetime | None = None
) -> dict[str, Json]:
    """Every number that the report was computed from; declared metrics have columns of their own.

    `source` says where the arms' moments came from: "kept" ones, last refreshed at `kept_at` and corrected for what was
    recorded since, or a "scan" of the totals.
    """
    kept_at = next((arm.kept_at for arm in arms if arm.kept_at is not None), None)
    document = _moments_documents({arm.variant: arm.moments for arm in arms})
    return {
        **document,
        "source": "scan" if kept_at is None else "kept",
        "kept_at": None if kept_at is None else kept_at.isoformat(),
        "until": None if until is None else until.isoformat(),
        "metrics": {key: _measured_document(each) for key, each in (measured or {}).items()},
    }


def _moments_documents(moments: Mapping[str, Moments]) -> dict[str, Json]:
    arms: dict[str, Json] = {
        variant: {
            "n": each.n,
            "mean": [finite(float(one)) for one in each.mean],
            "cross": [[finite(float(one)) for one in row] for row in each.cross],
        }
        for variant, each in moments.items()
    }
    columns: list[Json] = list(next(iter(moments.values())).columns) if moments else []
    return {"columns": columns, "arms": arms}


def _measured_document(measured: Measured) -> dict[str, Json]:
    quantiles: dict[str, Json] = {
        variant: None if isinstance(each, Undefined) else {"n": each.n, "value": each.value, "variance": each.variance}
        for variant, each in measured.quantiles.items()
    }
    failed = measured.failed
    return {
        **_moments_documents(measured.moments),
        "quantiles": quantiles,
        "cap": finite(measured.cap),
        "failed": None if failed is None else failed.detail,
    }


def metric_documents(
    wanted: Sequence[Role],
    readings: Sequence[Reading],
    arms: Sequence[ArmTotals],
    *,
    level: float,
    estimates: EstimatesBy | None = None,
    own: MomentsBy | None = None,
) -> list[Json]:
    """One entry for each metric, with its arms and comparisons; `level` is that of a comparison without a value."""
    return [
        {
            "minimum_effect": role.metric.minimum_effect,
            "metric": role.metric.key,
            "label": role.metric.label,
            "label_zh": role.metric.label_zh,
            "kind": role.metric.kind.value,
            "role": role.role,
            "direction": role.metric.direction.value,
            "unit": role.metric.unit.value,
            "arms": [_arm_document(role.metric, arm, estimates or {}, own) for arm in arms],
            "comparisons": [
                _tried_document(reading, level) for reading in readings if reading.role.metric is role.metric
            ],
        }
        for role in wanted
    ]


def finite(value: float | None) -> float | None:
    """The value, or None where JSON has no number for it."""
    return value if value is not None and math.isfinite(value) else None


def _tried_document(reading: Reading, level: float) -> dict[str, Json]:
    """The comparison; undefined (failed) where its figures cannot be made, so that no other one is lost."""
    try:
        return _comparison_document(reading, level)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one metric must not cost the others theirs
        return {**_judged_document(reading, failure(error), reading.test, level=level), "adjusted": None}


def _arm_document(metric: Metric, arm: ArmTotals, estimates: EstimatesBy, own: MomentsBy | None) -> dict[str, Json]:
    try:
        return _arm_figures(metric, arm, estimates, own)
    except Exception:  # noqa: BLE001 - as above
        names = ("value", "numerator", "denominator")
        failed = {"variant": arm.variant, "units": arm.moments.n, **dict.fromkeys(names)}
        return {**failed, "undefined": Reason.FAILED.value}


def _arm_figures(metric: Metric, arm: ArmTotals, estimates: EstimatesBy, own: MomentsBy | None) -> dict[str, Json]:
    moments = own_moments(metric, arm.variant, arm.moments, own)
    known = estimates.get((metric.key, arm.variant))
    if metric.kind is MetricKind.QUANTILE and known is not None:
        return {
            "variant": arm.variant,
            "units": arm.moments.n,
            "value": None if isinstance(known, Undefined) else finite(known.value),
            "numerator": None,
            "denominator": None,
            "undefined": known.reason.value if isinstance(known, Undefined) else None,
        }
    value = known or arm_value(metric, moments)
    below = float(moments.n) if metric.denominator is None else moments.sum_of(metric.denominator)
    return {
        "variant": arm.variant,
        "units": moments.n,
        "value": None if isinstance(value, Undefined) else finite(value.value),
        "numerator": finite(sum(moments.sum_of(column) for column in metric.numerator)),
        "denominator": finite(below),
        "undefined": value.reason.value if isinstance(value, Undefined) else None,
    }


def _comparison_document(reading: Reading, level: float) -> dict[str, Json]:
    metric = reading.role.metric
    raw = _judged_document(reading, reading.raw, reading.test, level=level)
    raw["bayes"] = _bayes_document(metric, (reading.control, reading.treatment), exact=metric.is_bernoulli)
    if reading.adjusted is None:
        return {**raw, "adjusted": None}
    adjusted = _judged_document(reading, reading.adjusted, f"cuped {reading.test}", level=level)
    if isinstance(reading.adjusted, Judged):
        adjusted["bayes"] = _bayes_document(metric, reading.used_pair, exact=False)
    return {**raw, "adjusted": {**adjusted, "adjusted": None}}


def _judged_document(reading: Reading, judged: Judged | Undefined, method: str, *, level: float) -> dict[str, Json]:
    """One comparison, without its Bayesian reading."""
    if isinstance(judged, Undefined):
        names = ("difference", "relative_lift", "p", "log10_p", "p_adjusted", "bayes")
        return {
            "variant": reading.variant,
            **dict.fromkeys(names),
            "difference_ci": [None, None],
            "ci": [None, None],
            "level": level,
            "method": method,
            "significant": False,
            "undefined": judged.reason.value,
        }
    lift = judged.lift if isinstance(judged.lift, Lift) else None
    low, high = (None, None) if lift is None else lift.interval
    return {
        "variant": reading.variant,
        "difference": finite(judged.difference.value),
        "difference_ci": [finite(judged.difference.low), finite(judged.difference.high)],
        "relative_lift": None if lift is None else finite(lift.value),
        "ci": [finite(low), finite(high)],
        "p": finite(judged.p),
        "log10_p": finite(judged.difference.log10_p),
        "p_adjusted": finite(judged.p_adjusted),
        "level": judged.level,
        "method": method,
        "significant": judged.is_significant,
        "undefined": judged.lift.reason.value if isinstance(judged.lift, Undefined) else None,
        "bayes": None,
    }


def _bayes_document(metric: Metric, pair: Pair, *, exact: bool) -> dict[str, Json] | None:
    """The chance to win, and the expected loss of choosing the treatment as a share of control's value."""
    one, other = pair
    if isinstance(one, Undefined) or isinstance(other, Undefined) or not one.value:
        return None
    if not (math.isfinite(one.value) and math.isfinite(other.value)):
        return None
    is_good_up = metric.direction is Direction.INCREASE
    if exact:
        found = _exact_chance(one, other, is_good_up=is_good_up)
        return {"chance_to_win": found.chance_to_win, "expected_loss": found.expected_loss / abs(one.value)}
    ratio = other.value / one.value
    error = math.hypot(math.sqrt(other.variance), ratio * math.sqrt(one.variance)) / abs(one.value)
    if not 0.0 < error < 1e100:
        return None
    belief = normal_posterior((ratio - 1.0) * math.copysign(1.0, one.value), error, prior_deviation=PRIOR_DEVIATION)
    chance = normal_chance(belief, higher_is_better=is_good_up)
    return {"chance_to_win": chance.chance_to_win, "expected_loss": chance.expected_loss}


def _exact_chance(one: Estimate, other: Estimate, *, is_good_up: bool) -> Chance:
    control, treatment = (
        Binomial(successes=min(max(round(each.n * each.value), 0), each.n), trials=each.n) for each in (one, other)
    )
    return beta_binomial_chance(control, treatment, higher_is_better=is_good_up)
