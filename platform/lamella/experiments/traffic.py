"""Changes to domains and holdouts as pure functions from one Configuration to the next.

A refused change raises and leaves nothing behind. A domain may change only in ways that move no unit of a live
experiment; a holdout takes its units out of what runs, which is what it is for.
"""

from collections.abc import Sequence
from dataclasses import replace

from lamella.errors import ConfigurationInvalid, Conflict
from lamella.experiments.allocation import holders, range_faults, size, united
from lamella.experiments.checklist import key_fault, long_fault, new_salt_faults
from lamella.experiments.model import BucketRange, Configuration, Domain, Experiment, Holdout
from lamella.experiments.selection import domain_of, holdout_of, near
from lamella.experiments.spaces import domains_around, inside_of


def add_domain(configuration: Configuration, domain: Domain) -> Configuration:
    """The configuration with one more domain. Raises Conflict if the key is taken, ConfigurationInvalid."""
    if any(one.key == domain.key for one in configuration.domains):
        raise Conflict(f"domain {domain.key!r} exists already; choose another key, or change that one")
    _refuse([*_domain_faults(configuration, domain), *_taking_faults(configuration, domain)])
    return replace(configuration, domains=(*configuration.domains, domain))


def update_domain(configuration: Configuration, domain: Domain) -> Configuration:
    """The configuration with the domain of that key changed in its description or its buckets.

    While experiments run inside it, it only grows; one that is not overlapping grows only while none runs in the
    layers that it would take units from. Raises NotFound, ConfigurationInvalid.
    """
    before = domain_of(configuration, domain.key)
    others = replace(configuration, domains=tuple(one for one in configuration.domains if one.key != domain.key))
    faults = _domain_faults(others, domain)
    faults += [
        f"{name} of a domain cannot change; add another domain"
        for name in ("layer", "is_overlapping", "unit")
        if getattr(before, name) != getattr(domain, name)
    ]
    running = [one.key for layer in inside_of(configuration, before) for one in holders(configuration, layer.key)]
    if running and _covers_less(domain.ranges, before.ranges):
        faults.append(f"the domain cannot lose buckets while {', '.join(running)} run inside; stop them, or only add")
    if _covers_less(before.ranges, domain.ranges):
        faults += _taking_faults(others, domain)
    _refuse(faults)
    domains = tuple(domain if one.key == domain.key else one for one in configuration.domains)
    return replace(configuration, domains=domains)


def remove_domain(configuration: Configuration, key: str) -> Configuration:
    """The configuration without the domain. Raises NotFound, and Conflict while a layer or a holdout is in it."""
    domain_of(configuration, key)
    held = [f"layer {one.key!r}" for one in configuration.layers if one.domain == key]
    held += [f"holdout {one.key!r}" for one in configuration.holdouts if one.domain == key]
    if held:
        raise Conflict(f"domain {key!r} holds {', '.join(held)}; it can only go empty")
    return replace(configuration, domains=tuple(one for one in configuration.domains if one.key != key))


def add_holdout(configuration: Configuration, holdout: Holdout) -> Configuration:
    """The configuration with one more holdout. Raises Conflict if the key is taken, ConfigurationInvalid."""
    if any(one.key == holdout.key for one in configuration.holdouts):
        raise Conflict(f"holdout {holdout.key!r} exists already; choose another key, or change that one")
    _refuse([*_holdout_faults(configuration, holdout), *new_salt_faults(configuration, holdout.salt)])
    return replace(configuration, holdouts=(*configuration.holdouts, holdout))


def update_holdout(configuration: Configuration, holdout: Holdout) -> Configuration:
    """The configuration with the holdout of that key changed in its period, buckets or description.

    Raises NotFound, ConfigurationInvalid.
    """
    before = holdout_of(configuration, holdout.key)
    faults = _holdout_faults(configuration, holdout)
    faults += [
        f"{name} of a holdout cannot change; add another holdout"
        for name in ("salt", "domain", "unit")
        if getattr(before, name) != getattr(holdout, name)
    ]
    _refuse(faults)
    holdouts = tuple(holdout if one.key == holdout.key else one for one in configuration.holdouts)
    return replace(configuration, holdouts=holdouts)


