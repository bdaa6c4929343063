"""What each method says at the end of one simulated experiment: a false alarm, a miss, or nothing to say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from lamella.simulation.crowd import Crowd
from lamella.stats import (
    Adjusted,
    Correction,
    Difference,
    Equivalence,
    Estimate,
    Judged,
    Lift,
    Method,
    Moments,
    NonInferiority,
    SampleRatio,
    Standard,
    Undefined,
    adjusted_means,
    adjusted_ratios,
    clustered_quantile,
    difference,
    equivalence,
    judge_family,
    mean,
    noninferiority_test,
    normal_chance,
    normal_posterior,
    poststratified,
    ratio_pair,
    sample_ratio,
    winsorise,
)

ALPHA: Final = 0.05
MARGIN: Final = 0.1
RATIO: Final = ("clicks", "impressions")
PAST: Final = (("pre_clicks", "pre_impressions"), "has_pre")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class End:
    """The last day: both arms, their moments, and randomness for what is drawn only then."""

    rng: np.random.Generator
    control: Crowd
    treatment: Crowd
    one: Moments
    other: Moments


def is_significant(found: Difference | Undefined) -> bool | None:
    """Whether the interval excludes 0; None where there is no answer."""
    return None if isinstance(found, Undefined) else found.is_significant


def spans(found: Difference | Undefined, truth: float) -> bool | None:
    """Whether the interval holds the true difference."""
    return None if isinstance(found, Undefined) else found.low <= truth <= found.high


def holds(found: Lift | Undefined, truth: float) -> bool | None:
    """Whether the set of lifts holds the true one."""
    return None if isinstance(found, Undefined) else found.contains(truth)


def adjusted_ratio(one: Moments, other: Moments) -> Adjusted | Undefined:
    """The ratio after CUPED by the same ratio before, and by who was there before."""
    return adjusted_ratios(one, other, *RATIO, PAST)


def compared(found: Adjusted | Undefined) -> Difference | Undefined:
    """The difference of adjusted arms."""
    return found if isinstance(found, Undefined) else difference(found.control, found.treatment)


def is_sure(found: Difference | Undefined) -> bool | None:
    """Whether a Bayesian with a flat prior is sure, beyond 97.5 %, of either side."""
    if isinstance(found, Undefined):
        return None
    chance = normal_chance(normal_posterior(found.value, found.standard_error)).chance_to_win
    return not ALPHA / 2 <= chance <= 1 - ALPHA / 2


def sizes_are_odd(sizes: Mapping[str, int], weights: Mapping[str, int]) -> bool | None:
    """Whether the sample ratio is rejected at 5 %."""
    found = sample_ratio(sizes, weights)
    return found.p < ALPHA if isinstance(found, SampleRatio) else None


def any_of(control: Moments, treatments: list[Moments]) -> bool:
    """Whether Holm's correction lets any treatment differ from control."""
    pairs = [(mean(control, "clicks"), mean(arm, "clicks")) for arm in treatments]
    judged = judge_family(pairs, Standard(method=Method.FIXED_HORIZON), correction=Correction.HOLM)
    return any(isinstance(each, Judged) and each.is_significant for each in judged)


def _seconds(end: End) -> bool | None:
    return is_significant(difference(mean(end.one, "seconds"), mean(end.other, "seconds")))


def _clicks(end: End) -> bool | None:
    return is_significant(difference(mean(end.one, "clicks"), mean(end.other, "clicks")))


def _winsorised(end: End) -> bool | None:
    capped = winsorise([end.control.clicks[:, -1], end.treatment.clicks[:, -1]], quantile=0.99).arms
    one, other = (mean(Moments.from_rows(("x",), arm[:, None]), "x") for arm in capped)
    return is_significant(difference(one, other))


def _ratio(end: End) -> bool | None:
    return is_significant(difference(*ratio_pair(end.one, end.other, *RATIO)))


def _cuped_mean(end: End) -> bool | None:
    return is_significant(compared(adjusted_means(end.one, end.other, "clicks", ["pre_clicks", "has_pre"])))


def _cuped_ratio(end: End) -> bool | None:
    return is_significant(compared(adjusted_ratio(end.one, end.other)))


def _strata(end: End) -> bool | None:
    strata: dict[str, tuple[Estimate, Estimate]] = {}
    for key in ("new", "known"):
        own = []
        for crowd in (end.control, end.treatment):
            chosen = (crowd.before[:, 1] > 0) == (key == "known")
            found = mean(Moments.from_rows(("x",), crowd.clicks[chosen, -1:]), "x")
            if isinstance(found, Undefined):
                return None
            own.append(found)
        strata[key] = (own[0], own[1])
    return is_significant(poststratified(strata))


def _quantile(end: End) -> bool | None:
    reads = [crowd.reads(crowd.clicks.shape[1] - 1, end.rng) for crowd in (end.control, end.treatment)]
    one, other = (clustered_quantile(values, owner, quantile=0.9) for values, owner in reads)
    return is_significant(difference(one, other))


def _noninferior(end: End) -> bool | None:
    """The treatment is made worse by exactly the margin, so that every pass is an error."""
    worse = end.other.project({"clicks": {"clicks": 1.0 - MARGIN}})
    found = noninferiority_test(mean(end.one, "clicks"), mean(worse, "clicks"), margin=MARGIN, alpha=ALPHA / 2)
    return found.is_noninferior if isinstance(found, NonInferiority) else None


def _equivalent(end: End) -> bool | None:
    """The treatment is made better by exactly the margin, so that every pass is an error."""
    better = end.other.project({"clicks": {"clicks": 1.0 + MARGIN}})
    found = equivalence(mean(end.one, "clicks"), mean(better, "clicks"), margin=MARGIN)
    return found.is_equivalent if isinstance(found, Equivalence) else None


AT_THE_END: Final[Mapping[str, Callable[[End], bool | None]]] = MappingProxyType(
    {
        "mean (Welch)": _clicks,
        "mean of very unequal readers (Welch)": _seconds,
        "mean, winsorised at the pooled 99 %": _winsorised,
        "mean, CUPED": _cuped_mean,
        "mean, post-stratified": _strata,
        "ratio (delta method)": _ratio,
        "ratio, CUPED": _cuped_ratio,
        "90 % quantile of single reads, clustered": _quantile,
        "non-inferiority at its margin, one-sided 2.5 %": _noninferior,
        "equivalence (TOST) at its margin": _equivalent,
    }
)
