"""Statistics on sufficient statistics: every test is algebra on the `Moments` of each arm.

Pure and useful alone: it needs NumPy and SciPy, nothing else of the product. What has no answer is an `Undefined`
with its reason, never p = 1. All names of `__all__` can be imported from here; each is loaded, with SciPy, when it is
first asked for, because a web process that only carries `Moments` about shall not pay for SciPy.

>>> from lamella.stats import Moments, compare_ratios
>>> names = ("clicks", "impressions")
>>> control = Moments.from_rows(names, [[1, 10], [0, 4], [3, 6], [1, 9]])
>>> treatment = Moments.from_rows(names, [[2, 10], [1, 4], [3, 6], [2, 7]])
>>> round(compare_ratios(control, treatment, *names).p, 3)
0.321
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lamella.stats.bayes import (
        Binomial,
        Chance,
        Posterior,
        beta_binomial_best,
        beta_binomial_chance,
        normal_chance,
        normal_posterior,
    )
    from lamella.stats.confidence_sequence import (
        always_valid_critical,
        always_valid_p,
        mixture_variance,
    )
    from lamella.stats.confidence_sequence import (
        confidence_sequence as always_valid_difference,
    )
    from lamella.stats.cuped import Adjusted, adjusted_means, adjusted_ratios, with_missing_indicator
    from lamella.stats.estimates import Difference, Estimate, difference
    from lamella.stats.evidence import Check, Contender, Decision, GuardrailReading, Progress, Question, Safety, Verdict
    from lamella.stats.exact import ExactSums
    from lamella.stats.heterogeneity import Heterogeneity, interaction
    from lamella.stats.heterogeneity import heterogeneity as heterogeneity_test
    from lamella.stats.jackknife import jackknife as jackknife_estimate
    from lamella.stats.lift import Lift, Shape, fieller
    from lamella.stats.means import mean, welch
    from lamella.stats.moments import Moments
    from lamella.stats.multiplicity import Correction, adjusted_p, implied_level, rejected_count, step_levels
    from lamella.stats.noninferiority import (
        Equivalence,
        NonInferiority,
        equivalence,
    )
    from lamella.stats.noninferiority import (
        noninferiority as noninferiority_test,
    )
    from lamella.stats.poststratification import poststratified
    from lamella.stats.power import (
        Baseline,
        Design,
        adjusted_baseline,
        baseline,
        days_needed,
        detectable_lift,
        power_at,
        units_needed,
    )
    from lamella.stats.quantiles import clustered_quantile, quantile_from_counts, quantile_ranks
    from lamella.stats.ratios import Form, compare_ratios, linearised, pooled_ratio, ratio, ratio_pair, suitable_form
    from lamella.stats.sequential import Crossing, Spending, boundaries, crossing, inflation, spent
    from lamella.stats.srm import SampleRatio, sample_ratio, sequential_sample_ratio
    from lamella.stats.standard import Earlier, Judged, Method, Standard, judge_family
    from lamella.stats.tails import critical_value, two_sided_p
    from lamella.stats.undefined import Reason, Undefined
    from lamella.stats.verdict import decide, judge
    from lamella.stats.winsorising import Winsorised, pooled_cap, winsorise

_HOMES: Final = {
    "bayes": (
        "Binomial",
        "Chance",
        "Posterior",
        "beta_binomial_best",
        "beta_binomial_chance",
        "normal_chance",
        "normal_posterior",
    ),
    "confidence_sequence": (
        "always_valid_critical",
        "always_valid_p",
        "always_valid_difference",
        "mixture_variance",
    ),
    "cuped": (
        "Adjusted",
        "adjusted_means",
        "adjusted_ratios",
        "with_missing_indicator",
    ),
    "estimates": (
        "Difference",
        "Estimate",
        "difference",
    ),
    "evidence": (
        "Check",
        "Contender",
        "Decision",
        "GuardrailReading",
        "Progress",
        "Question",
        "Safety",
        "Verdict",
    ),
    "exact": ("ExactSums",),
    "heterogeneity": (
        "Heterogeneity",
        "heterogeneity_test",
        "interaction",
    ),
    "jackknife": ("jackknife_estimate",),
    "lift": (
        "Lift",
        "Shape",
        "fieller",
    ),
    "means": (
        "mean",
        "welch",
    ),
    "moments": ("Moments",),
    "multiplicity": (
        "Correction",
        "adjusted_p",
        "implied_level",
        "rejected_count",
        "step_levels",
    ),
    "noninferiority": (
        "Equivalence",
        "NonInferiority",
        "equivalence",
        "noninferiority_test",
    ),
    "poststratification": ("poststratified",),
    "power": (
        "Baseline",
        "Design",
        "adjusted_baseline",
        "baseline",
        "days_needed",
        "detectable_lift",
        "power_at",
        "units_needed",
    ),
    "quantiles": (
        "clustered_quantile",
        "quantile_from_counts",
        "quantile_ranks",
    ),
    "ratios": (
        "Form",
        "compare_ratios",
        "linearised",
        "pooled_ratio",
        "ratio",
        "ratio_pair",
        "suitable_form",
    ),
    "sequential": (
        "Crossing",
        "Spending",
        "boundaries",
        "crossing",
        "inflation",
        "spent",
    ),
    "srm": (
        "SampleRatio",
        "sample_ratio",
        "sequential_sample_ratio",
    ),
    "standard": (
        "Earlier",
        "Judged",
        "Method",
        "Standard",
        "judge_family",
    ),
    "tails": (
        "critical_value",
        "two_sided_p",
    ),
    "undefined": (
        "Reason",
        "Undefined",
    ),
    "verdict": (
        "decide",
        "judge",
    ),
    "winsorising": (
        "Winsorised",
        "pooled_cap",
        "winsorise",
    ),
}
# A function that is called like its module would hide it.
_OWN_NAMES: Final = {
    "always_valid_difference": "confidence_sequence",
    "heterogeneity_test": "heterogeneity",
    "jackknife_estimate": "jackknife",
    "noninferiority_test": "noninferiority",
}
_MODULES: Final = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Adjusted",
    "Baseline",
    "Binomial",
    "Chance",
    "Check",
    "Contender",
    "Correction",
    "Crossing",
    "Decision",
    "Design",
    "Difference",
    "Earlier",
    "Equivalence",
    "Estimate",
    "ExactSums",
    "Form",
    "GuardrailReading",
    "Heterogeneity",
    "Judged",
    "Lift",
    "Method",
    "Moments",
    "NonInferiority",
    "Posterior",
    "Progress",
    "Question",
    "Reason",
    "Safety",
    "SampleRatio",
    "Shape",
    "Spending",
    "Standard",
    "Undefined",
    "Verdict",
    "Winsorised",
    "adjusted_baseline",
    "adjusted_means",
    "adjusted_p",
    "adjusted_ratios",
    "always_valid_critical",
    "always_valid_difference",
    "always_valid_p",
    "baseline",
    "beta_binomial_best",
    "beta_binomial_chance",
    "boundaries",
    "clustered_quantile",
    "compare_ratios",
    "critical_value",
    "crossing",
    "days_needed",
    "decide",
    "detectable_lift",
    "difference",
    "equivalence",
    "fieller",
    "heterogeneity_test",
    "implied_level",
    "inflation",
    "interaction",
    "jackknife_estimate",
    "judge",
    "judge_family",
    "linearised",
    "mean",
    "mixture_variance",
    "noninferiority_test",
    "normal_chance",
    "normal_posterior",
    "pooled_cap",
    "pooled_ratio",
    "poststratified",
    "power_at",
    "quantile_from_counts",
    "quantile_ranks",
    "ratio",
    "ratio_pair",
    "rejected_count",
    "sample_ratio",
    "sequential_sample_ratio",
    "spent",
    "step_levels",
    "suitable_form",
    "two_sided_p",
    "units_needed",
    "welch",
    "winsorise",
    "with_missing_indicator",
]


def __getattr__(name: str) -> object:
    """The public name, from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), _OWN_NAMES.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, and what else a module has."""
    return sorted({*globals(), *__all__})
