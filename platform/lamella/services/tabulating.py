"""The parts of the report document, as plain JSON values."""

import math
from collections.abc import Mapping, Sequence

from lamella.experiments.model import Json
from lamella.metrics.definitions import Direction, Metric
from lamella.services.comparing import Reading, Role, arm_value
from lamella.services.ports import ArmTotals
from lamella.services.schedule import Standing
from lamella.stats.bayes import Binomial, Chance, beta_binomial_chance, normal_chance, normal_posterior
from lamella.stats.estimates import Estimate
from lamella.stats.evidence import Check, Verdict
from lamella.stats.lift import Lift
from lamella.stats.standard import Judged, Method, Pair
from lamella.stats.undefined import Undefined

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


def inputs_document(arms: Sequence[ArmTotals]) -> dict[str, Json]:
    """Every number that the report was computed from."""
    moments: dict[str, Json] = {
        arm.variant: {
            "n": arm.moments.n,
            "mean": [finite(float(each)) for each in arm.moments.mean],
            "cross": [[finite(float(each)) for each in row] for row in arm.moments.cross],
        }
        for arm in arms
    }
    columns: list[Json] = list(arms[0].moments.columns) if arms else []
    return {"columns": columns, "arms": moments}


def metric_documents(
    wanted: Sequence[Role], readings: Sequence[Reading], arms: Sequence[ArmTotals], *, level: float
) -> list[Json]:
    """One entry for each metric, with its arms and comparisons; `level` is that of a comparison without a value."""
    return [
        {
            "metric": role.metric.key,
            "label": role.metric.label,
            "label_zh": role.metric.label_zh,
            "kind": role.metric.kind.value,
            "role": role.role,
            "direction": role.metric.direction.value,
            "unit": role.metric.unit.value,
            "arms": [_arm_document(role.metric, arm) for arm in arms],
            "comparisons": [
                _comparison_document(reading, level) for reading in readings if reading.role.metric is role.metric
            ],
        }
        for role in wanted
    ]


def finite(value: float | None) -> float | None:
    """The value, or None where JSON has no number for it."""
    return value if value is not None and math.isfinite(value) else None


def _arm_document(metric: Metric, arm: ArmTotals) -> dict[str, Json]:
    moments = arm.moments
    value = arm_value(metric, moments)
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
