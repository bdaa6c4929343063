import math

import pytest
from scipy import stats

from lamella.errors import InvalidInput
from lamella.stats.tails import (
    critical_value,
    log10_two_sided_p,
    log10_upper_tail,
    normal_equivalent,
    two_sided_p,
    upper_tail,
)


@pytest.mark.parametrize("statistic", [-3.0, 0.0, 0.5, 2.0, 8.3, 30.0])
@pytest.mark.parametrize("df", [1.0, 4.2, 100.0, 1e6, math.inf])
def test_tails_agree_with_scipy(statistic, df):
    assert upper_tail(statistic, df) == pytest.approx(stats.t.sf(statistic, df), rel=1e-9)


def test_a_p_value_at_t_8_point_3_is_not_0():
    assert 0.0 < two_sided_p(8.3) < 1.1e-16


@pytest.mark.parametrize(("statistic", "df"), [(37.0, 1e6), (36.0, 3000.0), (500.0, 100.0), (1e12, 20.0)])
def test_the_logarithm_joins_the_p_value_where_both_are_in_range(statistic, df):
    assert log10_two_sided_p(statistic, df) == pytest.approx(math.log10(2 * stats.t.sf(statistic, df)), rel=1e-12)


def test_the_logarithm_goes_on_below_the_range_of_floats():
    # For large t the Student tail is C(df)·t^-df with C = df^(df/2 - 1)·Γ((df+1)/2) / (√π·Γ(df/2)) · √df/√df.
    df, statistic = 40.0, 1e30
    log_c = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(math.pi) + (df / 2 - 1) * math.log(df)
    expected = (log_c - df * math.log(statistic)) / math.log(10)
    assert two_sided_p(statistic, df) == 0.0
    assert log10_upper_tail(statistic, df) == pytest.approx(expected, rel=1e-10)


def test_the_continued_fraction_agrees_with_the_normal_limit():
    assert log10_upper_tail(60.0, 1e12) == pytest.approx(log10_upper_tail(60.0), rel=1e-6)


@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-6, 1e-20])
@pytest.mark.parametrize("df", [3.0, 50.0, math.inf])
def test_critical_values_are_the_inverse(alpha, df):
    assert two_sided_p(critical_value(alpha, df), df) == pytest.approx(alpha, rel=1e-8)


def test_the_normal_equivalent_has_the_same_p_value():
    assert normal_equivalent(log10_two_sided_p(5.0)) == pytest.approx(5.0)
    assert normal_equivalent(log10_two_sided_p(90.0)) == pytest.approx(90.0)
    assert normal_equivalent(0.0) == pytest.approx(0.0)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_a_level_outside_0_to_1_is_refused(alpha):
    with pytest.raises(InvalidInput, match="alpha"):
        critical_value(alpha)
