"""How often something happened in repeated simulations, with what chance alone would make of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from scipy.stats import binomtest

from lamella.experiments.model import Json

FALSE_ALARM: Final = 0.001
"""How often a rate is said not to agree although it does."""


class Promise(StrEnum):
    """What a nominal rate is: the rate itself, a bound on it, or about it (within 0.03, for plans that approximate)."""

    EXACT = "exact"
    AT_MOST = "at most"
    AT_LEAST = "at least"
    ABOUT = "about"


_NEAR: Final = 0.03
_Side = Literal["two-sided", "less", "greater"]
_SIDES: Final[Mapping[Promise, _Side]] = {Promise.AT_MOST: "greater", Promise.AT_LEAST: "less"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Nominal:
    """What a rate should be; `level` None promises nothing."""

    level: float | None = None
    promise: Promise = Promise.EXACT


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """`hits` of `runs` of a thing that should happen as often as `nominal` says."""

    name: str
    hits: int
    runs: int
    nominal: Nominal

    @property
    def share(self) -> float:
        """The measured rate."""
        return self.hits / self.runs

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95 % Monte-Carlo interval of the rate (Clopper and Pearson, 1934)."""
        found = binomtest(self.hits, self.runs).proportion_ci(0.95, method="exact")
        return float(found.low), float(found.high)

    @property
    def agrees(self) -> bool | None:
        """Whether chance explains the rate, at a false-alarm rate of 0.001; None where nothing is promised."""
        level = self.nominal.level
        if level is None:
            return None
        if self.nominal.promise is Promise.ABOUT:
            level = min(max(self.share, level - _NEAR), level + _NEAR, 1.0)
        side: _Side = _SIDES.get(self.nominal.promise, "two-sided")
        return float(binomtest(self.hits, self.runs, level, alternative=side).pvalue) > FALSE_ALARM

    def document(self) -> dict[str, Json]:
        """All of it as JSON."""
        low, high = self.interval
        return {
            "name": self.name,
            "hits": self.hits,
            "runs": self.runs,
            "rate": self.share,
            "interval": [low, high],
            "nominal": self.nominal.level,
            "promise": None if self.nominal.level is None else self.nominal.promise.value,
            "agrees": self.agrees,
        }


def tally(findings: Iterable[Mapping[str, bool | None]], nominal: Mapping[str, Nominal]) -> tuple[Rate, ...]:
    """The rates of everything that the runs found, in the order of `nominal`; None in a run counts for nothing."""
    hits = dict.fromkeys(nominal, 0)
    runs = dict.fromkeys(nominal, 0)
    for found in findings:
        for name, value in found.items():
            if value is not None:
                hits[name] += bool(value)
                runs[name] += 1
    return tuple(
        Rate(name=name, hits=hits[name], runs=runs[name], nominal=each) for name, each in nominal.items() if runs[name]
    )
