"""The short form of the study of error rates; `make error-rates` is the long one."""

from pathlib import Path

import numpy as np
import pytest

from lamella.errors import InvalidInput
from lamella.simulation.crowd import draw_crowd
from lamella.simulation.error_rates import (
    Arena,
    coverage_and_power,
    false_alarms,
    planned_powers,
    unequal_false_alarms,
    usable_arena,
)
from lamella.simulation.rates import Nominal, Promise, Rate, tally
from lamella.simulation.trials import A_A, ADVICE, COVERAGE, POWERS, UNEQUAL
from lamella.simulation.whole_path import WholePath

SMALL = Arena(units=1_000, days=7)


def test_every_method_holds_its_level_on_unequal_readers_and_daily_looks():
    """100 runs of 16 methods, each allowed a chance of 0.001 to be outside: false-alarm rate about 0.01."""
    study = false_alarms(SMALL, runs=100, seed=3)
    assert [each.name for each in study.rates] == [*A_A, *ADVICE]
    assert not [each.name for each in study.rates if each.agrees is False]
    peeked = study.rates[-1]
    assert peeked.share > 0.08


def test_unequal_arms_hold_their_level_too():
    """50 runs of 5 methods; false-alarm rate about 0.005."""
    study = unequal_false_alarms(Arena(units=10_000, share=0.06, days=1), runs=50, seed=3)
    assert not [each.name for each in study.rates if each.agrees is False]


def test_intervals_cover_the_planted_lift_and_it_is_found_as_often_as_planned():
    """50 runs; the lift of the default is large for few readers, so power is a little below its plan."""
    covered, powers = coverage_and_power(Arena(units=4_000, days=5), runs=50, seed=3)
    assert [each.name for each in covered.rates] == list(COVERAGE)
    assert [each.name for each in powers.rates] == list(POWERS)
    assert not [each.name for each in (*covered.rates, *powers.rates) if each.agrees is False]


def test_the_plan_promises_80_percent_and_more_with_cuped():
    planned = planned_powers(Arena(units=10_000), seed=1)
    assert planned.fixed == pytest.approx(0.8)
    assert planned.sequential == pytest.approx(0.79, abs=0.005)
    assert planned.adjusted > 0.85


def test_the_same_seed_gives_the_same_figures():
    one, other = (false_alarms(Arena(units=200, days=5), runs=5, seed=9).document() for _ in range(2))
    assert one == other
    assert one != false_alarms(Arena(units=200, days=5), runs=5, seed=10).document()


def test_a_crowd_is_heavy_tailed_and_its_totals_only_grow():
    crowd = draw_crowd(np.random.default_rng(1), 20_000, 7)
    assert (np.diff(crowd.clicks, axis=1) >= 0).all()
    shown = crowd.impressions[:, -1]
    assert np.sort(shown)[-200:].sum() / shown.sum() > 0.05
    moments = crowd.moments(6)
    assert moments.mean_of("clicks") / moments.mean_of("impressions") == pytest.approx(0.04, rel=0.03)
    assert crowd.moments(2).n < moments.n == 20_000


def test_a_rate_agrees_where_chance_explains_it():
    assert Rate(name="x", hits=5, runs=100, nominal=Nominal(level=0.05)).agrees
    assert not Rate(name="x", hits=20, runs=100, nominal=Nominal(level=0.05)).agrees
    assert Rate(name="x", hits=0, runs=1000, nominal=Nominal(level=0.05, promise=Promise.AT_MOST)).agrees
    assert Rate(name="x", hits=99, runs=100, nominal=Nominal(level=0.9, promise=Promise.AT_LEAST)).agrees
    assert Rate(name="x", hits=775, runs=1000, nominal=Nominal(level=0.8, promise=Promise.ABOUT)).agrees
    assert Rate(name="x", hits=7, runs=100, nominal=Nominal()).agrees is None
    low, high = Rate(name="x", hits=0, runs=100, nominal=Nominal()).interval
    assert low == 0.0
    assert high == pytest.approx(0.0362, abs=1e-4)


def test_what_has_no_answer_is_not_counted():
    (rate,) = tally([{"x": True}, {"x": None}, {"x": False}], {"x": Nominal()})
    assert (rate.hits, rate.runs) == (1, 2)


@pytest.mark.parametrize("wrong", [{"units": 3}, {"days": 2}, {"lift": 9.0}])
def test_an_arena_that_measures_nothing_is_refused(wrong):
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        usable_arena(**wrong)
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        WholePath(**wrong)


@pytest.mark.long
def test_verdicts_through_http_store_and_workers_find_what_was_planted(tmp_path):
    """Four experiments at once, lift 60 %, planned power 78 %: all four missed once in 400."""
    from lamella.simulation.whole_path import run_whole_path

    study = run_whole_path(WholePath(runs=4, units=200, lift=0.6), data_dir=tmp_path)
    found, broken = study.rates
    assert found.hits >= 1
    assert broken.hits == 0


def test_the_published_table_has_every_method_and_none_that_breaks_its_promise():
    page = (Path(__file__).parents[3] / "docs" / "error-rates.md").read_text("utf-8")
    assert not [name for name in (*A_A, *ADVICE, *UNEQUAL, *COVERAGE, *POWERS) if f"| {name} |" not in page]
    assert "**no**" not in page
    assert "4,000 simulated experiments" in page
