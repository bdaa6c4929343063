"""Which layers a unit's traffic reaches: the spaces of buckets that domains split, and what each layer asks of them.

Units outside a layer's domain get its defaults. So do units of a top-level domain that is not overlapping, in every
layer that does not lie inside it.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from lamella.experiments import assignment as words
from lamella.experiments.allocation import united
from lamella.experiments.hashing import HASHES, Salt
from lamella.experiments.model import BUCKETS, ROOT_SALT, BucketRange, Configuration, Domain, Holdout, Layer, UnitKind


def threshold(part: int, total: int) -> int:
    """The least hash whose place among `total` equal parts is `part` or more."""
    return -(-part * HASHES // total)


class Share:
    """Buckets of a space, as thresholds of the hash: a unit is inside where an odd number of them is reached."""

    __slots__ = ("kind", "limits", "salt")

    def __init__(self, salt: str, kind: UnitKind, ranges: Iterable[BucketRange]) -> None:
        self.salt, self.kind = Salt(salt), kind
        self.limits = tuple(
            threshold(edge, BUCKETS) for one in united(ranges) for edge in (one.start, one.stop) if edge < BUCKETS
        )

    def holds(self, unit: bytes) -> bool:
        """Whether the unit, in UTF-8, is inside."""
        return bisect_right(self.limits, self.salt.hash(unit)) & 1 == 1


class Condition(NamedTuple):
    """What a layer asks of a unit: to be inside the share of a domain, or outside. `detail` says what failed."""

    domain: str
    share: Share
    wanted: bool
    detail: str


def conditions(configuration: Configuration, layer: Layer) -> tuple[Condition, ...]:
    """What the layer asks of its units, the widest space first; nothing for a launch layer."""
    if layer.is_launch:
        return ()
    if layer.domain is None:
        return tuple(
            Condition(one.key, share_of(configuration, one), wanted=False, detail=words.taken_by(one.key))
            for one in configuration.domains
            if one.layer is None and not one.is_overlapping
        )
    domains, layers = _by_key(configuration)
    domain = domains[layer.domain]
    around = () if domain.layer is None else conditions(configuration, layers[domain.layer])
    here = Condition(domain.key, share_of(configuration, domain), wanted=True, detail=words.outside(domain.key))
    return (*around, here)


def share_of(configuration: Configuration, domain: Domain) -> Share:
    """The domain's buckets, in the space of its layer or in the root space."""
    if domain.layer is None:
        return Share(ROOT_SALT, domain.unit, domain.ranges)
    layer = _by_key(configuration)[1][domain.layer]
    return Share(layer.salt, layer.unit, domain.ranges)


def domains_around(configuration: Configuration, layer: Layer) -> tuple[str, ...]:
    """The keys of the domains that the layer lies in, the nearest first; none for one over all traffic."""
    domains, layers = _by_key(configuration)
    found: list[str] = []
    inside = layer.domain
    while inside is not None and inside not in found:
        found.append(inside)
        parent = domains[inside].layer
        inside = None if parent is None else layers[parent].domain
    return tuple(found)


def settable(configuration: Configuration, layer: Layer) -> frozenset[str]:
    """The parameters that experiments of `layer` may set.

    A layer's own, and those of the layers nested in it, whose units lie in other buckets. A launch layer: all. The
    only layer of a domain that is not overlapping: what the space around the domain may set.
    """
    if layer.is_launch:
        return frozenset(one.key for one in configuration.parameters)
    domains, layers = _by_key(configuration)
    domain = None if layer.domain is None else domains.get(layer.domain)
    if domain is not None and not domain.is_overlapping:
        if domain.layer is None:
            return frozenset(one.key for one in configuration.parameters)
        return settable(configuration, layers[domain.layer])
    owners = nested(configuration, layer)
    return frozenset(one.key for one in configuration.parameters if one.layer in owners)


def nested(configuration: Configuration, layer: Layer) -> frozenset[str]:
    """The key of the layer and those of all layers in domains of it, at any depth."""
    inside = frozenset(one.key for one in configuration.domains if one.layer == layer.key)
    deeper = (nested(configuration, one) for one in configuration.layers if one.domain in inside)
    return frozenset((layer.key,)).union(*deeper)


def holds_out(configuration: Configuration, holdout: Holdout, layer: Layer) -> bool:
    """Whether the holdout keeps its units out of the layer."""
    return holdout.domain is None or holdout.domain in domains_around(configuration, layer)


def _by_key(configuration: Configuration) -> tuple[Mapping[str, Domain], Mapping[str, Layer]]:
    return {one.key: one for one in configuration.domains}, {one.key: one for one in configuration.layers}


def inside_of(configuration: Configuration, domain: Domain) -> Sequence[Layer]:
    """The layers that lie in the domain, at any depth."""
    return [one for one in configuration.layers if domain.key in domains_around(configuration, one)]
