"""What stands where a statistic has no answer: `Undefined`, with a stable reason code."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a statistic has no value."""

    ZERO_VARIANCE = "zero_variance"
    TOO_FEW_UNITS = "too_few_units"
    TOO_FEW_ARMS = "too_few_arms"
    ZERO_BASELINE = "zero_baseline"
    NO_DENOMINATOR = "no_denominator"
    MISSING_COVARIATE = "missing_covariate"
    NOT_FINITE = "not_finite"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Undefined:
    """No answer, and why: a code for programs and a sentence for people.

    >>> Undefined(Reason.TOO_FEW_UNITS, "control has 1 unit; 2 are needed").reason.value
    'too_few_units'
    """

    reason: Reason
    detail: str
