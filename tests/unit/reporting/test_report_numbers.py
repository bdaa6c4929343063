import math
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.reporting import numbers
from lamella.reporting.view import Interval

P_VALUES = st.floats(0, 1) | st.floats(-40, 0).map(lambda power: 10.0**power)
NUMBERS = st.floats(-1e12, 1e12) | st.floats(allow_nan=False, allow_infinity=False)


@given(P_VALUES)
def test_a_p_value_is_never_shown_as_zero(p):
    shown = numbers.p_value(p)
    assert shown == "< 1e-16" or float(shown.removeprefix("> ")) > 0


@given(P_VALUES.filter(lambda p: p < 1))
def test_a_p_value_below_one_is_never_shown_as_one(p):
    assert float(numbers.p_value(p).lstrip("<> ")) < 1


@given(P_VALUES.filter(lambda p: 1e-16 <= p < 0.99))
def test_a_shown_p_value_is_within_five_percent_of_the_real_one(p):
    assert float(numbers.p_value(p)) == pytest.approx(p, rel=0.0501)


@given(P_VALUES, P_VALUES)
def test_a_smaller_p_value_is_never_shown_as_larger(one, other):
    low, high = (float(numbers.p_value(p).lstrip("<> ")) for p in sorted((one, other)))
    assert low <= high * 1.0000001 or (max(one, other) < 1e-16)


@pytest.mark.parametrize(
    ("p", "shown"),
    [(0.0123, "0.012"), (0.0, "< 1e-16"), (1e-300, "< 1e-16"), (3.2e-9, "3.2e-9"), (0.99999, "> 0.99"), (1.0, "1")],
)
def test_p_values_read_as_people_write_them(p, shown):
    assert numbers.p_value(p) == shown


def test_a_p_value_just_below_five_percent_does_not_read_as_five_percent():
    assert numbers.p_value(0.0496) == "0.0496"
    assert numbers.p_value(0.0504) == "0.0504"


def test_a_missing_number_is_a_dash_and_not_zero():
    assert {numbers.p_value(None), numbers.share(None), numbers.count(None), numbers.amount(None, "count")} == {"–"}


@given(NUMBERS, st.integers(0, 8))
def test_a_number_that_rounds_to_zero_has_no_sign(number, places):
    shown = numbers.fixed(number, places, signed=True)
    assert re.fullmatch(r"0(\.0+)?", shown) or shown[0] in "+−"


@given(NUMBERS)
def test_every_finite_share_can_be_shown(number):
    assert numbers.share(number, signed=True).endswith("%")
    assert numbers.lift(number, Interval(low=None, high=number)).endswith("%")


def test_a_lift_is_shown_to_the_digits_that_its_interval_justifies():
    assert numbers.lift(0.05237, Interval(low=0.02, high=0.084)) == "+5.2%"
    assert numbers.lift(0.05237, Interval(low=0.0511, high=0.0533)) == "+5.24%"
    assert numbers.lift(-0.5, Interval(low=-3.0, high=2.0)) == "−50.0%"


@pytest.mark.parametrize(
    ("interval", "en", "zh"),
    [
        (Interval(low=0.021, high=0.084), "+2.1% to +8.4%", "+2.1% 至 +8.4%"),
        (Interval(low=-0.12, high=None), "−12.0% to ∞ (no upper limit)", "−12.0% 至 ∞（无上限）"),
        (Interval(low=None, high=0.12), "−∞ to +12.0% (no lower limit)", "−∞ 至 +12.0%（无下限）"),
        (Interval(low=None, high=None), "−∞ to ∞ (no limit on either side)", "−∞ 至 ∞（两侧均无界）"),
    ],
)
def test_a_side_without_a_limit_is_said_in_words(interval, en, zh):
    assert numbers.lift_interval(interval, "en", around=0.1) == en
    assert numbers.lift_interval(interval, "zh", around=0.1) == zh


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=4))
def test_values_that_differ_by_one_percent_are_told_apart(values):
    places = numbers.shared_places(values, "count")
    for one in values:
        for other in values:
            if abs(one - other) > 0.01 * max(values) and abs(one - other) > 1e-5:
                assert numbers.fixed(one, places) != numbers.fixed(other, places)


def test_units_stand_behind_the_number():
    assert numbers.amount(0.0412, "share") == "4.12%"
    assert numbers.amount(184.03, "seconds") == "184\u00a0s"
    assert numbers.amount(2.37, "count") == "2.37"
    assert numbers.count(10_012) == "10,012"


def test_a_chosen_share_has_no_trailing_zeros():
    assert [numbers.round_share(share) for share in (0.05, 0.025, 0.3, 0.0)] == ["5%", "2.5%", "30%", "0%"]


def test_an_undefined_number_says_why():
    assert numbers.undefined("zero_variance", "en") == "not defined: zero variance"
    assert numbers.undefined("zero_variance", "zh") == "无定义：方差为零"
    assert numbers.undefined("a_new_reason", "en") == "not defined: a new reason"


def test_times_carry_their_zone():
    assert numbers.moment(datetime(2026, 3, 2, 8, tzinfo=UTC)) == "2026-03-02 08:00 UTC"
    assert "UTC+08:00" in numbers.moment(datetime(2026, 3, 2, 8, tzinfo=timezone(timedelta(hours=8))))


def test_short_runs_are_counted_in_hours():
    assert numbers.days(1 / 24, "en") == "1.0 h"
    assert numbers.days(14, "en") == "14 days"


@given(NUMBERS, st.integers(1, 4))
def test_decimals_are_few_and_never_negative(size, significant):
    assert 0 <= numbers.decimals(size, significant=significant) <= 8
    assert numbers.decimals(math.inf, significant=significant) == 0
