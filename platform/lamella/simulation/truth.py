"""The oracle: what each arm's true click rate is, from the pages that its parameters really make."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
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
_GRID: Final = (-1.0, -0.5, 0.0, 0.5, 1.0)


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
    """The weight of the treatment's model, -1 to 1, whose true lift is `wanted` to within 0.002.

    Of several the one nearest to 0. Raises InvalidInput with the attainable range where no weight reaches it.
    """
    points = [(weight, lift_at(weight)) for weight in _GRID]
    brackets = sorted(pairwise(points), key=lambda pair: abs(pair[0][0] + pair[1][0]))
    for near, far in brackets:
        if min(near[1], far[1]) <= wanted <= max(near[1], far[1]):
            return _bisect(lift_at, wanted, near, far)
    lifts = [lift for _, lift in points]
    raise InvalidInput(
        f"effect {wanted:g} is more than these models can earn: with this seed and size the ranking treatment's true "
        f"lift in click rate lies between {min(lifts):+.3f} and {max(lifts):+.3f}; choose a value in between"
    )


def _bisect(
    lift_at: Callable[[float], float], wanted: float, near: tuple[float, float], far: tuple[float, float]
) -> float:
    """The weight between two that bracket `wanted`, by halving the bracket."""
    for _ in range(_STEPS):
        if min(abs(near[1] - wanted), abs(far[1] - wanted)) <= _TOLERANCE:
            break
        weight = (near[0] + far[0]) / 2
        middle = (weight, lift_at(weight))
        is_beyond = (middle[1] - wanted) * (far[1] - wanted) > 0
        near, far = (near, middle) if is_beyond else (middle, far)
    return min((near, far), key=lambda point: abs(point[1] - wanted))[0]
