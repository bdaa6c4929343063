import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from lamella.errors import InvalidInput
from lamella.stats.multiplicity import (
    Correction,
    adjusted_p,
    correction_named,
    implied_level,
    rejected_count,
    step_levels,
)

STATSMODELS = {
    Correction.BONFERRONI: "bonferroni",
    Correction.HOLM: "holm",
    Correction.HOCHBERG: "simes-hochberg",
    Correction.BENJAMINI_HOCHBERG: "fdr_bh",
    Correction.BENJAMINI_YEKUTIELI: "fdr_by",
}


@pytest.mark.parametrize("correction", STATSMODELS)
@pytest.mark.parametrize("seed", range(20))
def test_adjusted_values_and_rejections_agree_with_statsmodels(correction, seed):
    p = np.random.default_rng(seed).random(7) ** 3
    reject, expected, _, _ = multipletests(p, alpha=0.1, method=STATSMODELS[correction])
    found = adjusted_p(list(p), correction)
    assert found == pytest.approx(expected)
    levels = step_levels(7, alpha=0.1, correction=correction)
    assert rejected_count(list(p), levels, correction=correction) == reject.sum()
    level = implied_level(list(p), alpha=0.1, correction=correction)
    assert [value < level for value in p] == list(reject)


def test_without_correction_nothing_moves():
    assert adjusted_p([0.2, 0.01], Correction.NONE) == (0.2, 0.01)
    assert implied_level([0.2, 0.01], correction=Correction.NONE) == 0.05


def test_one_hypothesis_needs_no_correction():
    for correction in Correction:
        assert adjusted_p([0.04], correction) == (0.04,)
        assert implied_level([0.04], correction=correction) == 0.05


def test_no_hypotheses_give_none_and_the_whole_level():
    assert adjusted_p([]) == ()
    assert implied_level([]) == 0.05


def test_a_value_that_is_no_probability_is_refused():
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(InvalidInput, match="leave undefined ones out"):
            adjusted_p([0.1, p])
    with pytest.raises(InvalidInput, match="no correction 'sidak'"):
        correction_named("sidak")
