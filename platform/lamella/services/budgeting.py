"""How much of its time a process explores: a small share, saved up for what takes long, the oldest first."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from lamella.services.interacting import Pairs

SHARE: Final = 0.1
ALLOWANCE: Final = 2.0
"""So many seconds are there at the start: what small installations explore takes far less than one for each report."""


class _Spent(NamedTuple):
    ended: float
    seconds: float


class Budget:
    """A `share` of all time from now on, and ALLOWANCE at once, for what is explored of experiments.

    An experiment may be explored when all that it took the last time is there. What one takes that this process never
    explored is not known: it may begin with anything that is left, and what it takes beyond that is paid for before the
    next. A long rest saves up for one that takes long and not for two: of what it leaves no more than ALLOWANCE stays.
    """

    def __init__(self, share: float = SHARE, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._share, self._monotonic = share, monotonic
        self._saved, self._counted = ALLOWANCE, monotonic()
        self._last: dict[str, _Spent] = {}

    def affords(self, experiment: str) -> bool:
        """Whether there is time to explore the experiment now."""
        last = self._last.get(experiment)
        saved = self._save()
        return saved > 0.0 and (last is None or saved >= last.seconds)

    @contextmanager
    def paying(self, experiment: str) -> Iterator[None]:
        """The block explores the experiment, and is paid for, however it ends."""
        begun = self._monotonic()
        try:
            yield
        finally:
            ended = self._monotonic()
            seconds = ended - begun
            self._saved = min(self._save(), max(seconds, ALLOWANCE)) - seconds
            self._last[experiment] = _Spent(ended, seconds)

    def oldest_first(self, experiments: Iterable[str]) -> list[str]:
        """The experiments in the order in which this process explored them; before all others those it never did."""
        never = _Spent(-math.inf, 0.0)
        return sorted(experiments, key=lambda each: self._last.get(each, never).ended)

    def _save(self) -> float:
        now = self._monotonic()
        self._saved += self._share * (now - self._counted)
        self._counted = now
        return self._saved


@dataclass(slots=True)
class Round:
    """One round of reports, oldest exploration first: its budget, and what it has found of pairs of experiments."""

    budget: Budget
    pairs: Pairs = field(default_factory=Pairs)
    _is_spent: bool = False

    def affords(self, experiment: str) -> bool:
        """Whether the experiment may be explored now.

        Once one may not, none that follows may: time is saved up for it, which others would spend again and again.
        """
        self._is_spent = self._is_spent or not self.budget.affords(experiment)
        return not self._is_spent
