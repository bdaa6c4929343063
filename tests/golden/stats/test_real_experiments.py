"""Real experiments: a sample ratio that was broken for half a year, and 381 series that were looked at every day.

Where the data are from, and under which licence: tests/data/NOTICE.txt.
"""

import lzma
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lamella.stats import Difference, Estimate, boundaries, difference, sample_ratio, sequential_sample_ratio

DATA = Path(__file__).parents[2] / "data"
SERIES = ["experiment", "variant", "metric"]


@pytest.fixture(scope="module")
def tests():
    """One row a test of the archive: its week, and what finds its arms' sizes wrong; arms had equal weights."""
    with lzma.open(DATA / "upworthy_arm_sizes.csv.xz", "rt", encoding="utf-8") as file:
        frame = pd.read_csv(file)
    sizes = [dict(enumerate(map(int, each.split()))) for each in frame["impressions"]]
    named = [{str(arm): size for arm, size in each.items()} for each in sizes]
    return frame.assign(
        is_flagged=[not sample_ratio(each, dict.fromkeys(each, 1)).is_sound for each in named],
        is_flagged_sequentially=[sequential_sample_ratio([each], dict.fromkeys(each, 1)) < 0.001 for each in named],
    )


def test_the_archives_faulty_period_is_flagged_and_the_weeks_after_it_are_not(tests):
    """Measured: 707 of 1,011 tests, 69.9 %; after it 7 of 3,432, 0.20 %.

    Before it 10 of 339, 2.9 %, and in week 201325, which is not among those published as faulty, 28 of 47.
    """
    is_faulty = tests["week"].between(201326, 201401)
    assert len(tests) == 4873
    assert tests.loc[is_faulty, "is_flagged"].mean() == pytest.approx(0.70, abs=0.01)
    assert tests.loc[tests["week"] > 201402, "is_flagged"].mean() == pytest.approx(0.002, abs=0.001)
    before = tests[tests["week"] < 201326]
    assert before.loc[before["week"] == 201325, "is_flagged"].mean() > 0.5
    assert before.loc[before["week"] < 201325, "is_flagged"].mean() < 0.035


def test_the_sequential_form_finds_fewer_of_the_faulty_tests(tests):
    """Measured: 520 of the 707."""
    faulty = tests[tests["week"].between(201326, 201401)]
    found = int((faulty["is_flagged"] & faulty["is_flagged_sequentially"]).sum())
    assert (int(faulty["is_flagged"].sum()), found) == (707, 520)


@pytest.fixture(scope="module")
def series():
    """Every series of checkpoints with a variance: days and z-statistics."""
    frame = pd.read_parquet(DATA / "asos_checkpoints.parquet").dropna()
    parts = {}
    for arm in ("c", "t"):
        units = frame[f"units_{arm}"].astype(float)
        value = frame[f"mean_{arm}_millionths"].astype(float) / 1e6
        variance = frame[f"variance_{arm}_millionths"].astype(float) / 1e6 / units
        parts[arm] = [Estimate(n=int(n), value=m, variance=v) for n, m, v in zip(units, value, variance, strict=True)]
    found = [difference(one, other) for one, other in zip(parts["c"], parts["t"], strict=True)]
    frame = frame.assign(z=[each.z if isinstance(each, Difference) else 0.0 for each in found])
    return [(each["day"].to_numpy(float), each["z"].to_numpy()) for _, each in frame.groupby(SERIES)]


def at_five_looks(days, z):
    """The z-statistics and boundaries of the default plan, at the first checkpoint at or after each fifth."""
    at = sorted({int(np.searchsorted(days, days[-1] * look / 5 - 1e-9)) for look in range(1, 6)})
    return np.abs(z[at]), np.array(boundaries(tuple(days[at] / days[-1])))


def test_a_fixed_test_looked_at_daily_calls_most_series_significant_and_the_default_plan_does_not(series):
    """Measured: at 1.96, 59.1 % at some checkpoint, 27.6 % at the end, 31.5 % at some but not at the end.

    The default plan's five looks: 29.7 % at some look, 27.0 % at the last, 2.6 % at some look but not at the last.
    """
    assert len(series) == 381
    ever = np.array([(np.abs(z) > 1.96).any() for _, z in series])
    last = np.array([abs(z[-1]) > 1.96 for _, z in series])
    assert ever.mean() == pytest.approx(0.591, abs=0.005)
    assert last.mean() == pytest.approx(0.276, abs=0.005)
    assert (ever & ~last).mean() == pytest.approx(0.315, abs=0.005)
    looked = [at_five_looks(*each) for each in series]
    crossed = np.array([(z >= limit).any() for z, limit in looked])
    held = np.array([z[-1] >= limit[-1] for z, limit in looked])
    assert crossed.mean() == pytest.approx(0.297, abs=0.005)
    assert (crossed & ~held).mean() == pytest.approx(0.026, abs=0.005)
