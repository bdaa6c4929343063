"""The error rates of every method, measured: false alarms without an effect, coverage and power with one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from lamella.errors import InvalidInput
from lamella.experiments.model import Json
from lamella.simulation.crowd import draw_crowd
from lamella.simulation.judging import PAST, RATIO
from lamella.simulation.rates import Nominal, Promise, Rate, tally
from lamella.simulation.trials import (
    A_A,
    ADVICE,
    COVERAGE,
    POWERS,
    UNEQUAL,
    Arena,
    Findings,
    trial_unequal,
    trial_with_effect,
    trial_without_effect,
)
from lamella.stats import Design, Undefined, adjusted_baseline, baseline, detectable_lift, inflation, power_at

EFFECT_ARENA: Final = Arena(units=10_000)
UNEQUAL_ARENA: Final = Arena(units=20_000, share=0.05, days=1)
_PILOT_UNITS: Final = 200_000
_LARGE_ARM: Final = 500
Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The rates of one question, and what was simulated."""

    title: str
    arena: Arena
    runs: int
    seed: int
    rates: tuple[Rate, ...]

    def document(self) -> dict[str, Json]:
        """All of it as JSON."""
        return {
            "title": self.title,
            "units": self.arena.units,
            "treatment_share": self.arena.share,
            "days": self.arena.days,
            "lift": self.arena.lift,
            "runs": self.runs,
            "seed": self.seed,
            "rates": [each.document() for each in self.rates],
        }


def false_alarms(arena: Arena, *, runs: int, seed: int, progress: Progress = lambda _: None) -> Study:
    """How often each method calls two equal arms different."""
    check_runs(runs)
    found = _repeated(trial_without_effect, arena, runs, seed, progress)
    rates = tally(found, {**A_A, **ADVICE})
    return Study(title="False alarms", arena=arena, runs=runs, seed=seed, rates=rates)


def unequal_false_alarms(arena: Arena, *, runs: int, seed: int, progress: Progress = lambda _: None) -> Study:
    """The same where one arm holds a small share; below 500 readers there nothing is promised, it is only measured."""
    check_runs(runs)
    found = _repeated(trial_unequal, arena, runs, seed, progress)
    is_large = arena.units * min(arena.share, 1.0 - arena.share) >= _LARGE_ARM
    rates = tally(found, UNEQUAL if is_large else dict.fromkeys(UNEQUAL, Nominal()))
    return Study(title="False alarms, unequal arms", arena=arena, runs=runs, seed=seed, rates=rates)


def coverage_and_power(
    arena: Arena, *, runs: int, seed: int, progress: Progress = lambda _: None
) -> tuple[Study, Study]:
    """How often intervals hold the planted lift, and how often it is found beside what the planner promised.

    An arena without a lift gets the one that a fixed horizon should find in 80 % of the runs.
    """
    check_runs(runs)
    planned = planned_powers(arena, seed=seed)
    arena = replace(arena, lift=planned.lift)
    found = list(_repeated(trial_with_effect, arena, runs, seed, progress))
    covered = [{name: each[name] for name in COVERAGE} for each in found]
    powers = [{name: each[name] for name in POWERS} for each in found]
    nominal = dict(zip(POWERS, (planned.fixed, planned.sequential, planned.adjusted, None), strict=True))
    shown = {name: Nominal(level=level, promise=Promise.ABOUT) for name, level in nominal.items()}
    return (
        Study(title="Coverage", arena=arena, runs=runs, seed=seed, rates=tally(covered, COVERAGE)),
        Study(title="Power", arena=arena, runs=runs, seed=seed, rates=tally(powers, shown)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The lift that is planted, and the power that the planner promises at it."""

    lift: float
    fixed: float
    sequential: float
    adjusted: float


def planned_powers(arena: Arena, *, seed: int) -> Planned:
    """What `lamella.stats.power` says before the runs, from a large pilot sample of readers without a treatment."""
    pilot = draw_crowd(np.random.default_rng((seed, 7)), _PILOT_UNITS, arena.days).moments(arena.days - 1)
    raw, adjusted = baseline(pilot, *RATIO), adjusted_baseline(pilot, RATIO[0], PAST, denominator=RATIO[1])
    fixed = Design()
    lift = arena.lift or detectable_lift(raw, arena.units, fixed) if not isinstance(raw, Undefined) else raw
    if isinstance(raw, Undefined) or isinstance(adjusted, Undefined) or isinstance(lift, Undefined):
        raise InvalidInput("the pilot sample has no baseline")
    powers = (
        power_at(raw, arena.units, lift, fixed),
        power_at(raw, arena.units, lift, replace(fixed, inflation=inflation(5))),
        power_at(adjusted, arena.units, lift, fixed),
    )
    one, two, three = (float("nan") if isinstance(each, Undefined) else each for each in powers)
    return Planned(lift=lift, fixed=one, sequential=two, adjusted=three)


def check_runs(runs: int) -> None:
    """Nothing for a usable number of runs. Raises InvalidInput."""
    if not 1 <= runs <= 1_000_000:
        raise InvalidInput(f"runs is {runs}; it must lie between 1 and 1,000,000")


def _repeated(
    trial: Callable[[np.random.Generator, Arena], Findings], arena: Arena, runs: int, seed: int, progress: Progress
) -> Iterator[Findings]:
    """The findings of every run, each with randomness of its own."""
    for run in range(runs):
        progress(run / runs)
        yield trial(np.random.default_rng((seed, run)), arena)


def usable_arena(*, units: int | None = None, days: int | None = None, lift: float | None = None) -> Arena:
    """The arena with what was given. Raises InvalidInput for one in which nothing can be measured."""
    given = {name: value for name, value in (("units", units), ("days", days)) if value is not None}
    arena = Arena(**given, lift=lift or 0.0)
    faults = []
    if not 40 <= arena.units <= 1_000_000:
        faults.append(f"units is {arena.units}; it must lie between 40 and 1,000,000")
    if not 5 <= arena.days <= 365:
        faults.append(f"days is {arena.days}; it must lie between 5 and 365, for five looks need five days")
    if not -0.9 <= arena.lift <= 5.0:
        faults.append(f"lift is {arena.lift:g}; it must lie between -0.9 and 5")
    if faults:
        raise InvalidInput(*faults)
    return arena
