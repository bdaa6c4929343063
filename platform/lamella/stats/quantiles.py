"""A quantile of events that are clustered in units, such as the 90th percentile of read seconds."""

import math

import numpy as np
from numpy.typing import ArrayLike

from lamella.errors import InvalidInput
from lamella.stats.estimates import Estimate
from lamella.stats.moments import Moments
from lamella.stats.tails import check_level
from lamella.stats.undefined import Reason, Undefined


def clustered_quantile(events: ArrayLike, units: ArrayLike, *, quantile: float) -> Estimate | Undefined:
    """The quantile of `events` (n_events,) with the variance that their clustering in `units` (n_events,) gives.

    The order-statistic variance at quantile ∓ z·√(quantile·(1 - quantile)/n_events) times the cluster factor. Compare
    two arms with `difference`. Undefined for fewer than 2 units, values that are not finite, and where ties leave
    no spread around the quantile (zero_variance).
    Raises InvalidInput for lengths that differ and a quantile outside (0, 1).
    Source: Deng, Knoblich and Lu, KDD 2018, section 4.

    >>> clustered_quantile([1, 2, 3, 4, 5, 6, 7, 8], [1, 1, 2, 2, 3, 3, 4, 4], quantile=0.5).value
    4.0
    """
    check_level("quantile", quantile)
    values = np.asarray(events, dtype=np.float64)
    keys = np.asarray(units)
    if values.shape != keys.shape or values.ndim != 1:
        raise InvalidInput(f"events {values.shape} and units {keys.shape} must be two lists of the same length")
    if not np.isfinite(values).all():
        return Undefined(Reason.NOT_FINITE, "an event has a value that is not finite")
    _, owner = np.unique(keys, return_inverse=True)
    sizes = np.bincount(owner).astype(np.float64)
    if len(sizes) < 2:
        return Undefined(Reason.TOO_FEW_UNITS, f"events of {len(sizes)} units; 2 are needed")
    ordered = np.sort(values)
    found = _order_statistic(ordered, quantile)
    below = np.bincount(owner, weights=values <= found)
    residual = below - below.sum() / sizes.sum() * sizes
    own = float(residual.var(ddof=1)) / (len(sizes) * float(sizes.mean()) ** 2)
    low, _, high = (float(ordered[rank - 1]) for rank in quantile_ranks(len(values), quantile))
    return _estimate(found, high - low, own, quantile=quantile, events=len(values), units=len(sizes))


def quantile_ranks(events: int, quantile: float) -> tuple[int, int, int]:
    """The ranks, from 1, of the order statistics that `quantile_from_counts` needs: low, the quantile itself, high.

    >>> quantile_ranks(100, 0.5)
    (41, 50, 60)
    """
    reach = _reach(events, quantile)
    shares = (quantile - reach, quantile, quantile + reach)
    low, own, high = (min(max(math.ceil(share * events), 1), events) for share in shares)
    return low, own, high


def quantile_from_counts(
    counts: Moments, statistics: tuple[float, float, float], *, quantile: float
) -> Estimate | Undefined:
    """What `clustered_quantile` finds, out of counts by unit and the order statistics at `quantile_ranks`.

    `counts` holds, over the units that have events, the column `events` and the column `below`: those that are no
    greater than the quantile.

    >>> counts = Moments.from_rows(("events", "below"), [[2, 2], [2, 2], [2, 0], [2, 0]])
    >>> low, own, high = quantile_ranks(8, 0.5)  # of the events 1 to 8, which are their own ranks
    >>> quantile_from_counts(counts, (low, own, high), quantile=0.5).value
    4
    """
    if counts.n < 2:
        return Undefined(Reason.TOO_FEW_UNITS, f"events of {counts.n} units; 2 are needed")
    if not all(math.isfinite(each) for each in statistics):
        return Undefined(Reason.NOT_FINITE, "an event has a value that is not finite")
    low, found, high = statistics
    share = counts.mean_of("below") / counts.mean_of("events")
    residual = counts.project({"residual": {"below": 1.0, "events": -share}})
    own = residual.covariance_of("residual", "residual") / (counts.n * counts.mean_of("events") ** 2)
    events = round(counts.sum_of("events"))
    return _estimate(found, high - low, own, quantile=quantile, events=events, units=counts.n)


def _estimate(
    found: float, spread: float, own: float, *, quantile: float, events: int, units: int
) -> Estimate | Undefined:
    variance = (spread / (2.0 * _reach(events, quantile))) ** 2 * own
    if variance <= 0.0:
        return Undefined(Reason.ZERO_VARIANCE, f"ties leave no spread around the quantile {quantile}")
    return Estimate(n=units, value=found, variance=variance)


def _reach(events: int, quantile: float) -> float:
    """How far, as a share of the events, the order statistics lie from the quantile."""
    return 1.959963984540054 * math.sqrt(quantile * (1.0 - quantile) / events)


def _order_statistic(ordered: np.ndarray[tuple[int, ...], np.dtype[np.float64]], share: float) -> float:
    position = math.ceil(share * len(ordered)) - 1
    return float(ordered[min(max(position, 0), len(ordered) - 1)])
