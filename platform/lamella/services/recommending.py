"""The life of a request: assign in every layer, recall, rank, re-rank, record, answer."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from lamella.errors import LamellaError, StoreUnavailable
from lamella.events.codec import encode
from lamella.events.contract import Exposed, Impressions, Slate
from lamella.experiments.model import Json
from lamella.experiments.snapshot import Assignment, Decision, Snapshot
from lamella.services.assigning import check_context, check_unit, forced_by
from lamella.services.cascade import Asked, Cascade, Course, Models
from lamella.services.guarding import MustWait
from lamella.services.histories import Histories, NoHistories
from lamella.services.model_ports import Reader, Scored
from lamella.services.ports import Clock, Journal
from lamella.services.previewing import Previews
from lamella.services.remembering import NoMemory, Remembering
from lamella.services.stages import StageReader, Stages

UNUSABLE: Final = "unusable"
HISTORY: Final = "history"
"""Where `fallbacks` says that the unit's reads could not be had."""


class Snapshots(Protocol):
    """Whoever holds the compiled configuration in force."""

    def current(self) -> Snapshot:
        """The snapshot, from memory."""
        ...


class Wish(NamedTuple):
    """One request for a list: for whom, where, and within which limits.

    At most `k` items (None: as the layers say), none of `exclude`, out of `candidates` where those are given. A
    caller that repeats a request passes its `request_id` again: the record keeps the first. `preview` is a token that
    shows one variant, which is recorded and out of the analysis; with `is_counted` False the whole slate is, in every
    layer. `is_checked` says that unit and context have passed `check_unit` and `check_context` where they came in.
    """

    unit: str
    context: Mapping[str, Json]
    k: int | None = None
    exclude: frozenset[str] = frozenset()
    candidates: tuple[str, ...] | None = None
    request_id: str | None = None
    preview: str | None = None
    is_counted: bool = True
    is_checked: bool = False


class Answer(NamedTuple):
    """The list, and what decided it.

    `models` maps each stage that a model answered to that version. `fallbacks` maps a stage to why the wanted model
    did not answer: missing, corrupt, failed, late or unavailable; and a parameter to `unusable` where its value was
    replaced by its default.
    """

    request_id: str
    unit: str
    items: Impressions
    parameters: Mapping[str, Json]
    assignments: tuple[Assignment, ...]
    snapshot: int
    models: Mapping[str, str]
    fallbacks: Mapping[str, str]


class Plan(NamedTuple):
    """Who answers a wish: `is_read` where what the unit has read is wanted for it."""

    wish: Wish
    started: float
    snapshot: Snapshot
    decision: Decision
    stages: Stages
    models: Models
    is_read: bool


class Found(NamedTuple):
    """What the stages found for a plan: the items to show, and what happened on the way."""

    plan: Plan
    asked: Asked
    course: Course
    chosen: Scored
    source: str


class Made(NamedTuple):
    """A slate that is not recorded yet."""

    snapshot: Snapshot
    decision: Decision
    slate: Slate
    impressions: Impressions

    def batch(self) -> bytes:
        """What the journal has to keep of it."""
        return encode([self.slate])


