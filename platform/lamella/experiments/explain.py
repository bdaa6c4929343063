"""Why a unit got what it got: the evaluation again, step by step, with every hash, bucket, range and rule result.

It is computed from the configuration itself, not from the compiled tables, and must agree with `Snapshot.assign`.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final

from lamella.experiments import assignment as words
from lamella.experiments import snapshot as reasons
from lamella.experiments.assignment import Assignment
from lamella.experiments.compiling import live_in, order_of
from lamella.experiments.document import ranges_document
from lamella.experiments.fields import plain
from lamella.experiments.hashing import hash32, scale
from lamella.experiments.lanes import NOBODY, NOTHING_FORCED
from lamella.experiments.model import (
    BUCKETS,
    ROOT_SALT,
    BucketRange,
    Domain,
    Eligibility,
    Experiment,
    Json,
    Layer,
    Phase,
    Status,
    UnitKind,
    Variant,
)
from lamella.experiments.selection import domain_of, experiment_of, layer_of
from lamella.experiments.snapshot import Snapshot, Units
from lamella.experiments.spaces import holds_out
from lamella.experiments.targeting import UNIT_ATTRIBUTE, Match, compile_rule

_OPEN: Final = (Status.DRAFT, Status.SCHEDULED)


def explain(
    snapshot: Snapshot,
    unit: Units,
    context: Mapping[str, Json],
    *,
    remembered: Mapping[int, str] = NOBODY,
    forced: Mapping[str, str] = NOTHING_FORCED,
) -> dict[str, Json]:
    """The evaluation of `unit` as a JSON object: the layers with their steps and results, and the parameters.

    Each step has `step`, `outcome` (a sentence) and its numbers. Nothing is logged and nothing counts as exposure.
    """
    if forced:
        # Refuses a preview of what is not there, as serving does.
        snapshot.assign(unit, context, forced=forced)
    configuration = snapshot.configuration
    units = {UnitKind.USER: unit} if isinstance(unit, str) else unit
    parameters: dict[str, Json] = {one.key: plain(one.default) for one in configuration.parameters}
    told: dict[str, Json] = {}
    results: dict[str, Assignment] = {}
    for key in order_of(configuration):
        trace = _Trace(snapshot, layer_of(configuration, key), units, context, results)
        trace.remembered, trace.preview = remembered, forced
        trace.run()
        values: dict[str, Json] = {name: plain(value) for name, value in trace.values.items()}
        parameters.update(values)
        results[key] = trace.result
        told[key] = {**trace.result._asdict(), "values": values, "steps": list(trace.steps)}
    named: Json = unit if isinstance(unit, str) else {kind.value: one for kind, one in units.items()}
    layers = [told[layer.key] for layer in configuration.layers]
    return {"unit": named, "snapshot": snapshot.version, "parameters": parameters, "layers": layers}


class _Trace:
    """The evaluation of one layer. `run` fills `steps`, `result` and `values`."""

    def __init__(
        self,
        snapshot: Snapshot,
        layer: Layer,
        units: Mapping[UnitKind, str],
        context: Mapping[str, Json],
        results: Mapping[str, Assignment],
    ) -> None:
        self.snapshot, self.configuration, self.layer = snapshot, snapshot.configuration, layer
        self.units, self.context, self.results = units, context, results
        self.unit = units.get(layer.unit, "")
        self.live = live_in(self.configuration, layer.key)
        self.remembered: Mapping[int, str] = NOBODY
        self.preview: Mapping[str, str] = NOTHING_FORCED
        self.steps: list[Json] = []
        self.values: Mapping[str, Json] = {}
        self.result = Assignment(layer.key, None, None, None, reasons.STATIC, counted=False)

    def run(self) -> None:
        """Nothing; goes through the steps until one decides."""
        if self._kill_switch() or self._held_out() or self._previewed() or self._nothing_runs() or self._no_unit():
            return
        if self._forced() or self._outside():
            return
        matches = self._targeting()
        holder = self._bucket()
        if holder is None:
            self._end(None, reasons.DEFAULT, words.IN_NO_EXPERIMENT)
        elif holder.status is Status.PAUSED:
            self._end(holder.key, reasons.DISABLED, words.PAUSED)
        elif matches[holder.key].matched:
            self._variant(holder)
        elif not self._kept(holder):
            match = matches[holder.key]
            self._end(holder.key, reasons.ERROR if match.failed else reasons.DEFAULT, match.detail)

    def _step(self, step: str, outcome: str, **numbers: Json) -> None:
        self.steps.append({"step": step, "outcome": outcome, **numbers})

    def _end(self, experiment: str | None, reason: str, detail: str) -> None:
        self.result = Assignment(self.layer.key, experiment, None, None, reason, counted=False, detail=detail)

    def _give(self, experiment: Experiment, variant: Variant, reason: str, *, detail: str = "") -> None:
        self.values = variant.values
        phase = None if experiment.status in _OPEN else experiment.phases[-1].id
        counted = detail in ("", words.KEPT)
        self.result = Assignment(self.layer.key, experiment.key, variant.key, phase, reason, counted, detail)

    def _kill_switch(self) -> bool:
        killed = self.configuration.killed
        self._step("kill_switch", "on: every layer gives its defaults" if killed else "off", on=killed)
        if killed:
            self._end(None, reasons.DISABLED, words.KILLED)
        return killed

    def _held_out(self) -> bool:
        """Whether a holdout keeps the unit out; a step for each that could, those of all layers first."""
        concerned = [one for one in self.snapshot.holdouts if holds_out(self.configuration, one, self.layer)]
        for one in sorted(concerned, key=lambda each: each.domain is not None):
            if self._inside("holdout", one.key, one.salt, one.unit, one.ranges):
                self._end(None, reasons.DEFAULT, words.held_out(one.key))
                return True
        return False

    def _previewed(self) -> bool:
        """Whether the preview of an experiment decides that could not be on an allow-list yet, or is live."""
        for key, wanted in self.preview.items():
            experiment = experiment_of(self.configuration, key)
            chosen = next((one for one in experiment.variants if one.key == wanted), None)
            is_live = self.unit and experiment.status in (Status.RUNNING, Status.PAUSED)
            if chosen and experiment.layer == self.layer.key and (is_live or experiment.status in _OPEN):
                self._step("preview", f"a preview gives {wanted} of {key}", experiment=key, variant=wanted)
                self._give(experiment, chosen, reasons.TARGETING_MATCH, detail=words.PREVIEW)
                return True
        return False

    def _nothing_runs(self) -> bool:
        if not self.live:
            self._step("experiments", "no experiment of this layer runs: its defaults hold")
            self._end(None, reasons.STATIC, words.NOTHING_RUNS)
        return not self.live

    def _no_unit(self) -> bool:
        if self.layer.unit in self.units:
            return False
        self._step("unit", words.no_unit(self.layer.unit), unit=self.layer.unit.value)
        self._end(None, reasons.DEFAULT, words.no_unit(self.layer.unit))
        return True

    def _inside(self, step: str, key: str, salt: str, kind: UnitKind, ranges: Sequence[BucketRange]) -> bool | None:
        """Whether the unit is in these buckets of a space, told as a step; None where its kind is not named."""
        unit = self.units.get(kind)
        if unit is None:
            self._step(step, f"{key}: {words.no_unit(kind)}", key=key, unit=kind.value)
            return None
        hashed = hash32(salt, unit)
        bucket = scale(hashed, BUCKETS)
        inside = any(one.start <= bucket < one.stop for one in ranges)
        outcome = f"bucket {bucket} is {'inside' if inside else 'outside'} {key}"
        numbers: dict[str, Json] = {"hashed": f"{salt}:{unit}", "hash": hashed, "bucket": bucket, "buckets": BUCKETS}
        self._step(step, outcome, key=key, inside=inside, **numbers, ranges=ranges_document(ranges))
        return inside

    def _outside(self) -> bool:
        """Whether the unit's traffic does not reach the layer; a step for each domain that decides it."""
        if self.layer.is_launch:
            return False
        around = self._around()
        if not around or around[0].layer is not None:
            around = [*self._separate(), *around]
        for domain in around:
            wanted = domain in self._around()
            salt, kind = ROOT_SALT, domain.unit
            if domain.layer is not None:
                parent = layer_of(self.configuration, domain.layer)
                salt, kind = parent.salt, parent.unit
            inside = self._inside("domain", domain.key, salt, kind, domain.ranges)
            if inside is not wanted:
                told = words.no_unit(kind) if inside is None else _barred(domain, wanted=wanted)
                self._end(None, reasons.DEFAULT, told)
                return True
        return False

    def _around(self) -> list[Domain]:
        """The domains that the layer lies in, the widest first."""
        found: list[Domain] = []
        layer = self.layer
        while layer.domain is not None:
            found.insert(0, domain_of(self.configuration, layer.domain))
            if found[0].layer is None:
                break
            layer = layer_of(self.configuration, found[0].layer)
        return found

    def _separate(self) -> list[Domain]:
        return [one for one in self.configuration.domains if one.layer is None and not one.is_overlapping]

    def _forced(self) -> bool:
        for one in self.live:
            wanted = one.forced.get(self.unit)
            if wanted is not None and one.status is Status.RUNNING:
                outcome = f"the allow-list of {one.key} gives {wanted}; logged, and out of the analysis"
                self._step("forced", outcome, experiment=one.key, variant=wanted)
                variant = next(each for each in one.variants if each.key == wanted)
                self._give(one, variant, reasons.TARGETING_MATCH, detail=words.ON_ALLOW_LIST)
                return True
        self._step("forced", "on no allow-list of this layer", experiment=None, variant=None)
        return False

    def _targeting(self) -> dict[str, Match]:
        matches = {one.key: self._required(one) or self._matched(one) for one in self.live}
        results: list[Json] = [
            {
                "experiment": one.key,
                "status": one.status.value,
                "requires": [{"experiment": each.experiment, "variants": list(each.variants)} for each in one.requires],
                "rule": plain(one.rule),
                "matched": matches[one.key].matched,
                "detail": matches[one.key].detail or ("the rule is true" if one.rule is not None else "no rule"),
            }
            for one in self.live
        ]
        open_to = [key for key, match in matches.items() if match.matched]
        self._step("targeting", f"may enter {', '.join(open_to) or 'no experiment'}", experiments=results)
        return matches

    def _matched(self, experiment: Experiment) -> Match:
        return compile_rule(experiment.rule).match({**self.context, UNIT_ATTRIBUTE: self.unit})

    def _required(self, experiment: Experiment) -> Match | None:
        """The refusal by the first prerequisite that is not met, or None where all are."""
        for one in experiment.requires:
            met = self.results[experiment_of(self.configuration, one.experiment).layer]
            if met.experiment != one.experiment or met.variant not in one.variants:
                return Match(False, f"requires {one.experiment!r} in {' or '.join(sorted(one.variants))}")  # noqa: FBT003
        return None

    def _bucket(self) -> Experiment | None:
        hashed = hash32(self.layer.salt, self.unit)
        bucket = scale(hashed, BUCKETS)
        holder = next((one for one in self.live if _covers(one, bucket)), None)
        ranges: list[Json] = [
            {"experiment": one.key, "start": each.start, "stop": each.stop} for one in self.live for each in one.ranges
        ]
        outcome = f"bucket {bucket} belongs to {holder.key if holder else 'no experiment'}"
        self._step(
            "bucket",
            outcome,
            hashed=f"{self.layer.salt}:{self.unit}",
            hash=hashed,
            buckets=BUCKETS,
            bucket=bucket,
            ranges=ranges,
        )
        return holder

    def _variant(self, experiment: Experiment) -> None:
        phase = experiment.phases[-1]
        hashed = hash32(phase.salt, self.unit)
        stops = list(accumulate(_weights(experiment, phase)))
        place = scale(hashed, stops[-1])
        chosen = next(one for one, stop in zip(experiment.variants, stops, strict=True) if place < stop)
        starts = [0, *stops[:-1]]
        ranges: list[Json] = [
            {"variant": one.key, "start": start, "stop": stop}
            for one, start, stop in zip(experiment.variants, starts, stops, strict=True)
        ]
        self._step(
            "variant",
            f"place {place} of {stops[-1]} belongs to {chosen.key}",
            hashed=f"{phase.salt}:{self.unit}",
            hash=hashed,
            phase=phase.id,
            total=stops[-1],
            place=place,
            ranges=ranges,
        )
        self._give(experiment, chosen, reasons.SPLIT if experiment.rule is None else reasons.TARGETING_MATCH)

    def _kept(self, experiment: Experiment) -> bool:
        """Whether the experiment keeps a unit that is no longer eligible, told as a step where it would."""
        if experiment.eligibility is not Eligibility.STICK:
            return False
        kept = self.remembered.get(experiment.phases[-1].id)
        variant = next((one for one in experiment.variants if one.key == kept), None)
        outcome = f"stays in {kept}, to which it was exposed" if variant else "was not exposed before"
        self._step("sticky", outcome, variant=kept)
        if variant is not None:
            self._give(experiment, variant, reasons.SPLIT, detail=words.KEPT)
        return variant is not None


def _barred(domain: Domain, *, wanted: bool) -> str:
    return words.outside(domain.key) if wanted else words.taken_by(domain.key)


def _covers(experiment: Experiment, bucket: int) -> bool:
    return any(one.start <= bucket < one.stop for one in experiment.ranges)


def _weights(experiment: Experiment, phase: Phase) -> Sequence[int]:
    return [phase.weights.get(one.key, 0) for one in experiment.variants]
