"""The allocation planner: what is free in a layer, and when more of it will be."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from lamella.experiments.allocation import domain_ranges, free_ranges, holders, size, united
from lamella.experiments.document import ranges_document
from lamella.experiments.model import BUCKETS, BucketRange, Configuration, Experiment, Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Buckets that become free at `at`, when `experiment` is planned to end; `free` are all those free from then on.

    `at` is None for an experiment without a planned end: it ends when somebody stops it, and `free` leaves it out.
    """

    at: datetime | None
    experiment: str
    ranges: tuple[BucketRange, ...]
    free: tuple[BucketRange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """What is free in a layer at `at`, and the releases to come, the earliest first and those without an end last."""

    layer: str
    at: datetime
    free: tuple[BucketRange, ...]
    releases: tuple[Release, ...]

    def free_from(self, share: float) -> datetime | None:
        """When `share` of the layer will be free at the earliest: `at` if now, None if no planned end brings it."""
        wanted = round(share * BUCKETS)
        if size(self.free) >= wanted:
            return self.at
        return next((one.at for one in self.releases if one.at is not None and size(one.free) >= wanted), None)


def availability(configuration: Configuration, layer: str, at: datetime) -> Availability:
    """What is free in the layer, and when more will be. Raises NotFound for an unknown layer.

    An experiment is planned to end at `ends_at`, or after its plan's days; one past that is expected to end at once.
    """
    now = free_ranges(configuration, layer)
    ends = [(planned_end(one, at), one) for one in holders(configuration, layer)]
    dated = sorted(((max(end, at), one) for end, one in ends if end is not None), key=lambda each: each[0])
    releases: list[Release] = []
    free = now
    for end, one in dated:
        free = united([*free, *one.ranges])
        releases.append(Release(at=end, experiment=one.key, ranges=one.ranges, free=free))
    releases += [Release(at=None, experiment=one.key, ranges=one.ranges, free=free) for end, one in ends if end is None]
    return Availability(layer=layer, at=at, free=now, releases=tuple(releases))


def planned_end(experiment: Experiment, at: datetime) -> datetime | None:
    """When a scheduled or live experiment should end; a scheduled one is taken to start at `at` or as planned."""
    if experiment.ends_at is not None:
        return experiment.ends_at
    if experiment.plan.planned_days is None:
        return None
    started = experiment.phases[-1].started_at if experiment.phases else max(experiment.starts_at or at, at)
    return started + timedelta(days=experiment.plan.planned_days)


def availability_document(configuration: Configuration, found: Availability) -> dict[str, Json]:
    """The same as a JSON object, with the share of each and the buckets that nested domains hold for good."""
    return {
        "layer": found.layer,
        "at": found.at.isoformat(),
        "free": ranges_document(found.free),
        "free_share": size(found.free) / BUCKETS,
        "domains": ranges_document(domain_ranges(configuration, found.layer)),
        "releases": [
            {
                "at": None if one.at is None else one.at.isoformat(),
                "experiment": one.experiment,
                "ranges": ranges_document(one.ranges),
                "free": ranges_document(one.free),
                "free_share": size(one.free) / BUCKETS,
            }
            for one in found.releases
        ],
    }
