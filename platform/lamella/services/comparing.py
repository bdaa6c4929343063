"""The comparison of every metric of a plan between the arms, judged by the plan's standard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lamella.experiments.model import AnalysisPlan
from lamella.metrics.definitions import METRICS, Direction, Metric, find_metric
from lamella.stats.cuped import Adjusted, adjusted_means, adjusted_ratios
from lamella.stats.estimates import Estimate
from lamella.stats.means import mean
from lamella.stats.moments import Moments
from lamella.stats.multiplicity import Correction, correction_named
from lamella.stats.noninferiority import NonInferiority, noninferiority
from lamella.stats.ratios import Form, ratio, ratio_pair, suitable_form
from lamella.stats.standard import Earlier, Judged, Pair, Standard, judge_family
from lamella.stats.undefined import Reason, Undefined

EarlierBy = Mapping[tuple[str, str, bool], Earlier]
EstimatesBy = Mapping[tuple[str, str], Estimate | Undefined]
"""By metric and variant: what no moments tell, such as a quantile."""
MomentsBy = Mapping[str, Mapping[str, Moments]]
"""By metric and variant: the moments of metrics that have columns of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A metric and what it is for: primary, guardrail (with its margin), secondary or exploratory."""

    metric: Metric
    role: str
    margin: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One metric of one treatment beside control. `test` names how the variance was found.

    `adjusted` is None where the plan asks for no covariate, and undefined where there was none to use.
    """

    role: Role
    variant: str
    test: str
    control: Estimate | Undefined
    treatment: Estimate | Undefined
    raw: Judged | Undefined
    adjusted_pair: Adjusted | Undefined | None
    adjusted: Judged | Undefined | None

    @property
    def used(self) -> Judged | Undefined:
        """What the verdict rests on: the adjusted comparison where there is one."""
        return self.adjusted if isinstance(self.adjusted, Judged) else self.raw

    @property
    def used_pair(self) -> Pair:
        """The estimates under `used`."""
        if isinstance(self.adjusted, Judged) and isinstance(self.adjusted_pair, Adjusted):
            return self.adjusted_pair.control, self.adjusted_pair.treatment
        return self.control, self.treatment


def roles(plan: AnalysisPlan, metrics: Mapping[str, Metric] = METRICS) -> tuple[Role, ...]:
    """Every one of `metrics` once, in the order primary, guardrails, secondary, then all others as exploratory.

    Raises NotFound for a metric of the plan that does not exist.
    """
    found = {plan.primary_metric: Role(metric=find_metric(plan.primary_metric, metrics), role="primary")}
    for guardrail in plan.guardrails:
        role = Role(metric=find_metric(guardrail.metric, metrics), role="guardrail", margin=guardrail.margin)
        found.setdefault(guardrail.metric, role)
    for key in plan.secondary_metrics:
        found.setdefault(key, Role(metric=find_metric(key, metrics), role="secondary"))
    for key, metric in metrics.items():
        found.setdefault(key, Role(metric=metric, role="exploratory"))
    return tuple(found.values())


def arm_value(metric: Metric, arm: Moments) -> Estimate | Undefined:
    """The metric in one arm alone."""
    own = _columns(metric, arm, with_covariates=False)
    return mean(own, "numerator") if metric.denominator is None else ratio(own, "numerator", "denominator")


