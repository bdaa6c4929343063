"""Group-sequential boundaries: how far a statistic must go at each planned look so that all looks share one alpha."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_ndtr, logsumexp, ndtr, ndtri

from lamella.errors import InvalidInput
from lamella.stats.tails import check_level

_FARTHEST = 37.0
_REACH = 12.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


class Spending(StrEnum):
    """How alpha is spent over the information: late (O'Brien–Fleming type) or evenly (Pocock type)."""

    OBRIEN_FLEMING = "obrien_fleming"
    POCOCK = "pocock"


def spent(information: float, *, alpha: float = 0.05, spending: Spending = Spending.OBRIEN_FLEMING) -> float:
    """The two-sided alpha that may be spent up to this share of the information, 0 < information <= 1.

    Each side spends half: 2·(1 - Φ(z_{α/4} / √t)) or α/2·ln(1 + (e - 1)·t). Source: Lan and DeMets (1983).

    >>> [round(spent(share / 5), 5) for share in (1, 3, 5)]
    [0.0, 0.00762, 0.05]
    """
    check_level("alpha", alpha)
    if not 0.0 < information <= 1.0:
        raise InvalidInput(f"information is {information}; it must lie in (0, 1]")
    if spending is Spending.POCOCK:
        return alpha * math.log1p((math.e - 1.0) * information)
    return 4.0 * float(ndtr(ndtri(alpha / 4.0) / math.sqrt(information)))


def boundaries(
    information: Sequence[float], *, alpha: float = 0.05, spending: Spending = Spending.OBRIEN_FLEMING
) -> tuple[float, ...]:
    """The |z| that ends the experiment at each look, for looks at these rising shares of the information.

    Exact: the density of the statistic among paths that have not crossed is carried from look to look by
    quadrature. Infinite where a look is so early that no alpha is spent. The looks may be unequal, and a boundary
    depends only on the looks up to it. Raises InvalidInput unless 0 < shares <= 1 and strictly rising.
    Source: Armitage, McPherson and Rowe (1969); Lan and DeMets (1983).

    >>> [round(each, 3) for each in boundaries([0.2, 0.4, 0.6, 0.8, 1.0])]
    [4.877, 3.357, 2.68, 2.29, 2.031]
    """
    return _boundaries(_checked(information), alpha, spending)


@lru_cache(maxsize=1024)
def _boundaries(information: tuple[float, ...], alpha: float, spending: Spending) -> tuple[float, ...]:
    found: list[float] = []
    before = 0.0
    walk: _Walk | None = None
    for index, share in enumerate(information):
        total = spent(share, alpha=alpha, spending=spending)
        limit = _limit(walk, share, total - before)
        before = total
        found.append(limit)
        if index + 1 < len(information):
            walk = _step(walk, share, limit, information[index + 1] - share, drift=0.0)
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """The probability of leaving first at each look, above the upper and below the lower boundary."""

    upper: tuple[float, ...]
    lower: tuple[float, ...]

    @property
    def total(self) -> float:
        """The probability of crossing at any look."""
        return sum(self.upper) + sum(self.lower)


def crossing(information: Sequence[float], limits: Sequence[float], *, drift: float = 0.0) -> Crossing:
    """The probabilities of first crossing ±`limits` when the statistic's mean at full information is `drift`.

    With drift 0 the total is the error that these boundaries really have: five looks at 1.96 have 14 %, not 5 %.

    >>> round(crossing([0.2, 0.4, 0.6, 0.8, 1.0], [1.96] * 5).total, 3)
    0.142
    """
    shares = _checked(information)
    if len(limits) != len(shares) or not all(limit > 0.0 for limit in limits):
        raise InvalidInput(f"{len(shares)} looks need as many boundaries above 0, not {list(limits)}")
    upper, lower = [], []
    walk: _Walk | None = None
    for index, (share, limit) in enumerate(zip(shares, limits, strict=True)):
        edge = min(limit, _FARTHEST) * math.sqrt(share)
        upper.append(math.exp(_ln_exit(walk, share, edge, drift=drift)))
        lower.append(math.exp(_ln_exit(walk, share, edge, drift=drift, side=-1)))
        if index + 1 < len(shares):
            walk = _step(walk, share, limit, shares[index + 1] - share, drift=drift)
    return Crossing(upper=tuple(upper), lower=tuple(lower))


def inflation(
    looks: int, *, alpha: float = 0.05, power: float = 0.8, spending: Spending = Spending.OBRIEN_FLEMING
) -> float:
    """How many times the units of a fixed test `looks` equal looks need for the same power.

    >>> round(inflation(5), 3), round(inflation(5, spending=Spending.POCOCK), 2)
    (1.025, 1.21)
    """
    if looks < 1:
        raise InvalidInput(f"looks is {looks}; at least 1 is needed")
    check_level("power", power)
    shares = tuple((look + 1) / looks for look in range(looks))
    limits = boundaries(shares, alpha=alpha, spending=spending)
    fixed = float(ndtri(1.0 - alpha / 2.0) + ndtri(power))
    wanted = brentq(
        lambda drift: sum(crossing(shares, limits, drift=drift).upper) - power, 0.0, 2.0 * fixed + 2.0, xtol=1e-9
    )
    return max(1.0, (float(wanted) / fixed) ** 2)


@dataclass(frozen=True, slots=True)
class _Walk:
    """Where the paths are that have not crossed: nodes of the score process and their probability weights."""

    information: float
    nodes: NDArray[np.float64]
    mass: NDArray[np.float64]


def _checked(information: Sequence[float]) -> tuple[float, ...]:
    shares = tuple(float(share) for share in information)
    rising = all(one < other for one, other in zip((0.0, *shares), shares, strict=False))
    if not shares or not rising or shares[-1] > 1.0 + 1e-12:
        raise InvalidInput(f"looks are at {list(shares)}; they must rise strictly within (0, 1]")
    return tuple(min(share, 1.0) for share in shares)


def _ln_exit(walk: _Walk | None, share: float, edge: float, *, drift: float = 0.0, side: int = 1) -> float:
    """The logarithm of P(the score, times `side`, first exceeds `edge` at this look)."""
    if walk is None:
        return float(log_ndtr((side * drift * share - edge) / math.sqrt(share)))
    step = share - walk.information
    tails = log_ndtr((side * (walk.nodes + drift * step) - edge) / math.sqrt(step))
    return float(logsumexp(tails, b=walk.mass))


def _limit(walk: _Walk | None, share: float, increment: float) -> float:
    """The boundary whose two-sided exit probability is `increment`; infinite where that is nothing."""
    if increment < 1e-280:
        return math.inf
    if walk is None:
        return -float(ndtri(increment / 2.0))
    wanted = math.log(increment / 2.0)
    root = math.sqrt(share)
    return float(brentq(lambda z: _ln_exit(walk, share, z * root) - wanted, 0.0, _FARTHEST, xtol=1e-10))


def _step(walk: _Walk | None, share: float, limit: float, ahead: float, *, drift: float) -> _Walk:
    """The walk after this look: nodes inside ±limit, dense enough for the step behind and the step `ahead`."""
    root = math.sqrt(share)
    behind = share if walk is None else share - walk.information
    low = max(-limit, drift * root - _REACH) * root
    high = min(limit, drift * root + _REACH) * root
    if high <= low:
        return _Walk(share, np.zeros(1), np.full(1, 1e-300))
    panels = min(2_000, math.ceil((high - low) / math.sqrt(min(behind, ahead))) + 4)
    edges = np.linspace(low, high, panels + 1)
    half = (edges[1] - edges[0]) / 2.0
    nodes = (edges[:-1, None] + half * (1.0 + _NODES)).ravel()
    weights = np.tile(half * _WEIGHTS, panels)
    return _Walk(share, nodes, weights * _density(walk, share, nodes, drift))


def _density(walk: _Walk | None, share: float, nodes: NDArray[np.float64], drift: float) -> NDArray[np.float64]:
    step = share if walk is None else share - walk.information
    norm = 1.0 / math.sqrt(2.0 * math.pi * step)
    if walk is None:
        first: NDArray[np.float64] = norm * np.exp(-((nodes - drift * step) ** 2) / (2.0 * step))
        return first
    density = np.empty_like(nodes)
    for start in range(0, len(nodes), 512):  # blocks, so that many nodes need little memory
        gaps = nodes[start : start + 512, None] - walk.nodes[None, :] - drift * step
        density[start : start + 512] = norm * np.exp(gaps**2 / (-2.0 * step)) @ walk.mass
    return density
