"""What must hold before a verdict: the sample ratio, no crossing, equal fallbacks, equal pasts, enough days."""

from collections.abc import Mapping, Sequence
from typing import Final

from lamella.metrics.definitions import Metric
from lamella.services.ports import ArmTotals
from lamella.stats.estimates import Difference, difference
from lamella.stats.evidence import MINIMUM_DAYS, Check
from lamella.stats.means import welch
from lamella.stats.moments import Moments
from lamella.stats.ratios import Form, ratio_pair
from lamella.stats.srm import THRESHOLD, sample_ratio
from lamella.stats.undefined import Undefined

# Ours, stricter than the 1 % that is common in practice: assignment is deterministic, so crossing is never normal.
MOST_CROSSED: Final = 0.005


def checks(
    totals: Sequence[ArmTotals],
    weights: Mapping[str, int],
    *,
    control: str,
    primary: Metric,
    past: Mapping[str, Moments] | None = None,
    covariate_days: int,
    elapsed_days: float,
    minimum_days: float,
) -> tuple[Check, ...]:
    """Every check, in a fixed order; each has its own sentence. All of them block the verdict when they fail.

    `past` holds the moments of a primary metric that has columns of its own.
    """
    return (
        _sample_ratio(totals, weights),
        _crossed(totals),
        _fallbacks(totals, control),
        _pre_period(_pasts(totals, past), control, primary, covariate_days),
        _minimum_days(elapsed_days, minimum_days),
    )


def _sample_ratio(totals: Sequence[ArmTotals], weights: Mapping[str, int]) -> Check:
    """The arms as they are now, whatever earlier reports found: a block by chance passes with the readers who come.

    So looks are not paid for here. The sequential form pays for them and misses a quarter of the real mismatches that
    this one finds, and a verdict over a broken split costs more than one that waits.
    """
    found = sample_ratio({each.variant: each.moments.n for each in totals}, weights)
    if isinstance(found, Undefined):
        return _check("sample_ratio", f"The sample ratio was not tested: {found.detail}.", passed=None)
    if found.misplaced:
        detail = f"Units were exposed to {', '.join(found.misplaced)}, which has weight 0."
        return _check("sample_ratio", detail, passed=found.is_sound, p=found.p)
    sizes = ", ".join(f"{each.variant} {each.moments.n}" for each in totals)
    verb = "agree" if found.is_sound else "do not agree"
    detail = f"The units of the arms ({sizes}) {verb} with the weights (p = {found.p:.2g}, limit {THRESHOLD})."
    return _check("sample_ratio", detail, passed=found.is_sound, p=found.p)


def _crossed(totals: Sequence[ArmTotals]) -> Check:
    crossed = sum(each.crossed for each in totals)
    everybody = crossed + sum(each.moments.n for each in totals)
    if not everybody:
        return _check("crossed_units", "No unit was exposed yet.", passed=None)
    share = crossed / everybody
    detail = f"{crossed} of {everybody} units ({share:.2%}) saw more than one variant (limit {MOST_CROSSED:.1%})."
    return _check("crossed_units", detail, passed=share <= MOST_CROSSED)


def _fallbacks(totals: Sequence[ArmTotals], control: str) -> Check:
    """The share of slates that fell back, over units, in the score form; the smallest p times the treatments."""
    name = "fallbacks"
    arms = {each.variant: each.moments for each in totals if each.moments.n and each.moments.sum_of("slates")}
    others = [variant for variant in arms if variant != control]
    if control not in arms or not others:
        return _check(name, "Fewer than two arms have slates.", passed=None)
    shares = {key: arm.sum_of("fallback_slates") / arm.sum_of("slates") for key, arm in arms.items()}
    listed = ", ".join(f"{key} {share:.2%}" for key, share in shares.items())
    if len(set(shares.values())) == 1:
        return _check(name, f"The share of slates that fell back is the same in all arms ({listed}).", passed=True)
    tested = [
        difference(*ratio_pair(arms[control], arms[key], "fallback_slates", "slates", form=Form.SCORE))
        for key in others
    ]
    # Undefined here means that the shares differ and no unit does within its arm: nothing differs more clearly.
    p = min(1.0, len(others) * min(0.0 if isinstance(each, Undefined) else each.p for each in tested))
    verb = "agrees" if p >= THRESHOLD else "differs"
    detail = f"The share of slates that fell back {verb} between the arms ({listed}; p = {p:.2g}, limit {THRESHOLD})."
    return _check(name, detail, passed=p >= THRESHOLD, p=p)


def _pasts(totals: Sequence[ArmTotals], past: Mapping[str, Moments] | None) -> dict[str, Moments]:
    """The moments by variant that say something about the time before."""
    if past is None:
        return {each.variant: each.moments for each in totals}
    return {variant: each for variant, each in past.items() if "has_pre" in each.columns}


def _pre_period(arms: Mapping[str, Moments], control: str, primary: Metric, covariate_days: int) -> Check:
    """Has anybody's past to do with their arm? The smallest p over arms and figures, times their number."""
    name = "pre_period"
    if not covariate_days:
        return _check(name, "The plan looks at no time before the experiment.", passed=None)
    p: list[float] = []
    for variant, arm in arms.items():
        if variant != control and control in arms:
            p += [each.p for each in _past(arms[control], arm, primary) if isinstance(each, Difference)]
    if not p:
        return _check(name, "There is no traffic before the experiment to compare.", passed=None)
    smallest = min(1.0, min(p) * len(p))
    verb = "agree" if smallest >= THRESHOLD else "differ"
    detail = (
        f"The arms {verb} in {primary.label} and in who was there before the experiment "
        f"(p = {smallest:.2g}, limit {THRESHOLD})."
    )
    return _check(name, detail, passed=smallest >= THRESHOLD, p=smallest)


def _past(control: Moments, arm: Moments, primary: Metric) -> tuple[Difference | Undefined, ...]:
    if primary.covariates:
        return tuple(welch(control, arm, name) for name in primary.covariates)
    below = primary.covariate_denominator
    wanted = {"numerator": dict.fromkeys(primary.covariate_numerator, 1.0), "has_pre": {"has_pre": 1.0}}
    if below is not None:
        wanted["denominator"] = {below: 1.0}
    one, other = control.project(wanted), arm.project(wanted)
    seen = welch(one, other, "has_pre")
    if below is None:
        return seen, welch(one, other, "numerator")
    return seen, difference(*ratio_pair(one, other, "numerator", "denominator"))


def _minimum_days(elapsed_days: float, minimum_days: float) -> Check:
    detail = f"The experiment has run for {elapsed_days:.1f} of at least {minimum_days:g} days."
    return _check(MINIMUM_DAYS, detail, passed=elapsed_days >= minimum_days)


def _check(name: str, detail: str, *, passed: bool | None, p: float | None = None) -> Check:
    return Check(check=name, passed=passed, blocking=True, p=p, detail=detail)
