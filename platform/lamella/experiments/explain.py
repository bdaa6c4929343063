"""Why a unit got what it got: the evaluation again, step by step, with every hash, bucket, range and rule result.

It is computed from the configuration itself, not from the compiled tables, and must agree with `Snapshot.assign`.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate

from lamella.experiments import snapshot as reasons
from lamella.experiments.fields import plain
from lamella.experiments.hashing import hash32, scale
from lamella.experiments.model import BUCKETS, Configuration, Experiment, Json, Layer, Phase, Status, Variant
from lamella.experiments.snapshot import Assignment, Snapshot
from lamella.experiments.targeting import UNIT_ATTRIBUTE, Match, compile_rule


def explain(snapshot: Snapshot, unit: str, context: Mapping[str, Json]) -> dict[str, Json]:
    """The evaluation of `unit` as a JSON object: the layers with their steps and results, and the parameters.

    Each step has `step`, `outcome` (a sentence) and its numbers. Nothing is logged and nothing counts as exposure.
    """
    configuration = snapshot.configuration
    parameters: dict[str, Json] = {one.key: plain(one.default) for one in configuration.parameters}
    layers: list[Json] = []
    for layer in configuration.layers:
        trace = _Trace(configuration, layer, unit, context)
        trace.run()
        values: dict[str, Json] = {key: plain(value) for key, value in trace.values.items()}
        parameters.update(values)
        layers.append({**trace.result._asdict(), "values": values, "steps": list(trace.steps)})
    return {"unit": unit, "snapshot": snapshot.version, "parameters": parameters, "layers": layers}


class _Trace:
    """The evaluation of one layer. `run` fills `steps`, `result` and `values`."""

    def __init__(self, configuration: Configuration, layer: Layer, unit: str, context: Mapping[str, Json]) -> None:
        self.layer, self.unit = layer, unit
        self.killed = configuration.killed
        self.context: Mapping[str, Json] = {**context, UNIT_ATTRIBUTE: unit}
        live = (Status.RUNNING, Status.PAUSED)
        self.live = [one for one in configuration.experiments if one.layer == layer.key and one.status in live]
        self.steps: list[Json] = []
        self.values: Mapping[str, Json] = {}
        self.result = Assignment(layer.key, None, None, None, reasons.STATIC, counted=False)

    def run(self) -> None:
        """Nothing; goes through the steps until one decides."""
        if self._kill_switch() or self._nothing_runs() or self._forced():
            return
        matches = self._targeting()
        holder = self._bucket()
        if holder is None:
            self._end(None, reasons.DEFAULT, "in no experiment")
        elif holder.status is Status.PAUSED:
            self._end(holder.key, reasons.DISABLED, "the experiment is paused")
        elif not matches[holder.key].matched:
            match = matches[holder.key]
            self._end(holder.key, reasons.ERROR if match.failed else reasons.DEFAULT, match.detail)
        else:
            self._variant(holder)

    def _step(self, step: str, outcome: str, **numbers: Json) -> None:
        self.steps.append({"step": step, "outcome": outcome, **numbers})

    def _end(self, experiment: str | None, reason: str, detail: str) -> None:
        self.result = Assignment(self.layer.key, experiment, None, None, reason, counted=False, detail=detail)

    def _give(self, experiment: Experiment, variant: Variant, reason: str, *, forced: bool) -> None:
        self.values = variant.values
        self.result = Assignment(
            self.layer.key,
            experiment.key,
            variant.key,
            experiment.phases[-1].id,
            reason,
            counted=not forced,
            detail="on the allow-list" if forced else "",
        )

    def _kill_switch(self) -> bool:
        self._step("kill_switch", "on: every layer gives its defaults" if self.killed else "off", on=self.killed)
        if self.killed:
            self._end(None, reasons.DISABLED, "the kill switch is on")
        return self.killed

    def _nothing_runs(self) -> bool:
        if not self.live:
            self._step("experiments", "no experiment of this layer runs: its defaults hold")
            self._end(None, reasons.STATIC, "no experiment runs here")
        return not self.live

    def _forced(self) -> bool:
        for one in self.live:
            wanted = one.forced.get(self.unit)
            if wanted is not None and one.status is Status.RUNNING:
                outcome = f"the allow-list of {one.key} gives {wanted}; logged, and out of the analysis"
                self._step("forced", outcome, experiment=one.key, variant=wanted)
                variant = next(each for each in one.variants if each.key == wanted)
                self._give(one, variant, reasons.TARGETING_MATCH, forced=True)
                return True
        self._step("forced", "on no allow-list of this layer", experiment=None, variant=None)
        return False

    def _targeting(self) -> dict[str, Match]:
        matches = {one.key: compile_rule(one.rule).match(self.context) for one in self.live}
        results: list[Json] = [
            {
                "experiment": one.key,
                "status": one.status.value,
                "rule": plain(one.rule),
                "matched": matches[one.key].matched,
                "detail": matches[one.key].detail or ("the rule is true" if one.rule is not None else "no rule"),
            }
            for one in self.live
        ]
        open_to = [key for key, match in matches.items() if match.matched]
        self._step("targeting", f"may enter {', '.join(open_to) or 'no experiment'}", experiments=results)
        return matches

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
        self._give(
            experiment, chosen, reasons.SPLIT if experiment.rule is None else reasons.TARGETING_MATCH, forced=False
        )


def _covers(experiment: Experiment, bucket: int) -> bool:
    return any(one.start <= bucket < one.stop for one in experiment.ranges)


def _weights(experiment: Experiment, phase: Phase) -> Sequence[int]:
    return [phase.weights.get(one.key, 0) for one in experiment.variants]
