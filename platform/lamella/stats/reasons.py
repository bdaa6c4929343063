"""The sentences of a verdict: plain, with the numbers that they rest on."""

from collections.abc import Sequence

from lamella.stats.evidence import Contender, GuardrailReading, Question, Safety


def win(winner: Contender, question: Question) -> str:
    """Why the winner may be shipped."""
    guarded = _listed([reading.label for reading in winner.guardrails])
    safe = f", and within margin: {guarded}" if guarded else ""
    return f"{winner.variant}: {_lift_in(question)} is {effect(winner, question)}, significantly better{safe}."


def harm(worst: Contender, question: Question) -> str:
    """What got worse, the primary metric first."""
    if worst.is_worse:
        return f"{worst.variant}: {_lift_in(question)} is {effect(worst, question)}, significantly worse."
    broken = next(reading for reading in worst.guardrails if reading.safety is Safety.HARMED)
    return f"{worst.variant}: the guardrail {broken.label} is worse than its margin of {_margin(broken)}."


def unsafe(contender: Contender) -> str:
    """Which guardrails are not shown to be within their margins, as a clause."""
    parts = [
        f"{reading.label} is {_safety(reading)} its margin of {_margin(reading)}"
        for reading in contender.guardrails
        if reading.safety is not Safety.SAFE
    ]
    return _listed(parts)


def nothing_that_matters(best: Contender, question: Question) -> str:
    """That the interval leaves no room for a lift that the plan cares about."""
    return (
        f"No difference that matters: for {best.variant} {_lift_in(question)} is {effect(best, question)}; the whole "
        f"interval is inside ±{question.minimum_effect:.1%}, the least lift that the plan cares about."
    )


def nothing_found(best: Contender, question: Question, *, arms: int, ending: str) -> str:
    """That the end came without significance, and what the interval still rules out."""
    which = f"any of the {arms} treatments; for the best, {best.variant}," if arms > 1 else f"{best.variant};"
    return (
        f"{ending} No difference was found between control and {which} {_lift_in(question)} is "
        f"{effect(best, question)}, p = {p_text(best.p)}: {_ruled_out(best)}."
    )


def not_yet(leader: Contender, question: Question, *, waits_for: str) -> str:
    """Why the evidence does not suffice at this look."""
    held = unsafe(leader) if leader.is_better else f"not significant at this look (p = {p_text(leader.p)})"
    return f"{leader.variant}: {_lift_in(question)} is {effect(leader, question)}; {held}. {waits_for}".strip()


def effect(contender: Contender, question: Question) -> str:
    """The lift with its interval."""
    if contender.lift is None:
        return "undefined, because control is 0"
    adjusted = ", adjusted for the time before" if contender.is_adjusted else ""
    bounds = _interval(contender.low, contender.high)
    return f"{contender.lift:+.2%} ({_level(question.level)} interval {bounds}{adjusted})"


def _lift_in(question: Question) -> str:
    """The lift's name inside a sentence; an abbreviation keeps its capitals."""
    label = question.label
    return f"the lift in {label if label[1:2].isupper() else label[:1].lower() + label[1:]}"


def p_text(p: float | None) -> str:
    """The p-value with two digits."""
    return "undefined" if p is None else f"{p:.2g}"


def _safety(reading: GuardrailReading) -> str:
    return "worse than" if reading.safety is Safety.HARMED else "not shown to be within"


def _margin(reading: GuardrailReading) -> str:
    why = reading.undefined.detail if reading.undefined else f"interval {_interval(reading.low, reading.high)}"
    return f"{reading.margin:.1%} ({why})"


def _ruled_out(contender: Contender) -> str:
    parts = []
    if contender.high is not None and contender.high > 0.0:
        parts.append(f"a lift of more than {contender.high:.2%}")
    if contender.low is not None and contender.low < 0.0:
        parts.append(f"a loss of more than {-contender.low:.2%}")
    return f"the interval rules out {_listed(parts)}" if parts else "the interval rules nothing out"


def _interval(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "without bounds"
    if high is None:
        return f"from {low:+.2%} without upper bound"
    return f"up to {high:+.2%} without lower bound" if low is None else f"{low:+.2%} to {high:+.2%}"


def _level(level: float) -> str:
    """The level as a percentage, with as many digits as tell it from 100 %."""
    for digits in range(1, 12):
        text = f"{100.0 * level:.{digits}f}"
        if not text.startswith("100"):
            return f"{text}%"
    return "100%"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(parts) if len(parts) < 3 else f"{', '.join(parts[:-1])} and {parts[-1]}"