def compare(
    wanted: Sequence[Role],
    control: Moments,
    treatments: Mapping[str, Moments],
    standard: Standard,
    *,
    correction: str = "holm",
    with_covariates: bool = False,
    earlier: EarlierBy | None = None,
    estimates: EstimatesBy | None = None,
    own: MomentsBy | None = None,
    control_key: str = "",
    beside: Sequence[Metric] = (),
) -> tuple[Reading, ...]:
    """One reading for each metric and treatment.

    The primary's comparisons are one family, those of all secondary metrics another; guardrails and exploratory
    metrics are judged one by one, uncorrected. `earlier` holds the always-valid results so far by metric,
    variant and whether they are adjusted. Where `estimates` know a metric, its moments are not looked at; `own` holds
    moments that stand for the arms' where a metric has some. `control_key` is the variant under which both know the
    control. The past of the metrics `beside` adjusts every metric that has no columns of its own. A metric whose
    computation fails is undefined (failed); the others are not touched.
    """
    rows = [
        _known(role, variant, found)
        if (found := _estimated(role, control_key, variant, estimates or {})) is not None
        else _tried(
            role,
            variant,
            (own_moments(role.metric, control_key, control, own), own_moments(role.metric, variant, arm, own)),
            with_covariates=with_covariates,
            beside=beside,
        )
        for role in wanted
        for variant, arm in treatments.items()
    ]
    chosen = correction_named(correction)
    raw = _judged(rows, standard, chosen, earlier or {}, adjusted=False)
    adjusted = _judged(rows, standard, chosen, earlier or {}, adjusted=True)
    return tuple(map(_reading, rows, raw, adjusted))


def guardrail_test(reading: Reading, standard: Standard) -> NonInferiority | Undefined:
    """Whether the guardrail is no worse than its margin, one-sided at half the level of this look's interval."""
    one, other = reading.used_pair
    if isinstance(one, Undefined):
        return one
    if isinstance(other, Undefined):
        return other
    return noninferiority(
        one,
        other,
        margin=reading.role.margin or 0.0,
        higher_is_better=reading.role.metric.direction is Direction.INCREASE,
        alpha=standard.nominal(standard.alpha, one.n + other.n) / 2.0,
    )


@dataclass(frozen=True, slots=True)
class _Row:
    role: Role
    variant: str
    test: str
    raw: Pair
    adjusted: Adjusted | Undefined | None

    def pair(self, *, adjusted: bool) -> Pair:
        if not adjusted:
            return self.raw
        if isinstance(self.adjusted, Adjusted):
            return self.adjusted.control, self.adjusted.treatment
        missing = self.adjusted or Undefined(Reason.MISSING_COVARIATE, "the plan asks for no covariate")
        return missing, missing


def _reading(row: _Row, raw: Judged | Undefined, adjusted: Judged | Undefined) -> Reading:
    return Reading(
        role=row.role,
        variant=row.variant,
        test=row.test,
        control=row.raw[0],
        treatment=row.raw[1],
        raw=raw,
        adjusted_pair=row.adjusted,
        adjusted=adjusted if isinstance(row.adjusted, Adjusted) else row.adjusted,
    )


def _estimated(role: Role, control: str, variant: str, known: EstimatesBy) -> Pair | None:
    """The estimates of control and the variant, where both are known besides all moments."""
    one, other = known.get((role.metric.key, control)), known.get((role.metric.key, variant))
    return None if one is None or other is None else (one, other)


def _known(role: Role, variant: str, pair: Pair) -> _Row:
    return _Row(role, variant, "quantile", pair, None)


def own_moments(metric: Metric, variant: str, arm: Moments, own: MomentsBy | None) -> Moments:
    """The moments of the variant in which the metric is found: its own where it has some, else the arm's."""
    if metric.declared_kind is None:
        return arm
    held = (own or {}).get(metric.key, {})
    columns = next(iter(held.values())).columns if held else metric.columns
    return held.get(variant) or Moments.empty(columns)


def _tried(
    role: Role, variant: str, arms: tuple[Moments, Moments], *, with_covariates: bool, beside: Sequence[Metric]
) -> _Row:
    """What was measured; a failure costs this metric its figures and no other one."""
    try:
        is_adjusted = with_covariates and _has_past(role.metric, arms)
        others = [] if role.metric.columns_are_own else [each for each in beside if each.key != role.metric.key]
        return _measured(role, variant, *arms, with_covariates=is_adjusted, beside=others)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one metric must not cost the others theirs
        failed = failure(error)
        return _Row(role, variant, "failed", (failed, failed), failed if with_covariates else None)


