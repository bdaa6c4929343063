"""A layer and its live experiments, compiled: who holds a bucket, whom the rule lets in, which variant comes out."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from lamella.experiments import assignment as words
from lamella.experiments.assignment import DEFAULT, DISABLED, ERROR, SPLIT, STATIC, TARGETING_MATCH, Assignment
from lamella.experiments.hashing import Salt, encode_unit
from lamella.experiments.model import BUCKETS, Eligibility, Experiment, Json, Layer, Status, UnitKind
from lamella.experiments.quick_rules import shortcut
from lamella.experiments.spaces import Condition, Share, threshold
from lamella.experiments.targeting import NOT_MATCHED, UNIT_ATTRIBUTE, Rule, compile_rule

NO_VALUES: Final[Mapping[str, Json]] = MappingProxyType({})
NOBODY: Final[Mapping[int, str]] = MappingProxyType({})
NOTHING_FORCED: Final[Mapping[str, str]] = MappingProxyType({})
Answer: TypeAlias = tuple[Assignment, Mapping[str, Json]]


class Request:
    """One evaluation off the fast path: the units by kind, the context, what is remembered and what is forced."""

    __slots__ = ("_encoded", "_inside", "context", "forced", "remembered", "units")

    def __init__(
        self,
        units: Mapping[UnitKind, str],
        context: Mapping[str, Json],
        remembered: Mapping[int, str] = NOBODY,
        forced: Mapping[str, str] = NOTHING_FORCED,
    ) -> None:
        self.units, self.context = units, context
        self.remembered, self.forced = remembered, forced
        self._encoded = {kind: encode_unit(unit) for kind, unit in units.items()}
        self._inside: dict[tuple[str, str], bool] = {}

    def encoded(self, kind: UnitKind) -> bytes:
        """The unit of this kind in UTF-8; it must be named."""
        return self._encoded[kind]

    def holds(self, name: tuple[str, str], share: Share) -> bool | None:
        """Whether the unit is inside the share; None where its kind is not named. Asked once under each `name`."""
        if share.kind not in self._encoded:
            return None
        if name not in self._inside:
            self._inside[name] = share.holds(self._encoded[share.kind])
        return self._inside[name]


class Requirement(NamedTuple):
    """A prerequisite: the seat of the layer among those evaluated, the experiment and the variants that will do."""

    seat: int
    experiment: str
    variants: frozenset[str]

    @property
    def detail(self) -> str:
        """What a unit lacks that does not meet it."""
        return f"requires {self.experiment!r} in {' or '.join(sorted(self.variants))}"


class Live:
    """A running or paused experiment, compiled. The hash chooses the first variant whose limit it stays below."""

    __slots__ = (
        "answers", "by_variant", "halted", "keeps", "key", "limits", "phase", "quick", "refused", "requires", "rule",
        "salt",
    )  # fmt: skip

    def __init__(self, experiment: Experiment, requires: Sequence[Requirement]) -> None:
        phase = experiment.phases[-1]
        self.key, self.phase, self.salt = experiment.key, phase.id, Salt(phase.salt)
        self.rule: Rule | None = None if experiment.rule is None else compile_rule(experiment.rule)
        self.quick = shortcut(experiment.rule)
        self.requires = tuple(requires)
        self.keeps = experiment.eligibility is Eligibility.STICK
        reason = SPLIT if experiment.rule is None else TARGETING_MATCH
        self.answers: tuple[Answer, ...] = tuple(
            (
                Assignment(experiment.layer, experiment.key, one.key, phase.id, reason, counted=True),
                dict(one.values),
            )
            for one in experiment.variants
        )
        self.by_variant = {one.key: answer for one, answer in zip(experiment.variants, self.answers, strict=True)}
        stops = tuple(accumulate(phase.weights.get(one.key, 0) for one in experiment.variants))
        # What no hash reaches decides nothing.
        self.limits = tuple(threshold(one, stops[-1]) for one in stops if one < stops[-1])
        self.refused = self.unassigned(experiment.layer, DEFAULT, NOT_MATCHED.detail)
        self.halted: Answer | None = None
        if experiment.status is Status.PAUSED:
            self.halted = self.unassigned(experiment.layer, DISABLED, words.PAUSED)

    def unassigned(self, layer: str, reason: str, detail: str) -> Answer:
        """The answer for a unit that has a bucket here and no variant."""
        return Assignment(layer, self.key, None, None, reason, counted=False, detail=detail), NO_VALUES

    def variant(self, unit: bytes) -> Answer:
        """The answer for a unit that is let in."""
        return self.answers[bisect_right(self.limits, self.salt.hash(unit))]

    def given(self, variant: str, detail: str, *, counted: bool) -> Answer | None:
        """The answer that gives this variant whatever the hash says; None where there is no such variant."""
        found = self.by_variant.get(variant)
        if found is None:
            return None
        reason = SPLIT if counted else TARGETING_MATCH
        return found[0]._replace(reason=reason, counted=counted, detail=detail), found[1]


class Lane:
    """A layer, compiled. `holders[i]` has the buckets between the thresholds i - 1 and i; None where nobody has."""

    __slots__ = (
        "_lives", "_outside", "conditions", "default", "forced", "holders", "holdouts", "key", "kind", "limits",
        "no_unit", "salt", "static",
    )  # fmt: skip

    def __init__(
        self,
        layer: Layer,
        lives: Sequence[tuple[Live, Experiment]],
        conditions: Sequence[Condition],
        holdouts: Mapping[str, Share],
    ) -> None:
        self.key, self.kind, self.salt = layer.key, layer.unit, Salt(layer.salt)
        self._lives = {live.key: live for live, _ in lives}
        self.conditions, self.holdouts = tuple(conditions), tuple(holdouts.items())
        self.default = self._nothing(DEFAULT, words.IN_NO_EXPERIMENT)
        self.static = None if lives else self._nothing(STATIC, words.NOTHING_RUNS)
        self.no_unit = self._nothing(DEFAULT, words.no_unit(layer.unit))
        self._outside = {one.domain: self._nothing(DEFAULT, one.detail) for one in conditions}
        self.forced: dict[str, Answer] = {}
        for live, experiment in lives:
            for unit, variant in experiment.forced.items() if live.halted is None else ():
                answer = live.given(variant, words.ON_ALLOW_LIST, counted=False)
                if answer is not None:
                    self.forced.setdefault(unit, answer)
        edges = sorted((one.start, one.stop, live) for live, held in lives for one in held.ranges)
        limits: list[int] = []
        holders: list[Live | None] = [None]
        for start, stop, live in edges:
            if limits and limits[-1] == threshold(start, BUCKETS):
                holders[-1] = live
            else:
                limits.append(threshold(start, BUCKETS))
                holders.append(live)
            limits.append(threshold(stop, BUCKETS))
            holders.append(None)
        self.limits, self.holders = tuple(limits), tuple(holders)

    @property
    def is_open(self) -> bool:
        """Whether the lane asks nothing of a request but its user."""
        return self.kind is UnitKind.USER and not self.conditions and not self.holdouts

    @property
    def only(self) -> Live | None:
        """The running experiment that has every bucket and no prerequisite, if one has."""
        whole = self.limits == (0, threshold(BUCKETS, BUCKETS))
        live = self.holders[1] if whole else None
        return None if live is None or live.halted is not None or live.requires else live

    def _nothing(self, reason: str, detail: str) -> Answer:
        return Assignment(self.key, None, None, None, reason, counted=False, detail=detail), NO_VALUES

    def decide(self, request: Request, done: Sequence[Assignment]) -> Answer:
        """The answer of this layer; `done` has those of the layers evaluated before."""
        return self._settled(request) or self.place(request, request.units[self.kind], done)

    def _settled(self, request: Request) -> Answer | None:
        """The answer where the buckets are not asked: held out, nothing runs, no unit, named, outside; else None."""
        for key, share in self.holdouts:
            if request.holds(("holdout", key), share):
                return self.held_out(key)
        if self.static is not None:
            return self.static
        unit = request.units.get(self.kind)
        if unit is None:
            return self.no_unit
        return self._named(request, unit) or self._barred(request)

    def without(self, kind: UnitKind) -> Answer:
        """The answer for a request that names no unit of this kind."""
        return self._nothing(DEFAULT, words.no_unit(kind))

    def held_out(self, holdout: str) -> Answer:
        """The answer for a unit that the holdout keeps out."""
        return self._nothing(DEFAULT, words.held_out(holdout))

    def barred_by(self, condition: Condition) -> Answer:
        """The answer for a unit that does not meet the condition."""
        return self._outside[condition.domain]

    def _barred(self, request: Request) -> Answer | None:
        """The answer for a unit whose traffic does not reach the layer; None where it does."""
        for one in self.conditions:
            inside = request.holds(("domain", one.domain), one.share)
            if inside is None:
                return self.without(one.share.kind)
            if inside is not one.wanted:
                return self.barred_by(one)
        return None

    def _named(self, request: Request, unit: str) -> Answer | None:
        for experiment, variant in request.forced.items():
            live = self._lives.get(experiment)
            answer = None if live is None else live.given(variant, words.PREVIEW, counted=False)
            if answer is not None:
                return answer
        return self.forced.get(unit)

    def place(self, request: Request, unit: str, done: Sequence[Assignment]) -> Answer:
        """The answer from the buckets on, for a unit that nothing named and that is inside the domain."""
        encoded = request.encoded(self.kind)
        live = self.holders[bisect_right(self.limits, self.salt.hash(encoded))]
        if live is None:
            return self.default
        if live.halted is not None:
            return live.halted
        refusal = self._refusal(live, request, unit, done)
        if refusal is None:
            return live.variant(encoded)
        if live.keeps and live.phase in request.remembered:
            return live.given(request.remembered[live.phase], words.KEPT, counted=True) or refusal
        return refusal

    def _refusal(self, live: Live, request: Request, unit: str, done: Sequence[Assignment]) -> Answer | None:
        """Why the experiment does not let the unit in, or None if it does."""
        for one in live.requires:
            met = done[one.seat]
            if met.experiment != one.experiment or met.variant not in one.variants:
                return live.unassigned(self.key, DEFAULT, one.detail)
        if live.rule is None:
            return None
        context = request.context
        match = live.rule.match({**context, UNIT_ATTRIBUTE: unit} if live.rule.needs_unit else context)
        if match.matched:
            return None
        return live.unassigned(self.key, ERROR if match.failed else DEFAULT, match.detail)
