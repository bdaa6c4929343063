"""The written rule that turns checks, the primary metric and guardrails into a decision with its reason.

1. A failed blocking check makes the result invalid; before the minimum run time there is no verdict but harm.
2. Ship: the primary metric is significantly better at this look's boundary, after correction for the number of
   variants, and every guardrail is shown to be no worse than its margin; among several the largest lift.
3. Harm: the primary is significantly worse, or a guardrail is shown to be worse than its margin: stop.
4. At the end: keep control if a variant is worse, or better but not shown to be safe; else no difference.
5. Otherwise keep running.
"""

from collections.abc import Sequence

from lamella.stats import reasons
from lamella.stats.evidence import MINIMUM_DAYS, Check, Contender, Decision, Progress, Question, Verdict


def judge(contenders: Sequence[Contender], question: Question, progress: Progress) -> Verdict:
    """What the evidence says at this look, checks aside.

    >>> found = Contender(
    ...     variant="cnn", lift=0.05, low=0.01, high=0.09, p=0.01, good=0.05, is_better=True, is_worse=False
    ... )
    >>> question = Question(label="CTR", minimum_effect=0.02, level=0.95)
    >>> judge([found], question, Progress(elapsed_days=14, minimum_days=7, is_final=True)).reason
    'cnn: the lift in CTR is +5.00% (95.0% interval +1.00% to +9.00%), significantly better.'
    """
    defined = [each for each in contenders if each.undefined is None]
    if not defined:
        return _without_evidence(contenders, question, progress)
    winners = [each for each in defined if each.is_better and each.is_safe]
    if winners:
        winner = max(winners, key=_goodness)
        return _said(Decision.SHIP, winner, reasons.win(winner, question))
    harmful = [each for each in defined if each.is_harmful]
    if harmful and not progress.is_final:
        worst = min(harmful, key=_goodness)
        return _said(Decision.STOP_FOR_HARM, worst, f"{reasons.harm(worst, question)} Stop sending readers there.")
    if progress.is_final:
        return _at_the_end(defined, harmful, question, progress)
    leader = max([each for each in defined if each.is_better] or defined, key=_goodness)
    if progress.can_stop_early_for_nothing and all(each.is_within(question.minimum_effect) for each in defined):
        return _said(Decision.NO_DIFFERENCE, leader, reasons.nothing_that_matters(leader, question))
    return _said(Decision.KEEP_RUNNING, leader, reasons.not_yet(leader, question, waits_for=progress.waits_for))


def decide(evidence: Verdict, checks: Sequence[Check], progress: Progress) -> Verdict:
    """The verdict: the evidence, unless a check blocks it or the minimum run time is not over.

    >>> evidence = Verdict(decision=Decision.SHIP, variant="cnn", reason="It won.")
    >>> srm = Check(check="sample_ratio", passed=False, blocking=True, p=1e-9, detail="The arms' sizes are wrong.")
    >>> decide(evidence, [srm], Progress(elapsed_days=14, minimum_days=7, is_final=True)).decision.value
    'invalid'
    """
    fatal = [check for check in checks if check.blocks and check.check != MINIMUM_DAYS]
    if fatal:
        details = " ".join(check.detail for check in fatal)
        names = " and ".join(check.check for check in fatal)
        reason = f"A check failed ({names}), so the numbers do not show what the variants do. {details}"
        numbers = {f"{check.check}_p": check.p for check in fatal}
        return Verdict(decision=Decision.INVALID, variant=None, reason=reason, numbers=numbers)
    left = progress.minimum_days - progress.elapsed_days
    if left <= 0.0 or evidence.decision in (Decision.STOP_FOR_HARM, Decision.KEEP_RUNNING, Decision.INVALID):
        return evidence
    days = {"elapsed_days": progress.elapsed_days, "minimum_days": progress.minimum_days, "days_left": left}
    if progress.has_ended:
        reason = (
            f"The experiment ended after {progress.elapsed_days:.1f} days; its plan asks for at least "
            f"{progress.minimum_days:g}, so there is no verdict."
        )
        return Verdict(decision=Decision.INVALID, variant=None, reason=reason, numbers=days)
    reason = f"The minimum run time of {progress.minimum_days:g} days is not over: {left:.1f} days are left."
    return Verdict(decision=Decision.KEEP_RUNNING, variant=None, reason=reason, numbers=days)


def _without_evidence(contenders: Sequence[Contender], question: Question, progress: Progress) -> Verdict:
    why = next((each.undefined.detail for each in contenders if each.undefined is not None), "there is no treatment")
    if progress.is_final:
        reason = f"{question.label} cannot be compared: {why}."
        return Verdict(decision=Decision.INVALID, variant=None, reason=reason)
    reason = f"{question.label} cannot be compared yet: {why}. {progress.waits_for}".strip()
    return Verdict(decision=Decision.KEEP_RUNNING, variant=None, reason=reason)


def _at_the_end(
    defined: Sequence[Contender], harmful: Sequence[Contender], question: Question, progress: Progress
) -> Verdict:
    held = [each for each in defined if each.is_better]
    best = max(held or defined, key=_goodness)
    if held:
        reason = f"{best.variant}: {question.label} {reasons.effect(best, question)}, but {reasons.unsafe(best)}."
        return _said(Decision.KEEP_CONTROL, best, f"{progress.ending} {reason}".strip())
    if harmful:
        worst = min(harmful, key=_goodness)
        others = " No other treatment passed." if len(defined) > 1 else ""
        reason = f"{progress.ending} {reasons.harm(worst, question)}{others}"
        return _said(Decision.KEEP_CONTROL, worst, reason.strip())
    if all(each.is_within(question.minimum_effect) for each in defined):
        return _said(Decision.NO_DIFFERENCE, best, reasons.nothing_that_matters(best, question))
    reason = reasons.nothing_found(best, question, arms=len(defined), ending=progress.ending)
    return _said(Decision.NO_DIFFERENCE, best, reason.strip())


def _goodness(contender: Contender) -> float:
    return contender.good


def _said(decision: Decision, about: Contender, reason: str) -> Verdict:
    numbers = {"relative_lift": about.lift, "low": about.low, "high": about.high, "p": about.p}
    return Verdict(decision=decision, variant=about.variant, reason=reason, numbers=numbers)
