"""The verdict of a report: contenders from readings, the look that is recorded, the written rule."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lamella.experiments.model import AnalysisPlan
from lamella.metrics.definitions import Direction
from lamella.services.comparing import Reading, guardrail_test
from lamella.services.history import Look
from lamella.services.schedule import Standing
from lamella.stats.evidence import Check, Contender, Decision, GuardrailReading, Question, Safety, Verdict
from lamella.stats.lift import Lift
from lamella.stats.sequential import boundaries
from lamella.stats.standard import Judged, Method, Standard
from lamella.stats.undefined import Undefined
from lamella.stats.verdict import decide, judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """The verdict, the evidence at the last look (checks aside), and the looks with what this one found."""

    verdict: Verdict
    evidence: Verdict
    looks: tuple[Look, ...]


def conclude(plan: AnalysisPlan, readings: Sequence[Reading], checked: Sequence[Check], stand: Standing) -> Conclusion:
    """The conclusion at this look; between looks the last one's, with its checks made anew."""
    standard = stand.standard(plan.alpha)
    primary = [reading for reading in readings if reading.role.role == "primary"]
    progress = stand.progress(plan.minimum_days)
    looks = stand.looks
    if not stand.may_judge:
        evidence = _between_looks(stand)
    else:
        contenders = [_contender(reading, readings, standard) for reading in primary]
        level = next((each.used.level for each in primary if isinstance(each.used, Judged)), 1.0 - plan.alpha)
        label = primary[0].role.metric.label if primary else plan.primary_metric
        evidence = judge(contenders, Question(label=label, minimum_effect=plan.minimum_effect, level=level), progress)
        if looks:
            looks = (*looks[:-1], replace(looks[-1], z=_leading_z(primary), boundary=_boundary(standard)))
        evidence = replace(evidence, numbers={**evidence.numbers, **_look_numbers(looks)})
    verdict = _with_days_left(decide(evidence, checked, progress), plan, stand)
    return Conclusion(verdict=verdict, evidence=evidence, looks=looks)


def _with_days_left(verdict: Verdict, plan: AnalysisPlan, stand: Standing) -> Verdict:
    """Adds the days until the planned end to one that keeps running, where the plan sets one."""
    if verdict.decision is not Decision.KEEP_RUNNING or plan.planned_days is None:
        return verdict
    left = max(0.0, plan.planned_days - stand.elapsed_days)
    return replace(verdict, numbers={"days_left": left, **verdict.numbers})


def _between_looks(stand: Standing) -> Verdict:
    if stand.carried is not None and stand.carried.decision is not Decision.KEEP_RUNNING:
        return stand.carried
    taken = f"{len(stand.looks)} of {stand.planned_looks} looks were taken without a decision. " if stand.looks else ""
    variant = None if stand.carried is None else stand.carried.variant
    return Verdict(decision=Decision.KEEP_RUNNING, variant=variant, reason=f"{taken}{stand.waits_for}".strip())


def _contender(reading: Reading, readings: Sequence[Reading], standard: Standard) -> Contender:
    guardrails = tuple(
        _guardrail(other, standard)
        for other in readings
        if other.role.role == "guardrail" and other.variant == reading.variant
    )
    used = reading.used
    if isinstance(used, Undefined):
        return Contender(
            variant=reading.variant,
            lift=None,
            low=None,
            high=None,
            p=None,
            good=-math.inf,
            is_better=False,
            is_worse=False,
            undefined=used,
            guardrails=guardrails,
        )
    sign = 1.0 if reading.role.metric.direction is Direction.INCREASE else -1.0
    lift = used.lift if isinstance(used.lift, Lift) else None
    low, high = (None, None) if lift is None else lift.interval
    return Contender(
        variant=reading.variant,
        lift=None if lift is None else lift.value,
        low=low,
        high=high,
        p=used.p,
        good=sign * used.difference.value,
        is_better=used.is_significant and sign * used.difference.value > 0.0,
        is_worse=used.is_significant and sign * used.difference.value < 0.0,
        is_adjusted=used is reading.adjusted,
        guardrails=guardrails,
    )


def _guardrail(reading: Reading, standard: Standard) -> GuardrailReading:
    label, margin = reading.role.metric.label, reading.role.margin or 0.0
    tested = guardrail_test(reading, standard)
    used = reading.used
    if isinstance(tested, Undefined):
        return GuardrailReading(label=label, margin=margin, safety=Safety.UNCLEAR, undefined=tested)
    lift = None if isinstance(used, Undefined) or isinstance(used.lift, Undefined) else used.lift
    low, high = (None, None) if lift is None else lift.interval
    safety = Safety.SAFE if tested.is_noninferior else Safety.HARMED if tested.is_harmful else Safety.UNCLEAR
    return GuardrailReading(label=label, margin=margin, safety=safety, low=low, high=high)


def _leading_z(primary: Sequence[Reading]) -> float | None:
    """The statistic of the treatment that is furthest in the good direction."""
    found = []
    for reading in primary:
        if not isinstance(reading.used, Undefined):
            sign = 1.0 if reading.role.metric.direction is Direction.INCREASE else -1.0
            found.append((sign * reading.used.difference.z, reading.used.difference.z))
    return max(found)[1] if found else None


def _boundary(standard: Standard) -> float | None:
    """What |z| has to reach at this look for one comparison; None where a look is too early to spend anything."""
    if standard.method is not Method.GROUP_SEQUENTIAL:
        return None
    limit = boundaries(standard.information, alpha=standard.alpha)[-1]
    return limit if math.isfinite(limit) else None


def _look_numbers(looks: Sequence[Look]) -> dict[str, float | None]:
    if not looks:
        return {}
    return {"look": float(looks[-1].number), "z": looks[-1].z, "boundary": looks[-1].boundary}