class Recommending:
    """The use case behind POST /v1/recommendations."""

    def __init__(
        self,
        *,
        snapshots: Snapshots,
        cascade: Cascade,
        journal: Journal,
        clock: Clock,
        new_id: Callable[[], str],
        remembering: Remembering | None = None,
        previews: Previews | None = None,
        histories: Histories | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._snapshots, self._cascade, self._journal, self._clock = snapshots, cascade, journal, clock
        self._new_id, self._monotonic = new_id, monotonic
        self._remembering, self._previews = remembering or Remembering(NoMemory()), previews
        self._histories = histories or Histories(NoHistories())
        self._stages = StageReader()

    def close(self) -> None:
        """Lets go of the threads of the stages."""
        self._cascade.close()

    def recommend(self, wish: Wish) -> Answer:
        """The list that is wished for; what was shown, and why, is durable in the journal by then.

        It has fewer items than asked, or none, where the model knows no more. Raises InvalidInput for a bad unit,
        context or preview, NotFound where no model is published, ModelFault or Unavailable where none of those tried
        answers, and what the journal raises; nothing is recorded then.
        """
        made = self.made(self._found(self._plan(wish)))
        self._journal.append(made.batch())
        return self.answer(made)

    def planned_at_once(self, wish: Wish) -> Plan | None:
        """The plan for a wish, where it can be carried out in a thread in which others wait, by `found_at_once`.

        None where that would have to wait for the store, for a model or for another thread, or would take long. Raises
        as `recommend`.
        """
        if wish.preview is not None or self._snapshots.current().keeping or not self._cascade.is_current():
            return None
        plan = self._plan(wish)
        is_prompt = plan.stages.is_light and not plan.is_read and self._cascade.is_prompt(plan.models)
        return plan if is_prompt else None

    def found_at_once(self, plan: Plan) -> Found | None:
        """What the stages find for such a plan; None where they would have to wait. Raises as `recommend`."""
        try:
            return self._found(plan, may_wait=False)
        except MustWait:
            return None

    def made(self, found: Found) -> Made:
        """The slate of what was found, not recorded yet."""
        plan, asked, course, chosen, source = found
        impressions = _impressions(chosen, source)
        slate = Slate(
            request_id=asked.seed,
            unit=asked.unit,
            time=asked.now,
            exposures=_exposures(plan.decision),
            impressions=impressions,
            snapshot=plan.decision.version,
            models=course.models,
            fallbacks=course.fallbacks,
            context=plan.wish.context,
            latency_ms=round((self._monotonic() - plan.started) * 1000, 3),
        )
        return Made(plan.snapshot, plan.decision, slate, impressions)

    def answer(self, made: Made) -> Answer:
        """The list that was made, to be said once it is durable."""
        self._remembering.note(made.snapshot, made.slate.unit, made.decision)
        return _answer(made)

    def recommend_many(self, wishes: Sequence[Wish]) -> Sequence[Answer | LamellaError]:
        """The list for each wish, or the error that `recommend` raises for it; all that were made, in one commit.

        Raises what the journal raises; nothing is recorded then.
        """
        outcomes: list[Made | LamellaError] = []
        for wish in wishes:
            try:
                outcomes.append(self.made(self._found(self._plan(wish))))
            except LamellaError as error:
                outcomes.append(error)
        slates = [each.slate for each in outcomes if isinstance(each, Made)]
        if slates:
            self._journal.append(encode(slates))
        return [self.answer(each) if isinstance(each, Made) else each for each in outcomes]

    def _plan(self, wish: Wish) -> Plan:
        unit, context = wish.unit, wish.context
        if not wish.is_checked:
            check_unit(unit)
            check_context(context)
        started = self._monotonic()
        snapshot = self._snapshots.current()
        forced = forced_by(self._previews, wish.preview)
        decision = self._remembering.decide(snapshot, unit, context, forced=forced)
        if not wish.is_counted:
            uncounted = tuple(each._replace(counted=False) for each in decision.assignments)
            decision = decision._replace(assignments=uncounted)
        stages = self._stages.read(decision.parameters, k=wish.k)
        models = self._cascade.models(stages, unit)
        is_read = stages.is_unread or self._cascade.reads_history(models)
        return Plan(wish, started, snapshot, decision, stages, models, is_read)

    def _found(self, plan: Plan, *, may_wait: bool = True) -> Found:
        wish, stages = plan.wish, plan.stages
        course = Course(fallbacks=dict.fromkeys(stages.unusable, UNUSABLE), may_wait=may_wait)
        read = self._reads(wish.unit, course) if plan.is_read else ()
        asked = Asked(
            unit=wish.unit,
            reader=Reader(history=read, attributes=wish.context),
            exclude=wish.exclude.union(read) if stages.is_unread else wish.exclude,
            candidates=wish.candidates,
            now=self._clock.now(),
            seed=wish.request_id or self._new_id(),
        )
        return Found(plan, asked, course, *self._cascade.run(stages, plan.models, asked, course))

    def _reads(self, unit: str, course: Course) -> tuple[str, ...]:
        """What the unit has read; nothing, and counted, where the store does not answer: a list is still owed."""
        try:
            return self._histories.of(unit)
        except StoreUnavailable:
            course.fallbacks[HISTORY] = "unavailable"
            return ()


def _impressions(chosen: Scored, source: str) -> Impressions:
    return Impressions(tuple(chosen.items), tuple(chosen.scores), source, tuple(chosen.propensities))


def _exposures(decision: Decision) -> tuple[Exposed, ...]:
    exposures = [
        _exposed(each.phase, each.variant, counted=each.counted)
        for each in decision.assignments
        if each.phase is not None and each.variant is not None
    ]
    return tuple(exposures)


@lru_cache(maxsize=4096)
def _exposed(phase: int, variant: str, *, counted: bool) -> Exposed:
    """The same value for everybody who is in that variant."""
    return Exposed(phase=phase, variant=variant, counted=counted)


def _answer(made: Made) -> Answer:
    slate, decision = made.slate, made.decision
    return Answer(
        request_id=slate.request_id,
        unit=slate.unit,
        items=made.impressions,
        parameters=decision.parameters,
        assignments=decision.assignments,
        snapshot=slate.snapshot,
        models=slate.models,
        fallbacks=slate.fallbacks,
    )