def failure(error: Exception) -> Undefined:
    """The reason that stands for a fault in the computation of one metric."""
    return Undefined(Reason.FAILED, f"the computation failed: {type(error).__name__}: {str(error)[:200]}")


def _has_past(metric: Metric, arms: tuple[Moments, Moments]) -> bool:
    """A declared metric without any units, or one that was read without its past, has no columns for it."""
    return metric.declared_kind is None or all("has_pre" in each.columns for each in arms)


def _measured(
    role: Role,
    variant: str,
    control: Moments,
    arm: Moments,
    *,
    with_covariates: bool,
    beside: Sequence[Metric] = (),
) -> _Row:
    metric = role.metric
    one, other = (_columns(metric, each, with_covariates=with_covariates, beside=beside) for each in (control, arm))
    further = [f"further_{place}" for place, _ in enumerate(beside)]
    adjusted: Adjusted | Undefined | None = None
    if metric.denominator is None:
        test, raw = "welch", (mean(one, "numerator"), mean(other, "numerator"))
        if with_covariates:
            adjusted = adjusted_means(
                one, other, "numerator", metric.covariates or ["pre_numerator", "has_pre", *further]
            )
        return _Row(role, variant, test, raw, adjusted)
    form = suitable_form(one, other)
    test = "delta" if form is Form.DELTA else "score"
    raw_pair = ratio_pair(one, other, "numerator", "denominator", form=form)
    if with_covariates:
        before = "pre_numerator" if metric.covariate_denominator is None else ("pre_numerator", "pre_denominator")
        covariates = metric.covariates or [before, "has_pre", *further]
        adjusted = adjusted_ratios(one, other, "numerator", "denominator", covariates, form=form)
    return _Row(role, variant, test, raw_pair, adjusted)


def _columns(metric: Metric, arm: Moments, *, with_covariates: bool, beside: Sequence[Metric] = ()) -> Moments:
    """The arm's moments in terms of the metric: numerator, denominator and their covariates."""
    wanted: dict[str, Mapping[str, float]] = {"numerator": dict.fromkeys(metric.numerator, 1.0)}
    if metric.denominator is not None:
        wanted["denominator"] = {metric.denominator: 1.0}
    if with_covariates and metric.covariates:
        wanted |= {name: {name: 1.0} for name in metric.covariates}
    elif with_covariates:
        wanted["pre_numerator"] = dict.fromkeys(metric.covariate_numerator, 1.0)
        if metric.covariate_denominator is not None:
            wanted["pre_denominator"] = {metric.covariate_denominator: 1.0}
        wanted["has_pre"] = {"has_pre": 1.0}
        for place, each in enumerate(beside):
            wanted[f"further_{place}"] = dict.fromkeys(each.covariate_numerator, 1.0)
    return arm.project(wanted)


def _judged(
    rows: Sequence[_Row], standard: Standard, correction: Correction, earlier: EarlierBy, *, adjusted: bool
) -> list[Judged | Undefined]:
    """Every row's comparison, each judged within its family."""
    families: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        role = row.role.role
        family = role if role in ("primary", "secondary") else f"{role} {row.role.metric.key} {row.variant}"
        families.setdefault(family, []).append(index)
    found: dict[int, Judged | Undefined] = {}
    for members in families.values():
        pairs = [rows[index].pair(adjusted=adjusted) for index in members]
        before = [earlier.get((rows[index].role.metric.key, rows[index].variant, adjusted)) for index in members]
        try:
            judged = judge_family(pairs, standard, correction=correction, earlier=before)
        except Exception as error:  # noqa: BLE001 - as above, for a family
            judged = (failure(error),) * len(members)
        found.update(zip(members, judged, strict=True))
    return [found[index] for index in range(len(rows))]
