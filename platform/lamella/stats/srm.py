"""Sample-ratio mismatch: do the arms hold the shares of units that their weights promise."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from scipy.special import betaln, chdtrc, gammaln, xlogy
from scipy.stats import binomtest

from lamella.stats.undefined import Reason, Undefined

THRESHOLD: Final = 0.001
_EXACT_TOTAL: Final = 10_000
_EXACT_TABLES: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRatio:
    """How surprising the arms' sizes are. `misplaced` names arms of weight 0 that hold units all the same.

    `method` is exact or chi_squared. A misplaced arm is a fault of the configuration and is not in `p`.
    """

    p: float
    method: str
    misplaced: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether the sizes agree with the weights, at p >= 0.001, and no unit is in an arm of weight 0."""
        return self.p >= THRESHOLD and not self.misplaced


def sample_ratio(units: Mapping[str, int], weights: Mapping[str, int]) -> SampleRatio | Undefined:
    """The test of the arms' units against their weights: exact where that is feasible, else χ².

    Exact means the sum of all tables no more likely than the one found: two arms up to 10,000 units, more arms as
    long as there are at most 50,000 tables. Arms that `weights` does not name have weight 0. Undefined for no
    units (too_few_units) and fewer than two arms with weight (too_few_arms).

    >>> round(sample_ratio({"a": 510, "b": 490}, {"a": 50, "b": 50}).p, 3)
    0.548
    >>> sample_ratio({"a": 5200, "b": 4800}, {"a": 50, "b": 50}).is_sound
    False
    """
    misplaced = tuple(arm for arm, count in units.items() if count and not weights.get(arm))
    arms = [arm for arm, weight in weights.items() if weight > 0]
    if len(arms) < 2:
        return Undefined(Reason.TOO_FEW_ARMS, f"{len(arms)} arm has weight; 2 are needed")
    counts = np.array([units.get(arm, 0) for arm in arms], dtype=np.int64)
    shares = np.array([weights[arm] for arm in arms], dtype=np.float64)
    shares /= shares.sum()
    total = int(counts.sum())
    if not total:
        return Undefined(Reason.TOO_FEW_UNITS, "no arm has units")
    if len(arms) == 2 and total <= _EXACT_TOTAL:
        p, method = float(binomtest(int(counts[0]), total, float(shares[0])).pvalue), "exact"
    elif len(arms) > 2 and math.comb(total + len(arms) - 1, len(arms) - 1) <= _EXACT_TABLES:
        p, method = _exact_multinomial(counts, shares), "exact"
    else:
        expected = shares * total
        statistic = float(((counts - expected) ** 2 / expected).sum())
        p, method = float(chdtrc(len(arms) - 1, statistic)), "chi_squared"
    return SampleRatio(p=p, method=method, misplaced=misplaced)


def sequential_sample_ratio(
    looks: Sequence[Mapping[str, int]], weights: Mapping[str, int], *, concentration: float = 10_000.0
) -> float | Undefined:
    """The p-value that may be watched all the time: the smallest 1 / Bayes factor over the looks so far.

    `looks` are cumulative counts, oldest first. The alternative is Dirichlet around the promised shares with
    `concentration` k; large values look for small mismatches. Undefined as for `sample_ratio`.
    Source: Lindon and Malek (arXiv 2011.03567), equation 9.

    >>> sequential_sample_ratio([{"a": 50, "b": 50}, {"a": 5200, "b": 4500}], {"a": 1, "b": 1}) < 0.001
    True
    """
    arms = [arm for arm, weight in weights.items() if weight > 0]
    if len(arms) < 2:
        return Undefined(Reason.TOO_FEW_ARMS, f"{len(arms)} arm has weight; 2 are needed")
    if not looks or not any(sum(look.values()) for look in looks):
        return Undefined(Reason.TOO_FEW_UNITS, "no arm has units")
    shares = np.array([weights[arm] for arm in arms], dtype=np.float64)
    shares /= shares.sum()
    prior = concentration * shares
    smallest = 0.0
    for look in looks:
        counts = np.array([look.get(arm, 0) for arm in arms], dtype=np.float64)
        gained = _ln_beta(prior + counts) - _ln_beta(prior) - float(xlogy(counts, shares).sum())
        smallest = min(smallest, -gained)
    return math.exp(smallest)


def _ln_beta(values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> float:
    if len(values) == 2:
        return float(betaln(values[0], values[1]))
    return float(gammaln(values).sum() - gammaln(values.sum()))


def _exact_multinomial(
    counts: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]",
    shares: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]",
) -> float:
    """The probability of all tables of this total that are no more likely than `counts` (stars and bars)."""
    total, arms = int(counts.sum()), len(counts)
    bars = np.array(list(combinations(range(total + arms - 1), arms - 1)), dtype=np.int64)
    edges = np.column_stack([np.full(len(bars), -1), bars, np.full(len(bars), total + arms - 1)])
    tables = np.diff(edges, axis=1) - 1
    ln_p = gammaln(total + 1) - gammaln(tables + 1).sum(axis=1) + xlogy(tables, shares).sum(axis=1)
    own = gammaln(total + 1) - gammaln(counts + 1).sum() + xlogy(counts, shares).sum()
    return min(1.0, float(np.exp(ln_p[ln_p <= own + 1e-7]).sum()))
