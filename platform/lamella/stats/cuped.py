"""Variance reduction by what was known before the experiment (CUPED), for means and ratios."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lamella.stats.estimates import Estimate
from lamella.stats.means import mean
from lamella.stats.moments import Moments
from lamella.stats.ratios import Form, pooled_ratio, ratio_pair, suitable_form
from lamella.stats.undefined import Reason, Undefined

Weights = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjusted:
    """Both arms' estimates after adjustment, the coefficient of each covariate, and what it gained.

    `variance_reduction` is the share of the difference's variance that went away; below 0 where it grew.
    """

    control: Estimate
    treatment: Estimate
    coefficients: tuple[float, ...]
    variance_reduction: float


def adjusted_means(
    control: Moments, treatment: Moments, column: str, covariates: Sequence[str]
) -> Adjusted | Undefined:
    """The means of `column`, adjusted by the covariates: y - θ·(x - mean(x)), θ = S_xx⁻¹ s_xy within both arms.

    With θ within the arms the difference is the least-squares coefficient of the arm beside the covariates. A
    covariate that never varies is left out. Undefined (missing_covariate) if none varies or one is NaN.
    Source: Deng, Xu, Kohavi and Walker, WSDM 2013.

    >>> names = ("clicks", "pre_clicks")
    >>> control = Moments.from_rows(names, [[1, 1], [2, 2], [3, 4]])
    >>> treatment = Moments.from_rows(names, [[2, 1], [4, 2], [5, 5]])
    >>> round(adjusted_means(control, treatment, "clicks", ["pre_clicks"]).coefficients[0], 3)
    0.65
    """
    one, other = mean(control, column), mean(treatment, column)
    if isinstance(one, Undefined):
        return one
    if isinstance(other, Undefined):
        return other
    known: list[Weights] = [{name: 1.0} for name in covariates]
    outcome: Weights = {column: 1.0}
    return _adjust(_Side(control, one, outcome), _Side(treatment, other, outcome), known)


def adjusted_ratios(
    control: Moments,
    treatment: Moments,
    numerator: str,
    denominator: str,
    covariates: Sequence[str | tuple[str, str]],
    *,
    form: Form | None = None,
) -> Adjusted | Undefined:
    """The ratios, adjusted: numerator and denominator linearised to one value per unit, then as for means.

    A covariate is a column, or a pair (numerator, denominator) that is linearised at its ratio over both arms;
    a unit without any such traffic then stands at the mean. `form` as in `ratio_pair`. Undefined as `ratio` and
    `adjusted_means`. Source: Deng, Knoblich and Lu, KDD 2018, section 3; Deng et al., WSDM 2013.

    >>> names = ("clicks", "shown", "before", "shown_before")
    >>> control = Moments.from_rows(names, [[1, 10, 2, 12], [0, 4, 0, 5], [3, 6, 2, 5], [1, 9, 1, 8]])
    >>> treatment = Moments.from_rows(names, [[2, 10, 1, 9], [1, 4, 1, 6], [3, 6, 2, 6], [2, 7, 0, 4]])
    >>> found = adjusted_ratios(control, treatment, "clicks", "shown", [("before", "shown_before")])
    >>> round(found.variance_reduction, 2)
    0.71
    """
    form = form or suitable_form(control, treatment)
    one, other = ratio_pair(control, treatment, numerator, denominator, form=form)
    if isinstance(one, Undefined):
        return one
    if isinstance(other, Undefined):
        return other
    pooled = pooled_ratio(control, treatment, numerator, denominator)
    if isinstance(pooled, Undefined):
        return pooled
    sides = []
    for arm, estimate in ((control, one), (treatment, other)):
        scale = arm.mean_of(denominator)
        at = pooled if form is Form.SCORE else estimate.value
        sides.append(_Side(arm, estimate, {numerator: 1.0 / scale, denominator: -at / scale}))
    return _adjust(sides[0], sides[1], [_covariate(control, treatment, each) for each in covariates])


def with_missing_indicator(covariate: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The covariate (n,) with its NaN filled by the mean of the rest, and the indicator (n,) of what was known.

    Use both as covariates: no unit is dropped. All NaN gives zeros.

    >>> filled, known = with_missing_indicator([1.0, float("nan"), 3.0])
    >>> filled.tolist(), known.tolist()
    ([1.0, 2.0, 3.0], [1.0, 0.0, 1.0])
    """
    values = np.asarray(covariate, dtype=np.float64)
    is_known = np.isfinite(values)
    fill = float(values[is_known].mean()) if is_known.any() else 0.0
    return np.where(is_known, values, fill), is_known.astype(np.float64)


@dataclass(frozen=True, slots=True)
class _Side:
    """One arm, its raw estimate, and the outcome of a unit as a weighted sum of columns."""

    arm: Moments
    raw: Estimate
    outcome: Weights


def _covariate(control: Moments, treatment: Moments, covariate: str | tuple[str, str]) -> Weights:
    """A covariate as a weighted sum of columns; a pair without any denominator is its numerator alone."""
    if isinstance(covariate, str):
        return {covariate: 1.0}
    above, below = covariate
    pooled = pooled_ratio(control, treatment, above, below)
    if isinstance(pooled, Undefined):
        return {above: 1.0}
    scale = (control.sum_of(below) + treatment.sum_of(below)) / (control.n + treatment.n)
    return {above: 1.0 / scale, below: -pooled / scale}


def _adjust(control: _Side, treatment: _Side, covariates: Sequence[Weights]) -> Adjusted | Undefined:
    named = {f"covariate {index}": weights for index, weights in enumerate(covariates)}
    one, other = (side.arm.project({"outcome": side.outcome} | named) for side in (control, treatment))
    within = one.cross + other.cross
    if not (np.isfinite(within).all() and np.isfinite(one.mean + other.mean).all()):
        return Undefined(Reason.MISSING_COVARIATE, "a covariate is NaN for some unit; fill it and add an indicator")
    coefficients = _coefficients(within)
    if coefficients is None:
        return Undefined(Reason.MISSING_COVARIATE, "no covariate differs between units")
    centre = (one.n * one.mean + other.n * other.mean) / (one.n + other.n)
    adjusted = []
    for side, moments in ((control, one), (treatment, other)):
        weights = np.concatenate(([1.0], -coefficients))
        shift = float(coefficients @ (moments.mean - centre)[1:])
        spread = float(weights @ moments.cross @ weights)
        variance = spread / (moments.n - 1) / moments.n if moments.n > 1 else math.nan
        adjusted.append(Estimate(n=moments.n, value=side.raw.value - shift, variance=max(variance, 0.0)))
    before = control.raw.variance + treatment.raw.variance
    after = adjusted[0].variance + adjusted[1].variance
    return Adjusted(
        control=adjusted[0],
        treatment=adjusted[1],
        coefficients=tuple(float(each) for each in coefficients),
        variance_reduction=1.0 - after / before if before > 0.0 else 0.0,
    )


def _coefficients(within: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """θ from the centred products (outcome first), on the correlation scale so that units of measure play no part.

    None where no covariate varies; covariates that repeat others share their weight.
    """
    spread = np.sqrt(np.diag(within)[1:])
    varies = spread > 0.0
    if not varies.any():
        return None
    scale = np.where(varies, spread, 1.0)
    correlation = within[1:, 1:] / np.outer(scale, scale)
    slopes = np.linalg.pinv(correlation, rcond=1e-10, hermitian=True) @ (within[1:, 0] / scale)
    result: NDArray[np.float64] = np.where(varies, slopes / scale, 0.0)
    return result
