"""The oracle: what each arm's true click rate is, from the pages that its parameters really make."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lamella.errors import InvalidInput
from lamella.experiments.model import Json
from lamella.simulation.schedule import Schedule
from lamella.simulation.traffic import PAGES_REMEMBERED, Memory
from lamella.simulation.world import World

Values: TypeAlias = Mapping[str, Json]

_CYCLE: Final = PAGES_REMEMBERED + 1
_TOLERANCE: Final = 0.002
_STEPS: Final = 12
_BRACKETS: Final = ((0.0, 1.0), (0.0, 0.5), (0.5, 1.0), (-0.5, 0.0), (-1.0, -0.5))


class Kitchen(Protocol):
    """Makes a page as the service would: item keys in rank order."""

    def __call__(self, unit: str, values: Values, *, exclude: frozenset[str]) -> Sequence[str]:
        """The page of `unit` under these parameter values; nothing is recorded."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """The parameter values of an experiment's two variants."""

    control: Values
    treatment: Values

    @property
    def are_identical(self) -> bool:
        """Whether both serve the same: then nothing is planted."""
        return dict(self.control) == dict(self.treatment)


@dataclass(frozen=True, eq=False, kw_only=True)
class Oracle:
    """True click rates over a sample of readers, drawn by how often they will come.

    `sample` holds reader indices, `weights` (n, cycle) how the reader's visits fall on the first pages: a reader who
    is not shown what the last three pages showed meets the same four pages in turn, so these stand for all visits.
    """

    world: World
    kitchen: Kitchen
    sample: NDArray[np.intp]
    weights: NDArray[np.float64]
    _known: dict[str, float] = field(default_factory=dict)

    def click_rate(self, values: Values) -> float:
        """The expected clicks an impression when every sampled reader is served under `values`; remembered."""
        name = repr(sorted(values.items()))
        if name not in self._known:
            self._known[name] = self._measure(values)
        return self._known[name]

    def relative_lift(self, experiment: str, arms: Mapping[str, Arms], defaults: Values) -> float:
        """What the treatment of `experiment` does to the click rate, relative to its control.

        The readers of each of its arms are split evenly over the arms of all other experiments, as the layers do it.
        Exactly 0.0 where both arms serve the same.
        """
        if arms[experiment].are_identical:
            return 0.0
        others = [
            [each.control] if each.are_identical else [each.control, each.treatment]
            for key, each in arms.items()
            if key != experiment
        ]
        rates = {True: 0.0, False: 0.0}
        for is_treated, values in ((False, arms[experiment].control), (True, arms[experiment].treatment)):
            for combination in product(*others):
                merged = dict(defaults)
                for each in (*combination, values):
                    merged |= each
                rates[is_treated] += self.click_rate(merged)
        return rates[True] / rates[False] - 1

    def _measure(self, values: Values) -> float:
        clicks = impressions = 0.0
        memory = Memory(len(self.world.readers))
        for reader, weights in zip(self.sample.tolist(), self.weights, strict=True):
            for weight in weights[weights > 0].tolist():
                page = self._page(reader, values, memory)
                clicks += weight * self.world.clicks.expected_clicks(reader, page)
                impressions += weight * len(page)
            memory.forget(reader)
        return clicks / impressions

    def _page(self, reader: int, values: Values, memory: Memory) -> NDArray[np.intp]:
        unit = self.world.readers.units[reader]
        page = tuple(self.kitchen(unit, values, exclude=frozenset(memory.seen_by(reader))))
        memory.remember(reader, page)
        return np.array([self.world.newsroom.index[item] for item in page], dtype=np.intp)


def make_oracle(world: World, schedule: Schedule, kitchen: Kitchen, *, readers: int) -> Oracle:
    """An oracle over `readers` readers, each drawn with a chance proportional to the visits it will make."""
    visits = schedule.visits_of(len(world.readers))
    rng = np.random.default_rng([world.seed, 6])
    sample = np.sort(rng.choice(len(visits), size=readers, p=visits / visits.sum()))
    counted = (visits[sample, None] + np.arange(_CYCLE - 1, -1, -1)) // _CYCLE
    return Oracle(world=world, kitchen=kitchen, sample=sample, weights=counted / visits[sample, None])


def solve_weight(lift_at: Callable[[float], float], wanted: float) -> float:
    """A weight of the treatment's model, -1 to 1, whose true lift is `wanted` to within 0.002; above 0 if one is there.

    Raises InvalidInput with the attainable range where no weight reaches it. `lift_at` is expensive and is asked as
    little as possible.
    """
    known: dict[float, float] = {}

    def at(weight: float) -> float:
        if weight not in known:
            known[weight] = lift_at(weight)
        return known[weight]

    for near, far in _BRACKETS:
        if min(at(near), at(far)) <= wanted <= max(at(near), at(far)):
            return _root(at, wanted, near, far)
    raise InvalidInput(
        f"effect {wanted:g} is more than these models can earn: with this seed and size the ranking treatment's true "
        f"lift in click rate lies between {min(known.values()):+.3f} and {max(known.values()):+.3f}; choose a value in "
        "between"
    )


def _root(lift_at: Callable[[float], float], wanted: float, near: float, far: float) -> float:
    """The weight between two that bracket `wanted`, by false position. Source: Dowell and Jarratt (1971), Illinois."""
    a, b = lift_at(near) - wanted, lift_at(far) - wanted
    found, miss = (near, a) if abs(a) < abs(b) else (far, b)
    for _ in range(_STEPS):
        if abs(miss) <= _TOLERANCE:
            break
        found = (near * b - far * a) / (b - a)
        miss = lift_at(found) - wanted
        if miss * b < 0:
            near, a = far, b
        else:
            a /= 2
        far, b = found, miss
    return found
