"""Axes: a range with round ticks, and where a value stands on it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

LARGEST = 1e290


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The range that a chart shows, `low` < `high`, and its ticks, `step` apart."""

    low: float
    high: float
    step: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Where `value` stands: 0 at the low end, 1 at the high end; values outside are held at the edge."""
        return min(1.0, max(0.0, (finite(value) - self.low) / (self.high - self.low)))

    def holds(self, value: float) -> bool:
        """Whether the axis shows `value`."""
        return self.low <= value <= self.high

    def places(self, scale: float = 1.0) -> int:
        """The decimals that tell the ticks apart, once multiplied by `scale`; at most 8."""
        return min(8, max(0, -math.floor(math.log10(self.step * scale) + 1e-9)))


def finite(value: float) -> float:
    """The value, held within what floating point can still subtract; NaN becomes 0."""
    return 0.0 if math.isnan(value) else min(LARGEST, max(-LARGEST, value))


def axis(values: Iterable[float], *, count: int = 5, padding: float = 0.04, snap: bool = False) -> Axis:
    """An axis that shows all `values`, with about `count` ticks at 1, 2 or 5 times a power of ten.

    `padding` widens both ends by a share of the range; `snap` widens them to the next tick instead. No values give
    0..1, equal values a range around them.
    """
    known = [finite(value) for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    smallest = max(abs(low), abs(high)) * 1e-9 or 1e-12
    if high - low < smallest:
        reach = abs(low) * 0.1 or 1.0
        low, high = low - reach, high + reach
    if not snap:
        low, high = low - padding * (high - low), high + padding * (high - low)
    step = round_step((high - low) / count)
    if snap:
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return Axis(low=low, high=high, step=step, ticks=_ticks(low, high, step))


def round_step(rough: float) -> float:
    """The number at or above `rough` that is 1, 2 or 5 times a power of ten.

    >>> [round_step(rough) for rough in (0.3, 1.2, 0.05, 70)]
    [0.5, 2.0, 0.05, 100.0]
    """
    exponent = math.floor(math.log10(rough))
    for factor in (1, 2, 5, 10):
        step = float(f"{factor}e{exponent}")
        if step >= rough * (1 - 1e-9):
            return step
    return float(f"1e{exponent + 1}")


def _ticks(low: float, high: float, step: float) -> tuple[float, ...]:
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return tuple(index * step for index in range(first, last + 1))