def remove_holdout(configuration: Configuration, key: str) -> Configuration:
    """The configuration without the holdout. Raises NotFound."""
    holdout_of(configuration, key)
    return replace(configuration, holdouts=tuple(one for one in configuration.holdouts if one.key != key))


def _domain_faults(configuration: Configuration, domain: Domain) -> list[str]:
    """What is wrong with the domain beside all others."""
    faults = [
        key_fault("domain", domain.key),
        long_fault("description", domain.description),
        *_space_faults(domain.ranges),
    ]
    beside = [one for one in configuration.domains if one.layer == domain.layer]
    faults += [
        f"buckets {start}..{stop - 1} belong to domain {one.key!r}; choose others"
        for one in beside
        for start, stop in _overlaps(domain.ranges, one.ranges)
    ]
    if domain.layer is None:
        units = {one.unit for one in beside} - {domain.unit}
        faults += [f"the other top-level domains split by {unit}, not by {domain.unit}; do the same" for unit in units]
        return [fault for fault in faults if fault]
    layers = {one.key: one for one in configuration.layers}
    layer = layers.get(domain.layer)
    if layer is None:
        faults.append(f"no layer {domain.layer!r}; {near(domain.layer, list(layers))}")
    elif layer.is_launch:
        faults.append(f"{layer.key!r} is a launch layer, which holds no domain; name another")
    elif layer.unit is not domain.unit:
        faults.append(f"layer {layer.key!r} splits by {layer.unit}, not by {domain.unit}; set unit to {layer.unit}")
    return [fault for fault in faults if fault]


def _taking_faults(configuration: Configuration, domain: Domain) -> list[str]:
    """Which live experiments would lose units to the domain's buckets."""
    if domain.layer is not None:
        return [
            f"buckets {start}..{stop - 1} of layer {domain.layer!r} belong to experiment {held.key!r}; "
            f"stop it or choose others"
            for held in holders(configuration, domain.layer)
            for start, stop in _overlaps(domain.ranges, held.ranges)
        ]
    if domain.is_overlapping:
        return []
    losing = [one.key for one in _general(configuration)]
    if not losing:
        return []
    return [f"the domain would take units out of {', '.join(losing)}; stop them first"]


def _general(configuration: Configuration) -> list[Experiment]:
    """The experiments that hold buckets of layers over the general traffic."""
    top = {one.key for one in configuration.domains if one.layer is None}
    return [
        held
        for layer in configuration.layers
        if not layer.is_launch and not top.intersection(domains_around(configuration, layer))
        for held in holders(configuration, layer.key)
    ]


def _holdout_faults(configuration: Configuration, holdout: Holdout) -> list[str]:
    faults = [
        key_fault("holdout", holdout.key),
        long_fault("description", holdout.description),
        *_space_faults(holdout.ranges),
    ]
    domains = [one.key for one in configuration.domains]
    if holdout.domain is not None and holdout.domain not in domains:
        faults.append(f"no domain {holdout.domain!r}; {near(holdout.domain, domains)}")
    if holdout.starts_at is not None and holdout.ends_at is not None and holdout.ends_at <= holdout.starts_at:
        faults.append(f"it would end at {holdout.ends_at.isoformat()}, not after its start; choose a later end")
    return [fault for fault in faults if fault]


def _space_faults(ranges: Sequence[BucketRange]) -> list[str]:
    return range_faults(ranges) if ranges else ["it has no buckets; give it one range or more"]


def _overlaps(mine: Sequence[BucketRange], theirs: Sequence[BucketRange]) -> list[tuple[int, int]]:
    pairs = ((max(one.start, two.start), min(one.stop, two.stop)) for one in mine for two in theirs)
    return [(start, stop) for start, stop in pairs if start < stop]


def _covers_less(ranges: Sequence[BucketRange], than: Sequence[BucketRange]) -> bool:
    """Whether some bucket of `than` is not in `ranges`."""
    return size(united([*ranges, *than])) > size(united(ranges))


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        raise ConfigurationInvalid(*faults)
