"""Measure the error rates, coverage and power of every method, and write them as a page.

python benchmarks/error_rates.py --out docs/error-rates.md      (the page, 4,000 runs of each)
python benchmarks/error_rates.py --runs 400 --json              (quick, to standard output)
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
import scipy

from lamella.simulation.error_rates import (
    EFFECT_ARENA,
    UNEQUAL_ARENA,
    Study,
    coverage_and_power,
    false_alarms,
    unequal_false_alarms,
)
from lamella.simulation.rates import FALSE_ALARM, Rate
from lamella.simulation.trials import Arena

SEED = 20_260
SMALL_ARENA = Arena(units=2_000, share=0.05, days=1)

HEAD = """# Error rates, as measured

Written by `make error-rates`: {runs:,} simulated experiments a table, seed {seed}, NumPy {numpy}, SciPy {scipy};
{minutes:.0f} minutes on one core of a machine that did other work too. The same seed gives the same figures.

Each experiment has readers who arrive evenly over its days and come again. Pages a reader are log-normal with log-sd
1.0, ten items a page; every reader has a click rate of their own, Beta(2, 48), and a reading pace of their own. 70 % of
them were there before, for an equally long time. Variants are drawn for each reader. Every method works on the same
readers, through the public functions of `lamella.stats`. The interval is the exact 95 % Monte-Carlo interval of the
rate. "Agrees" means that chance explains the distance from what is promised, at a false-alarm rate of {alarm:g}.
"""

UNEQUAL_NOTE = """A mean of counts as skewed as these needs far more than 1,000 readers in the smaller arm before
Welch's test holds its level: with equal arms the skewness cancels, with unequal ones it does not. Cap extreme values,
or test the ratio."""

TEXTS = {
    "False alarms": """## False alarms in A/A experiments

{units:,} readers, half in each arm, {days} days; two-sided 5 % unless said otherwise. Looks of the group-sequential
plans are at the ends of days 3, 6, 9, 12 and 14. The last rows promise nothing: a Bayesian reading has no rule for
stopping, and a fixed test that is looked at every day is what the other methods are there to replace.
""",
    "False alarms, unequal arms": """## Unequal arms: {treated:,} of {units:,} readers

{note}
""",
    "Coverage": """## Coverage of intervals

{units:,} readers, {days} days, a planted lift of {lift:.2%}: how often an interval at 95 % holds the truth.
""",
    "Power": """## Power, beside what was planned

The same experiments. The lift is the one that the planner says {units:,} readers find in 80 % of the cases at a fixed
horizon; the other promises are the planner's too, for the price of five looks and for what CUPED leaves of the
variance. A plan takes both arms to vary as control does; a lift of a click rate makes the treatment vary a little more,
so "about" means within 3 percentage points.
""",
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, help="the page to write")
    parser.add_argument("--json", action="store_true", help="print every figure as JSON")
    asked = parser.parse_args(arguments)
    began = time.perf_counter()
    studies = measured(asked.runs, asked.seed)
    minutes = (time.perf_counter() - began) / 60
    if asked.json:
        sys.stdout.buffer.write(orjson.dumps([each.document() for each in studies], option=orjson.OPT_INDENT_2))
    if asked.out is not None:
        asked.out.write_text(page(studies, asked.runs, asked.seed, minutes), encoding="utf-8")
    return 0 if all(rate.agrees is not False for study in studies for rate in study.rates) else 1


def measured(runs: int, seed: int) -> list[Study]:
    """Every study, with a line on standard error as it is done."""
    studies: list[Study] = []
    for made in (
        lambda: [false_alarms(Arena(), runs=runs, seed=seed)],
        lambda: [unequal_false_alarms(UNEQUAL_ARENA, runs=runs, seed=seed)],
        lambda: [unequal_false_alarms(SMALL_ARENA, runs=runs, seed=seed)],
        lambda: [*coverage_and_power(EFFECT_ARENA, runs=runs, seed=seed)],
    ):
        studies += made()
        print(f"done: {studies[-1].title}", file=sys.stderr)
    return studies


def page(studies: Sequence[Study], runs: int, seed: int, minutes: float) -> str:
    """The whole page."""
    head = HEAD.format(
        runs=runs, seed=seed, numpy=np.__version__, scipy=scipy.__version__, minutes=minutes, alarm=FALSE_ALARM
    )
    return "\n".join([head, *(_section(each) for each in studies)])


def _section(study: Study) -> str:
    arena = study.arena
    treated = round(arena.units * arena.share)
    note = UNEQUAL_NOTE if treated >= 500 else "Too small for normal tails: measured, and nothing is promised."
    text = TEXTS[study.title].format(units=arena.units, days=arena.days, lift=arena.lift, treated=treated, note=note)
    lines = [text, "| method | measured | Monte-Carlo interval | promised | agrees |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(_row(rate) for rate in study.rates), ""])


def _row(rate: Rate) -> str:
    low, high = rate.interval
    level = rate.nominal.level
    promised = "–" if level is None else f"{rate.nominal.promise.value} {level:.1%}".removeprefix("exact ")
    agrees = {True: "yes", False: "**no**", None: "–"}[rate.agrees]
    return f"| {rate.name} | {rate.share:.2%} | {low:.2%} to {high:.2%} | {promised} | {agrees} |"


if __name__ == "__main__":
    sys.exit(main())
