import numpy as np
import pytest

from lamella.errors import InvalidInput
from lamella.stats.winsorising import pooled_cap, winsorise


def test_every_arm_has_the_same_cap_from_all_arms_together():
    one, other = np.arange(100.0), np.arange(100.0) * 10
    found = winsorise([one, other], quantile=0.9)
    assert found.cap == np.quantile(np.concatenate([one, other]), 0.9)
    assert found.arms[0].max() == 99.0
    assert found.arms[1].max() == found.cap


def test_it_agrees_with_a_clip_at_the_pooled_quantile():
    values = np.random.default_rng(1).gamma(1.0, 3.0, 500)
    np.testing.assert_array_equal(
        winsorise([values], quantile=0.95).arms[0], values.clip(max=np.quantile(values, 0.95))
    )


def test_zeros_may_stay_out_of_the_quantile_and_nan_always_does():
    assert pooled_cap([[0.0, 0.0, 1.0, 3.0, float("nan")]], quantile=0.5, ignore_zeros=True) == 2.0


def test_no_values_have_no_cap():
    assert pooled_cap([]) == float("inf")
    assert pooled_cap([[0.0]], ignore_zeros=True) == float("inf")


def test_a_quantile_outside_0_to_1_is_refused():
    with pytest.raises(InvalidInput, match="quantile"):
        winsorise([[1.0]], quantile=1.5)
