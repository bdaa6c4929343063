"""Where an experiment stands in its plan: elapsed time, looks taken, and whether this analysis may judge.

The information of a group-sequential plan is the share of the planned days that has passed. A look is taken by the
first analysis at or after each of `looks` equal shares, at the share where it really happens; boundaries for unequal
looks are exact. Analyses between looks take none, and leave the evidence as the last look found it. Once the end is
reached, later analyses repeat the last look with late events, they do not add one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lamella.experiments.model import AnalysisPlan, Json, Phase
from lamella.services.history import Look, evidence_of, looks_of
from lamella.stats.evidence import Decision, Progress, Verdict
from lamella.stats.standard import Method, Standard

_DAY = timedelta(days=1)
_SAME = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The position of one analysis. `looks` are those taken so far, this one included where `may_judge`.

    `carried` is the evidence of the last look where this analysis may not judge.
    """

    method: Method
    elapsed_days: float
    may_judge: bool
    is_final: bool
    has_ended: bool
    looks: tuple[Look, ...]
    planned_looks: int
    information: float
    waits_for: str
    ending: str
    carried: Verdict | None

    def standard(self, alpha: float) -> Standard:
        """How comparisons are judged: at the latest look's boundary, or that of the first look to come."""
        shares = tuple(look.information for look in self.looks) or (1.0 / max(self.planned_looks, 1),)
        return Standard(method=self.method, alpha=alpha, information=shares)

    def progress(self, minimum_days: float) -> Progress:
        """The same for the verdict's rule."""
        return Progress(
            elapsed_days=self.elapsed_days,
            minimum_days=minimum_days,
            is_final=self.is_final,
            has_ended=self.has_ended,
            waits_for=self.waits_for,
            ending=self.ending,
            can_stop_early_for_nothing=self.method is Method.ALWAYS_VALID,
        )


def data_until(plan: AnalysisPlan, phase: Phase, now: datetime) -> datetime:
    """Until when the record counts: now, the end of the phase, or the planned end of a plan that has a last look."""
    ends = [now] if phase.ended_at is None else [now, phase.ended_at]
    if plan.planned_days is not None and plan.method != Method.ALWAYS_VALID:
        ends.append(phase.started_at + plan.planned_days * _DAY)
    return min(ends)


def standing(
    plan: AnalysisPlan, phase: Phase, previous: Sequence[Mapping[str, Json]], now: datetime, *, is_stopped: bool = False
) -> Standing:
    """Where the analysis at `now` stands, after the looks that the newest of `previous` reports records."""
    until = data_until(plan, phase, now)
    elapsed_days = max(0.0, (until - phase.started_at) / _DAY)
    share = min(1.0, elapsed_days / plan.planned_days) if plan.planned_days else None
    is_over = share is not None and share >= 1.0 - _SAME
    has_ended = is_stopped or phase.ended_at is not None
    method = Method(plan.method)
    latest = previous[-1] if previous else {}
    looks, carried = looks_of(latest), evidence_of(latest)
    plain = Standing(
        method=method,
        elapsed_days=elapsed_days,
        may_judge=True,
        is_final=is_over or has_ended,
        has_ended=has_ended,
        looks=(),
        planned_looks=plan.looks if method is Method.GROUP_SEQUENTIAL else 1,
        information=1.0 if share is None else share,
        waits_for="",
        ending=_ending(plan, elapsed_days, is_over=is_over, has_ended=has_ended),
        carried=None,
    )
    if method is Method.ALWAYS_VALID:
        waits = f"The interval is valid at any time; the next analysis may decide. {_end_in(plan, elapsed_days)}"
        return replace(plain, waits_for=waits)
    if method is Method.FIXED_HORIZON:
        may_judge = share is None or plain.is_final
        left = (plan.planned_days or 0) - elapsed_days
        waits = "" if may_judge else f"A fixed-horizon plan is judged once, at its end in {left:.1f} days."
        taken = (Look(number=1, information=1.0, at=now.isoformat()),) if may_judge else ()
        return replace(plain, may_judge=may_judge, is_final=may_judge, looks=taken, waits_for=waits)
    return _at_look(plan, plain, looks, carried, now, is_over=is_over)


def _at_look(
    plan: AnalysisPlan,
    plain: Standing,
    looks: tuple[Look, ...],
    carried: Verdict | None,
    now: datetime,
    *,
    is_over: bool,
) -> Standing:
    """The standing under a group-sequential plan."""
    due = plan.looks if is_over else int(plain.information * plan.looks + _SAME)
    information = 1.0 if is_over else max(plain.information, _SAME)
    repeats = bool(looks) and information - looks[-1].information < _SAME
    decided = carried is not None and carried.decision is not Decision.KEEP_RUNNING
    is_new = due > (looks[-1].number if looks else 0)
    waits_for = _waits(plan, plain)
    if not (is_over or repeats or not decided if plain.is_final else is_new):
        return replace(plain, may_judge=False, looks=looks, waits_for=waits_for, carried=carried)
    own = Look(number=due, information=looks[-1].information if repeats else information, at=now.isoformat())
    return replace(plain, looks=(*(looks[:-1] if repeats else looks), own), waits_for=waits_for)


def _end_in(plan: AnalysisPlan, elapsed_days: float) -> str:
    if plan.planned_days is None:
        return "The plan sets no end."
    return f"The planned end is {max(0.0, plan.planned_days - elapsed_days):.1f} days away."


def _waits(plan: AnalysisPlan, plain: Standing) -> str:
    if plain.is_final or plan.planned_days is None:
        return ""
    due = int(plain.information * plan.looks + _SAME) + 1
    days = plan.planned_days * due / plan.looks - plain.elapsed_days
    left = plan.planned_days - plain.elapsed_days
    return f"Look {due} of {plan.looks} is due in {days:.1f} days; the planned end is {left:.1f} days away."


def _ending(plan: AnalysisPlan, elapsed_days: float, *, is_over: bool, has_ended: bool) -> str:
    if is_over:
        return "The planned end is reached."
    if not has_ended:
        return f"The plan sets no end and is judged after {elapsed_days:.1f} days."
    planned = "" if plan.planned_days is None else f" of {plan.planned_days}"
    return f"The experiment ended{' early' if planned else ''}, after {elapsed_days:.1f}{planned} days."
