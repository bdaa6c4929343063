"""Which buckets of a layer are free, who holds the others, and how to choose some."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from lamella.errors import BucketsTaken, ConfigurationInvalid
from lamella.experiments.model import BUCKETS, BucketRange, Configuration, Experiment, Status
from lamella.experiments.selection import layer_of

# An experiment of one of these holds its buckets; a draft only wishes for them.
HOLDING: Final = frozenset({Status.SCHEDULED, Status.RUNNING, Status.PAUSED})


def size(ranges: Iterable[BucketRange]) -> int:
    """How many buckets `ranges` cover, if none overlap."""
    return sum(one.stop - one.start for one in ranges)


def united(ranges: Iterable[BucketRange]) -> tuple[BucketRange, ...]:
    """The same buckets as the fewest ranges, in order.

    >>> united([BucketRange(start=5, stop=9), BucketRange(start=0, stop=5)])
    (BucketRange(start=0, stop=9),)
    """
    merged: list[BucketRange] = []
    for one in sorted(ranges, key=lambda each: each.start):
        if merged and one.start <= merged[-1].stop:
            merged[-1] = BucketRange(start=merged[-1].start, stop=max(merged[-1].stop, one.stop))
        else:
            merged.append(one)
    return tuple(merged)


def holders(configuration: Configuration, layer: str) -> tuple[Experiment, ...]:
    """The experiments of the layer that hold their buckets: scheduled, running or paused."""
    return tuple(one for one in configuration.experiments if one.layer == layer and one.status in HOLDING)


def free_ranges(configuration: Configuration, layer: str) -> tuple[BucketRange, ...]:
    """The buckets of the layer that no experiment and no domain holds, in order. Raises NotFound, unknown layer."""
    layer_of(configuration, layer)
    held = [one for holder in holders(configuration, layer) for one in holder.ranges]
    return _gaps([*held, *domain_ranges(configuration, layer)])


def domain_ranges(configuration: Configuration, layer: str) -> tuple[BucketRange, ...]:
    """The buckets of the layer that domains nested in it hold."""
    return tuple(one for domain in configuration.domains if domain.layer == layer for one in domain.ranges)


def domain_faults(configuration: Configuration, experiment: Experiment) -> list[str]:
    """A sentence for each range of `experiment` that a domain nested in its layer holds."""
    return [
        f"buckets {max(mine.start, theirs.start)}..{min(mine.stop, theirs.stop) - 1} of layer {experiment.layer!r} "
        f"belong to domain {domain.key!r}; choose others"
        for domain in configuration.domains
        if domain.layer == experiment.layer
        for mine in experiment.ranges
        for theirs in domain.ranges
        if max(mine.start, theirs.start) < min(mine.stop, theirs.stop)
    ]


def range_faults(ranges: Sequence[BucketRange]) -> list[str]:
    """A sentence for each range outside the layer, and for each two that overlap."""
    faults = [
        f"buckets {one.start}..{one.stop} are no range; 0 <= start < stop <= {BUCKETS}"
        for one in ranges
        if not 0 <= one.start < one.stop <= BUCKETS
    ]
    in_order = sorted(ranges, key=lambda one: (one.start, one.stop))
    for left, right in pairwise(in_order):
        if right.start < left.stop:
            faults.append(
                f"buckets {left.start}..{left.stop - 1} and {right.start}..{right.stop - 1} overlap; "
                f"list every bucket once"
            )
    return faults


def taken(configuration: Configuration, experiment: Experiment) -> list[BucketsTaken]:
    """One error for each range of `experiment` that another experiment of its layer holds; none raised."""
    others = [one for one in holders(configuration, experiment.layer) if one.key != experiment.key]
    return [
        BucketsTaken(experiment.layer, range(max(mine.start, theirs.start), min(mine.stop, theirs.stop)), other.key)
        for mine in experiment.ranges
        for other in others
        for theirs in other.ranges
        if max(mine.start, theirs.start) < min(mine.stop, theirs.stop)
    ]


def allocate(configuration: Configuration, layer: str, share: float) -> tuple[BucketRange, ...]:
    """Free buckets for `share` (0 < share <= 1) of the layer's units, the lowest first.

    Buckets that a draft of the layer wishes for are used last. Raises NotFound for an unknown layer,
    ConfigurationInvalid where the share is no share or too few buckets are free.
    """
    wanted = bucket_count(share)
    free = free_ranges(configuration, layer)
    wished = [
        one
        for draft in configuration.experiments
        if draft.layer == layer and draft.status is Status.DRAFT
        for one in draft.ranges
    ]
    untouched = _without(free, wished)
    if size(untouched) >= wanted:
        return _first(untouched, wanted)
    if size(free) >= wanted:
        return united([*untouched, *_first(_without(free, untouched), wanted - size(untouched))])
    raise ConfigurationInvalid(_too_few(layer, wanted, size(free), [one.key for one in holders(configuration, layer)]))


def grow(configuration: Configuration, experiment: Experiment, share: float) -> tuple[BucketRange, ...]:
    """The buckets of `experiment` and enough free ones to reach `share` of its layer: nobody who is in leaves.

    Raises ConfigurationInvalid where the experiment holds more already or too few buckets are free.
    """
    wanted = bucket_count(share) - size(experiment.ranges)
    if wanted < 0:
        raise ConfigurationInvalid(
            f"experiment {experiment.key!r} has {size(experiment.ranges)} buckets already; a ramp only adds, so ask "
            f"for a share of {size(experiment.ranges) / BUCKETS} or more, or stop it"
        )
    free = _without(free_ranges(configuration, experiment.layer), experiment.ranges)
    if size(free) < wanted:
        others = [one.key for one in holders(configuration, experiment.layer) if one.key != experiment.key]
        raise ConfigurationInvalid(_too_few(experiment.layer, wanted, size(free), others))
    return united([*experiment.ranges, *_first(free, wanted)])


def bucket_count(share: float) -> int:
    """How many buckets make `share` of a layer, rounded. Raises ConfigurationInvalid unless it is 1 to 10,000."""
    wanted = round(share * BUCKETS) if 0 < share <= 1 else 0
    if not wanted:
        raise ConfigurationInvalid(f"share {share} is no share of a layer; it must be from {1 / BUCKETS} to 1")
    return wanted


def _too_few(layer: str, wanted: int, free: int, held_by: Sequence[str]) -> str:
    held = f", held by {', '.join(held_by)}" if held_by else ""
    return f"layer {layer!r}: {wanted} buckets wanted, {free} are free{held}; ask for less or stop one"


def _gaps(held: Iterable[BucketRange]) -> tuple[BucketRange, ...]:
    """What `held` leaves of a layer. Ranges outside the layer hold nothing of it."""
    gaps: list[BucketRange] = []
    start = 0
    for one in united(held):
        if start < min(one.start, BUCKETS):
            gaps.append(BucketRange(start=start, stop=min(one.start, BUCKETS)))
        start = max(start, one.stop)
    if start < BUCKETS:
        gaps.append(BucketRange(start=start, stop=BUCKETS))
    return tuple(gaps)


def _without(ranges: Sequence[BucketRange], taken_out: Sequence[BucketRange]) -> tuple[BucketRange, ...]:
    return _gaps([*_gaps(ranges), *taken_out])


def _first(ranges: Sequence[BucketRange], wanted: int) -> tuple[BucketRange, ...]:
    chosen: list[BucketRange] = []
    for one in ranges:
        if wanted <= 0:
            break
        chosen.append(BucketRange(start=one.start, stop=min(one.stop, one.start + wanted)))
        wanted -= one.stop - one.start
    return tuple(chosen)
