"""The running configuration as flagd's flags: each parameter a flag, targeted by nested `fractional` operations.

flagd's own evaluator must give each unit the variant that `flags` names: the kill switch, the holdouts, the
allow-list, the domains, the layer's bucket, prerequisites, the rule and the phase's hash, in that order. The units are
context keys: `targetingKey`, `deviceKey`, `sessionKey`. What flagd cannot know is what a unit was exposed to before,
so an experiment that keeps such units is exported as if nobody had been.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from lamella.errors import InvalidRule
from lamella.experiments.allocation import united
from lamella.experiments.checklist import typed
from lamella.experiments.compiling import live_in, order_of
from lamella.experiments.flagd_rules import guarded_rule
from lamella.experiments.flags import DEFAULT_VARIANT, UNIT_KEYS, Flag
from lamella.experiments.model import (
    BUCKETS,
    BucketRange,
    Experiment,
    Holdout,
    Json,
    Layer,
    Parameter,
    Status,
    UnitKind,
)
from lamella.experiments.selection import domain_of, experiment_of, layer_of
from lamella.experiments.snapshot import Snapshot
from lamella.experiments.spaces import conditions, holds_out

SCHEMA: Final = "https://flagd.dev/schema/v0/flags.json"
HASH: Final = "murmur3_x86_32 over canonical CBOR, (hash * weights) >> 32"
HASH_VERSION: Final = 2
"""flagd's `fractional` over CBOR; 1 was the one over the plain string, which splits differently."""

Named: TypeAlias = Callable[[str, str], str]
"""What a variant of an experiment is called in a tree; the empty text where the tree does not want it."""

_NONE: Final = ""
_INSIDE: Final = "in"


def flagd_document(snapshot: Snapshot) -> dict[str, Json]:
    """The flags of the snapshot as flagd reads them, with the hash's version and the snapshot's in the metadata.

    A flag whose rules plain JsonLogic cannot say is DISABLED, and its metadata says why: an evaluator then keeps to the
    default in the code, and never splits differently.
    """
    trees = _Trees(snapshot)
    flags: dict[str, Json] = {one.key: _flag(snapshot, trees, one) for one in snapshot.configuration.parameters}
    metadata: Json = {"hash": HASH, "hashVersion": HASH_VERSION, "snapshot": snapshot.version}
    return {"$schema": SCHEMA, "metadata": metadata, "flags": flags}


def _flag(snapshot: Snapshot, trees: "_Trees", parameter: Parameter) -> dict[str, Json]:
    flag = Flag(snapshot.configuration, parameter)
    variants: dict[str, Json] = {DEFAULT_VARIANT: typed(parameter, parameter.default)}
    for one in flag.setters:
        for variant in one.variants:
            if (one.key, variant.key) in flag.names:
                value = variant.values.get(parameter.key, parameter.default)
                variants[flag.name(one.key, variant.key)] = typed(parameter, value)
    metadata: dict[str, Json] = {"layer": parameter.layer, "type": parameter.type.value}
    document: dict[str, Json] = {"state": "ENABLED", "variants": variants, "defaultVariant": DEFAULT_VARIANT}
    try:
        targeting = trees.root(flag)
    except InvalidRule as error:
        return {**document, "state": "DISABLED", "metadata": {**metadata, "unexportable": str(error)}}
    if targeting is not None:
        document["targeting"] = targeting
    return {**document, "metadata": metadata}


