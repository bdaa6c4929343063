"""One simulated experiment on arrays, judged by every method of `lamella.stats` at once."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import numpy as np

from lamella.simulation.crowd import CLICK_PRIOR, Crowd, draw_crowd
from lamella.simulation.judging import (
    ALPHA,
    AT_THE_END,
    RATIO,
    End,
    adjusted_ratio,
    any_of,
    compared,
    holds,
    is_significant,
    is_sure,
    sizes_are_odd,
    spans,
)
from lamella.simulation.rates import Nominal, Promise
from lamella.stats import (
    Difference,
    Moments,
    Spending,
    Undefined,
    always_valid_difference,
    boundaries,
    difference,
    fieller,
    mean,
    ratio_pair,
    sequential_sample_ratio,
)

DAYS: Final = 14
LOOKS: Final = 5
Findings = dict[str, bool | None]

_EXACT: Final = Nominal(level=ALPHA)
_AT_MOST: Final = Nominal(level=ALPHA, promise=Promise.AT_MOST)
_WINSORISED: Final = "mean, winsorised at the pooled 99 %"
_SPECIAL: Final = {
    "non-inferiority at its margin, one-sided 2.5 %": Nominal(level=ALPHA / 2),
    "equivalence (TOST) at its margin": _AT_MOST,
}
A_A: Final[Mapping[str, Nominal]] = MappingProxyType(
    {
        **{name: _SPECIAL.get(name, _EXACT) for name in AT_THE_END},
        "group sequential, O'Brien-Fleming, 5 looks": _EXACT,
        "group sequential, Pocock, 5 looks": _EXACT,
        "always valid, looked at on each of 14 days": _AT_MOST,
        "Holm over 3 treatments, any of them": _AT_MOST,
        "sample ratio, exact": _AT_MOST,
        "sample ratio, sequential, on each of 14 days": _AT_MOST,
    }
)
ADVICE: Final[Mapping[str, Nominal]] = MappingProxyType(
    {
        "Bayes, chance to win beyond 97.5 %, once": Nominal(),
        "Bayes, chance to win beyond 97.5 %, on any of 14 days": Nominal(),
        "a fixed test at p < 0.05, on any of 14 days": Nominal(),
    }
)
UNEQUAL: Final[Mapping[str, Nominal]] = MappingProxyType(
    {
        "mean, winsorised at the pooled 99 %, 95/5 split": _EXACT,
        "mean, nothing capped, 95/5 split (Welch)": Nominal(),
        "ratio, 95/5 split (score form)": _EXACT,
        "ratio, CUPED, 95/5 split (score form)": _EXACT,
        "sample ratio, 95/5 split": _EXACT,
    }
)
COVERAGE: Final[Mapping[str, Nominal]] = MappingProxyType(
    {
        "lift of a mean (Fieller)": Nominal(level=1.0 - ALPHA),
        "lift of a ratio (Fieller)": Nominal(level=1.0 - ALPHA),
        "lift of a ratio, CUPED (Fieller)": Nominal(level=1.0 - ALPHA),
        "difference of two ratios (delta method)": Nominal(level=1.0 - ALPHA),
        "confidence sequence, right on all of 14 days": Nominal(level=1.0 - ALPHA, promise=Promise.AT_LEAST),
    }
)
POWERS: Final = (
    "fixed horizon",
    "group sequential, O'Brien-Fleming, 5 looks",
    "fixed horizon, CUPED",
    "always valid, on any of 14 days",
)
_CTR: Final = CLICK_PRIOR[0] / sum(CLICK_PRIOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """How large a simulated experiment is: `units` of all arms, the share of the treatment, days, the planted lift."""

    units: int = 2_000
    share: float = 0.5
    days: int = DAYS
    lift: float = 0.0

    @property
    def weights(self) -> dict[str, int]:
        """The promised shares."""
        treated = round(100 * self.share)
        return {"control": 100 - treated, "treatment": treated}

    def draw(self, rng: np.random.Generator) -> tuple[Crowd, Crowd]:
        """Both arms; who is in which is drawn for each reader."""
        treated = min(max(int(rng.binomial(self.units, self.share)), 1), self.units - 1)
        control = draw_crowd(rng, self.units - treated, self.days)
        return control, draw_crowd(rng, treated, self.days, lift=self.lift)


def trial_without_effect(rng: np.random.Generator, arena: Arena) -> Findings:
    """What the methods of `A_A` and `ADVICE` say of one experiment whose arms are the same."""
    control, treatment = arena.draw(rng)
    path = [(control.moments(day), treatment.moments(day)) for day in range(arena.days - 1)]
    path.append((control.moments(arena.days - 1, rng), treatment.moments(arena.days - 1, rng)))
    daily = _daily(path)
    end = End(rng=rng, control=control, treatment=treatment, one=path[-1][0], other=path[-1][1])
    sizes = [
        {"control": int(one), "treatment": int(two)} for one, two in zip(control.sizes, treatment.sizes, strict=True)
    ]
    watched = sequential_sample_ratio(sizes, arena.weights)
    more = [draw_crowd(rng, arena.units // 4, 1).moments(0) for _ in range(4)]
    later = (
        crosses(daily, Spending.OBRIEN_FLEMING),
        crosses(daily, Spending.POCOCK),
        any(is_significant(each) for each in _sequence(path)),
        any_of(more[0], more[1:]),
        sizes_are_odd(sizes[-1], arena.weights),
        None if isinstance(watched, Undefined) else watched < ALPHA,
        is_sure(daily[-1]),
        any(is_sure(each) for each in daily),
        any(is_significant(each) for each in daily),
    )
    found = {name: check(end) for name, check in AT_THE_END.items()}
    return found | dict(zip([name for name in (*A_A, *ADVICE) if name not in found], later, strict=True))


def trial_unequal(rng: np.random.Generator, arena: Arena) -> Findings:
    """What the methods of `UNEQUAL` say of one A/A experiment with a small treatment."""
    control, treatment = arena.draw(rng)
    one, other = control.moments(arena.days - 1), treatment.moments(arena.days - 1)
    values = (
        AT_THE_END[_WINSORISED](End(rng=rng, control=control, treatment=treatment, one=one, other=other)),
        is_significant(difference(mean(one, "clicks"), mean(other, "clicks"))),
        is_significant(difference(*ratio_pair(one, other, *RATIO))),
        is_significant(compared(adjusted_ratio(one, other))),
        sizes_are_odd({"control": one.n, "treatment": other.n}, arena.weights),
    )
    return dict(zip(UNEQUAL, values, strict=True))


def trial_with_effect(rng: np.random.Generator, arena: Arena) -> Findings:
    """Whether the intervals of `COVERAGE` hold the planted lift, and which of the methods of `POWERS` find it."""
    control, treatment = arena.draw(rng)
    path = [(control.moments(day), treatment.moments(day)) for day in range(arena.days)]
    daily, sequence = _daily(path), _sequence(path)
    one, other = path[-1]
    adjusted, gap = adjusted_ratio(one, other), _CTR * arena.lift
    covered = (
        holds(fieller(mean(one, "clicks"), mean(other, "clicks")), arena.lift),
        holds(fieller(*ratio_pair(one, other, *RATIO)), arena.lift),
        None if isinstance(adjusted, Undefined) else holds(fieller(adjusted.control, adjusted.treatment), arena.lift),
        spans(daily[-1], gap),
        not any(spans(each, gap) is False for each in sequence),
    )
    found = (
        is_significant(daily[-1]),
        crosses(daily, Spending.OBRIEN_FLEMING),
        is_significant(compared(adjusted)),
        any(is_significant(each) for each in sequence),
    )
    return dict(zip((*COVERAGE, *POWERS), (*covered, *found), strict=True))


def look_days(days: int, looks: int = LOOKS) -> tuple[int, ...]:
    """The days, counted from 0, at whose end the looks are taken: the first at or after each equal share.

    >>> look_days(14)
    (2, 5, 8, 11, 13)
    """
    return tuple(math.ceil(days * look / looks) - 1 for look in range(1, looks + 1))


def crosses(daily: Sequence[Difference | Undefined], spending: Spending) -> bool:
    """Whether the statistic crosses the boundary at any look of the schedule."""
    looks = zip(look_days(len(daily)), _limits(len(daily), spending), strict=True)
    return any(isinstance(found := daily[day], Difference) and abs(found.z) >= limit for day, limit in looks)


@lru_cache
def _limits(days: int, spending: Spending) -> tuple[float, ...]:
    return boundaries([(day + 1) / days for day in look_days(days)], spending=spending)


def _daily(path: Sequence[tuple[Moments, Moments]]) -> list[Difference | Undefined]:
    return [difference(*ratio_pair(one, other, *RATIO)) for one, other in path]


def _sequence(path: Sequence[tuple[Moments, Moments]]) -> list[Difference | Undefined]:
    return [always_valid_difference(*ratio_pair(one, other, *RATIO)) for one, other in path]
