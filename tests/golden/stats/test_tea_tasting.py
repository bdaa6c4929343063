"""Our numbers beside those of tea-tasting 1.14, which were written down by it on the same seeded readers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamella.stats import (
    Form,
    Moments,
    adjusted_means,
    adjusted_ratios,
    compare_ratios,
    difference,
    sample_ratio,
    welch,
)

COLUMNS = ("clicks", "shown", "pre_clicks", "pre_shown")
CASES = json.loads((Path(__file__).parent / "tea_tasting.json").read_text("utf-8"))["cases"]


def arms(case: dict[str, Any]) -> tuple[Moments, Moments]:
    """The readers of a case, drawn as they were for tea-tasting."""
    rng = np.random.default_rng(case["seed"])
    units = case["control"] + case["treatment"]
    variant = np.r_[np.zeros(case["control"], int), np.ones(case["treatment"], int)]
    shown, rate = np.ceil(np.exp(rng.normal(1.5, 1.0, units))), rng.beta(1, 20, units)
    clicks = rng.binomial(shown.astype(int), np.minimum(rate * (1 + case["lift"] * variant), 1))
    before = np.ceil(np.exp(rng.normal(1.5, 1.0, units)))
    rows = np.column_stack([clicks, shown, rng.binomial(before.astype(int), rate), before])
    return Moments.from_rows(COLUMNS, rows[variant == 0]), Moments.from_rows(COLUMNS, rows[variant == 1])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_means_and_ratios_agree_to_ten_digits(case):
    control, treatment = arms(case)
    for name, ours in (
        ("mean", welch(control, treatment, "clicks")),
        ("ratio", compare_ratios(control, treatment, "clicks", "shown", form=Form.DELTA)),
    ):
        theirs = case["found"][name]
        assert ours.value == pytest.approx(theirs["effect_size"], rel=1e-10)
        assert (ours.low, ours.high) == pytest.approx(
            (theirs["effect_size_ci_lower"], theirs["effect_size_ci_upper"]), rel=1e-10
        )
        assert ours.p == pytest.approx(theirs["pvalue"], rel=1e-9)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_adjusted_comparisons_agree_up_to_where_the_coefficient_is_estimated(case):
    """Theirs takes θ over all units, ours within the arms: the same up to the square of the arms' difference."""
    control, treatment = arms(case)
    ratios = adjusted_ratios(control, treatment, "clicks", "shown", [("pre_clicks", "pre_shown")], form=Form.DELTA)
    for name, ours in (
        ("mean_cuped", adjusted_means(control, treatment, "clicks", ["pre_clicks"])),
        ("ratio_cuped", ratios),
    ):
        theirs = case["found"][name]
        found = difference(ours.control, ours.treatment)
        error = (theirs["effect_size_ci_upper"] - theirs["effect_size_ci_lower"]) / 4
        assert found.value == pytest.approx(theirs["effect_size"], abs=0.05 * error)
        assert found.high - found.low == pytest.approx(4 * error, rel=0.02)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_sample_ratio_agrees_where_their_normal_approximation_holds(case):
    ours = sample_ratio({"a": case["control"], "b": case["treatment"]}, {"a": 1, "b": 1})
    assert ours.p == pytest.approx(case["found"]["srm"]["pvalue"], abs=0.02)