class _Trees:
    """Makes the JsonLogic of flags and layers; a layer's tree gives a name, or the empty text for nothing."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._configuration, self._holdouts = snapshot.configuration, snapshot.holdouts
        self._order = order_of(snapshot.configuration)

    def root(self, flag: Flag) -> Json:
        """The targeting of a flag; None where everybody gets the default."""
        if self._configuration.killed or not flag.setters:
            return None
        branches = [one for one in self._branches(flag) if one != _NONE]
        tree: Json = {"or": [*branches, DEFAULT_VARIANT]}
        for one in self._holdouts:
            if one.domain is None:
                tree = {"if": [self._holds(one), DEFAULT_VARIANT, tree]}
        return {"if": [_unit(UnitKind.USER), tree, DEFAULT_VARIANT]}

    def _branches(self, flag: Flag) -> Iterable[Json]:
        """The trees that may name the variant, the one that goes before the others first."""
        key, owner = flag.parameter.key, flag.parameter.layer
        setting = {(one.key, variant.key) for one in flag.setters for variant in one.variants if key in variant.values}

        def sets(experiment: str, variant: str) -> str:
            return flag.name(experiment, variant) if (experiment, variant) in setting else _NONE

        layers = [layer_of(self._configuration, name) for name in reversed(self._order)]
        others = {one.layer for one in flag.setters} - {owner}
        if not others:
            return [self.layer(layer_of(self._configuration, owner), flag.name)]
        concerned = [one for one in layers if one.key in others or one.key == owner]
        first = [self.layer(one, sets) for one in concerned if not one.is_launch]
        launches = [self.layer(one, sets) for one in concerned if one.is_launch]
        return [*first, *launches, self.layer(layer_of(self._configuration, owner), flag.name)]

    def layer(self, layer: Layer, named: Named) -> Json:
        """The tree of one layer: what `named` calls the variant that it gives."""
        lives = live_in(self._configuration, layer.key)
        tree = self._placed(layer, lives, named)
        for one in reversed(conditions(self._configuration, layer)):
            domain = domain_of(self._configuration, one.domain)
            inside = _fraction(one.share.salt.text, one.share.kind, _shares(domain.ranges, _INSIDE))
            tree = {"if": [inside, tree, _NONE] if one.wanted else [inside, _NONE, tree]}
            tree = {"if": [_unit(one.share.kind), tree, _NONE]}
        tree = _forced(layer, lives, named, tree)
        for held in self._holdouts:
            if held.domain is not None and holds_out(self._configuration, held, layer):
                tree = {"if": [self._holds(held), _NONE, tree]}
        return tree if tree == _NONE else {"if": [_unit(layer.unit), tree, _NONE]}

    def _holds(self, holdout: Holdout) -> Json:
        """Whether the holdout keeps the unit; a unit that is not named is not held."""
        inside = _fraction(holdout.salt, holdout.unit, _shares(holdout.ranges, _INSIDE))
        return {"and": [_unit(holdout.unit), inside]}

    def _placed(self, layer: Layer, lives: Sequence[Experiment], named: Named) -> Json:
        """What the buckets give."""
        pieces = sorted((one.start, one.stop, live.key) for live in lives for one in united(live.ranges))
        by_key = {one.key: one for one in lives}
        trees = {key: self._inside(layer, one, named) for key, one in by_key.items()}
        if all(tree == _NONE for tree in trees.values()):
            return _NONE
        shares: list[Json] = []
        edge = 0
        for start, stop, key in pieces:
            if start > edge:
                shares.append([_NONE, start - edge])
            shares.append([trees[key], stop - start])
            edge = stop
        if edge < BUCKETS:
            shares.append([_NONE, BUCKETS - edge])
        return _fraction(layer.salt, layer.unit, shares)

    def _inside(self, layer: Layer, experiment: Experiment, named: Named) -> Json:
        """What the experiment gives a unit of its buckets."""
        phase = experiment.phases[-1]
        weights = [(named(experiment.key, one.key), phase.weights.get(one.key, 0)) for one in experiment.variants]
        if experiment.status is Status.PAUSED or all(name == _NONE for name, _ in weights):
            return _NONE
        tree = _fraction(phase.salt, layer.unit, [[name, weight] for name, weight in weights if weight > 0])
        try:
            rule = guarded_rule(experiment.rule, unit=UNIT_KEYS[layer.unit])
        except InvalidRule as error:
            raise InvalidRule(f"experiment {experiment.key!r} has {error}") from None
        conditions_met = [self._requires(one.experiment, one.variants) for one in experiment.requires]
        wanted = [one for one in (*conditions_met, rule) if one is not True]
        return {"if": [{"and": wanted}, tree, _NONE]} if wanted else tree

    def _requires(self, experiment: str, variants: Sequence[str]) -> Json:
        """Whether the unit is in one of the variants of an experiment of another layer."""

        def named(other: str, variant: str) -> str:
            return _INSIDE if other == experiment and variant in variants else _NONE

        home = experiment_of(self._configuration, experiment).layer
        return self.layer(layer_of(self._configuration, home), named)


def _forced(layer: Layer, lives: Sequence[Experiment], named: Named, tree: Json) -> Json:
    """The tree behind the allow-lists of the layer."""
    listed: dict[str, str] = {}
    for one in lives:
        for unit, variant in one.forced.items() if one.status is Status.RUNNING else ():
            listed.setdefault(unit, named(one.key, variant))
    by_name: dict[str, list[Json]] = {}
    for unit, name in listed.items():
        by_name.setdefault(name, []).append(unit)
    for name, units in by_name.items():
        tree = {"if": [{"in": [_unit(layer.unit), units]}, name, tree]}
    return tree


def _unit(kind: UnitKind) -> Json:
    return {"var": UNIT_KEYS[kind]}


def _fraction(salt: str, kind: UnitKind, shares: Sequence[Json]) -> Json:
    return {"fractional": [{"cat": [f"{salt}:", _unit(kind)]}, *shares]}


def _shares(ranges: Iterable[BucketRange], name: str) -> list[Json]:
    """The whole space in pieces: `name` inside the ranges, nothing outside."""
    shares: list[Json] = []
    edge = 0
    for one in united(ranges):
        if one.start > edge:
            shares.append([_NONE, one.start - edge])
        shares.append([name, one.stop - one.start])
        edge = one.stop
    return [*shares, [_NONE, BUCKETS - edge]] if edge < BUCKETS else shares
