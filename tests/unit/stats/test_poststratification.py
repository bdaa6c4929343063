import numpy as np
import pytest

from lamella.errors import InvalidInput
from lamella.stats.estimates import Estimate, difference
from lamella.stats.poststratification import poststratified
from lamella.stats.undefined import Reason


def estimate(n, value, variance):
    return Estimate(n=n, value=value, variance=variance)


STRATA = {
    "phone": (estimate(300, 1.0, 0.01), estimate(300, 1.2, 0.02)),
    "desktop": (estimate(120, 3.0, 0.04), estimate(80, 3.6, 0.05)),
}


def test_by_hand():
    found = poststratified(STRATA)
    assert found.value == pytest.approx(0.75 * 0.2 + 0.25 * 0.6)
    assert found.standard_error == pytest.approx((0.75**2 * 0.03 + 0.25**2 * 0.09) ** 0.5)


def test_known_shares_replace_the_measured_ones():
    found = poststratified(STRATA, shares={"phone": 0.5, "desktop": 0.5})
    assert found.value == pytest.approx(0.4)


def test_one_stratum_is_the_plain_difference():
    pair = STRATA["phone"]
    found, plain = poststratified({"all": pair}), difference(*pair)
    assert found.p == pytest.approx(plain.p)
    assert found.df == pytest.approx(plain.df)


def test_it_removes_the_spread_between_strata():
    rng = np.random.default_rng(1)
    arms = []
    for _ in range(2):
        stratum = rng.random(4000) < 0.3
        arms.append((stratum, rng.normal(np.where(stratum, 10.0, 0.0), 1.0)))

    def of(values):
        return estimate(len(values), values.mean(), values.var(ddof=1) / len(values))

    strata = {str(key): tuple(of(values[mask == key]) for mask, values in arms) for key in (True, False)}
    plain = difference(*(of(values) for _, values in arms))
    assert poststratified(strata).standard_error < plain.standard_error / 3


def test_thin_strata_are_undefined_and_unknown_shares_refused():
    thin = {"tv": (estimate(1, 1.0, 0.1), estimate(9, 1.0, 0.1))}
    assert poststratified(thin).reason is Reason.TOO_FEW_UNITS
    flat = {"all": (estimate(5, 1.0, 0.0), estimate(9, 1.0, 0.0))}
    assert poststratified(flat).reason is Reason.ZERO_VARIANCE
    assert poststratified({}).reason is Reason.ZERO_VARIANCE
    with pytest.raises(InvalidInput, match="strata"):
        poststratified(STRATA, shares={"phone": 1.0})
