"""The life of a request: assign in every layer, recall, rank, re-rank, record, answer."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from lamella.errors import LamellaError, ModelCorrupt, ModelFailed, ModelFault, NotFound, Unavailable
from lamella.events.codec import encode
from lamella.events.contract import Exposed, Impression, Slate
from lamella.experiments.model import Json
from lamella.experiments.snapshot import Assignment, Decision, Snapshot
from lamella.services.assigning import check_context, check_unit, forced_by
from lamella.services.ports import Clock, Journal, Recommender, Scored
from lamella.services.previewing import Previews
from lamella.services.remembering import NoMemory, Remembering
from lamella.services.stages import Stages, blend, read_stages, stand_ins

RECALL: Final = "recall"
RANK: Final = "rank"
RERANK: Final = "rerank"

UNUSABLE: Final = "unusable"
_LAST_PATIENCE: Final = 10
_THREADS: Final = 4

Call: TypeAlias = Callable[[str], Scored]


class Snapshots(Protocol):
    """Whoever holds the compiled configuration in force."""

    def current(self) -> Snapshot:
        """The snapshot, from memory."""
        ...


class StageObserver(Protocol):
    """Told how long each stage took; `NoObserver` is its null twin."""

    def took(self, stage: str, seconds: float) -> None:
        """Takes note. Must be cheap and must not raise."""
        ...


class NoObserver:
    """Takes note of nothing."""

    def took(self, stage: str, seconds: float) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The list, and what decided it.

    `models` maps each stage that a model answered to that version. `fallbacks` maps a stage to why the wanted model
    did not answer: missing, corrupt, failed, late or unavailable; and a parameter to `unusable` where its value was
    replaced by its default.
    """

    request_id: str
    unit: str
    items: tuple[Impression, ...]
    parameters: Mapping[str, Json]
    assignments: tuple[Assignment, ...]
    snapshot: int
    models: Mapping[str, str]
    fallbacks: Mapping[str, str]


@dataclass(slots=True)
class _Course:
    """What a request has met so far."""

    models: dict[str, str] = field(default_factory=dict)
    fallbacks: dict[str, str] = field(default_factory=dict)


class _LateModel(Unavailable):
    """A model that was not in memory did not answer within the stage's deadline."""


class Recommending:
    """The use case behind POST /v1/recommendations.

    A model in memory answers in the caller's thread: its time is bounded by its size, and a thread cannot be stopped.
    One that must first be loaded runs in a small pool, under `deadline_seconds`; late, it goes on loading for the
    next request while its stand-in answers.
    """

    def __init__(
        self,
        *,
        snapshots: Snapshots,
        recommender: Recommender,
        journal: Journal,
        clock: Clock,
        new_id: Callable[[], str],
        deadline_seconds: float,
        observer: StageObserver | None = None,
        remembering: Remembering | None = None,
        previews: Previews | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._snapshots, self._recommender, self._journal, self._clock = snapshots, recommender, journal, clock
        self._new_id, self._deadline_seconds, self._monotonic = new_id, deadline_seconds, monotonic
        self._observer = observer or NoObserver()
        self._remembering, self._previews = remembering or Remembering(NoMemory()), previews
        self._pool = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="lamella-stage")

    def close(self) -> None:
        """Lets go of the pool; a model that is still loading is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def recommend(
        self,
        unit: str,
        context: Mapping[str, Json],
        *,
        k: int | None = None,
        exclude: frozenset[str] = frozenset(),
        request_id: str | None = None,
        preview: str | None = None,
        is_counted: bool = True,
    ) -> Answer:
        """The list for `unit`; what was shown, and why, is durable in the journal by then.

        At most `k` items, none of `exclude`; fewer, or none, where the model knows no more. A caller that repeats a
        request passes its `request_id` again: the record keeps the first. `preview` is a token that shows one
        variant, which is recorded and out of the analysis; with `is_counted` False the whole slate is, in every
        layer. Raises InvalidInput for a bad unit, context or preview, NotFound where no model is published, ModelFault
        or Unavailable where none of those tried answers, and what the journal raises; nothing is recorded then.
        """
        check_unit(unit)
        check_context(context)
        started = self._monotonic()
        snapshot = self._snapshots.current()
        forced = forced_by(self._previews, preview)
        decision = self._remembering.decide(snapshot, unit, context, forced=forced)
        if not is_counted:
            uncounted = tuple(each._replace(counted=False) for each in decision.assignments)
            decision = decision._replace(assignments=uncounted)
        stages = read_stages(decision.parameters, k=k)
        course = _Course(fallbacks=dict.fromkeys(stages.unusable, UNUSABLE))
        recalled = self._recall(stages, unit, exclude, course)
        chosen = self._rerank(stages, self._rank(stages, unit, recalled, course), course)
        impressions = tuple(
            Impression(item=item, rank=rank, score=score, source=recalled.source)
            for rank, (item, score) in enumerate(zip(chosen.items, chosen.scores, strict=True), start=1)
        )
        slate = Slate(
            request_id=request_id or self._new_id(),
            unit=unit,
            time=self._clock.now(),
            exposures=_exposures(decision),
            impressions=impressions,
            snapshot=decision.version,
            models=course.models,
            fallbacks=course.fallbacks,
            context=context,
            latency_ms=round((self._monotonic() - started) * 1000, 3),
        )
        self._journal.append(encode([slate]))
        self._remembering.note(snapshot, unit, decision)
        return _answer(slate, decision)

    def _recall(self, stages: Stages, unit: str, exclude: frozenset[str], course: _Course) -> Scored:
        def call(model: str) -> Scored:
            return self._recommender.recall(model, unit, count=stages.recall_count, exclude=exclude)

        return self._stage(RECALL, stages.recall_model, call, course)

    def _rank(self, stages: Stages, unit: str, recalled: Scored, course: _Course) -> Scored:
        """The candidates in their final order of relevance; that of recall where no ranker answers."""
        if not stages.rank_model or not recalled.items:
            return recalled
        try:
            ranked = self._stage(
                RANK, stages.rank_model, lambda model: self._recommender.rank(model, unit, recalled.items), course
            )
        except (ModelFault, NotFound, Unavailable):
            return recalled
        return blend(recalled, ranked, stages.rank_weight)

    def _rerank(self, stages: Stages, ordered: Scored, course: _Course) -> Scored:
        """The slate; the head of the order where diversity is 0 or its model does not answer."""
        if stages.diversity and ordered.items:
            model = course.models.get(RANK, course.models[RECALL])
            try:
                diverse = self._timed(
                    RERANK,
                    lambda: self._recommender.diversify(
                        model, ordered, diversity=stages.diversity, count=stages.slate_size
                    ),
                )
            except (ModelFault, NotFound, Unavailable) as error:
                course.fallbacks[RERANK] = reason_of(error)
            else:
                course.models[RERANK] = diverse.model
                return diverse
        size = stages.slate_size
        return Scored(items=ordered.items[:size], scores=ordered.scores[:size], source=ordered.source)

    def _stage(self, stage: str, wanted: str, call: Call, course: _Course) -> Scored:
        """The answer of `wanted`, or of the first of its stand-ins that answers. Raises the error of `wanted`."""
        return self._timed(stage, lambda: self._first_answer(stage, wanted, call, course))

    def _first_answer(self, stage: str, wanted: str, call: Call, course: _Course) -> Scored:
        try:
            scored = self._attempt(wanted, call, self._deadline_seconds)
        except (ModelFault, NotFound, Unavailable) as error:
            course.fallbacks[stage] = reason_of(error)
            scored = self._stand_in(wanted, call, error)
        course.models[stage] = scored.model
        return scored

    def _stand_in(self, wanted: str, call: Call, error: LamellaError) -> Scored:
        """The answer of the first stand-in that gives one; a late `wanted` is waited for in the end."""
        versions = self._recommender.versions()
        if not versions:
            raise NotFound(
                "model version",
                wanted,
                next_step="train one: `lamella train popularity`, or without any traffic yet `lamella train newest`",
            ) from error
        for reference in stand_ins(wanted, versions):
            try:
                return self._attempt(reference, call, self._deadline_seconds)
            except (ModelFault, NotFound, Unavailable):
                continue
        if isinstance(error, _LateModel):
            return self._attempt(wanted, call, self._deadline_seconds * _LAST_PATIENCE)
        raise error

    def _attempt(self, model: str, call: Call, seconds: float) -> Scored:
        """The answer of `model`. Raises ModelFault, NotFound or Unavailable, whatever went wrong in it."""
        try:
            if self._recommender.is_prompt(model):
                return call(model)
            waiting = self._pool.submit(call, model)
            try:
                return waiting.result(timeout=seconds)
            except TimeoutError:
                waiting.cancel()
                raise _LateModel(f"model {model!r} did not answer within {seconds:g} s; try again") from None
        except LamellaError:
            raise
        except Exception as error:
            raise ModelFailed(f"model {model!r} raised {type(error).__name__}: {error}") from error

    def _timed(self, stage: str, work: Callable[[], Scored]) -> Scored:
        started = self._monotonic()
        try:
            return work()
        finally:
            self._observer.took(stage, self._monotonic() - started)


def reason_of(error: LamellaError) -> str:
    """The stable word for why a model did not answer: missing, late, unavailable, corrupt or failed."""
    if isinstance(error, NotFound):
        return "missing"
    if isinstance(error, _LateModel):
        return "late"
    if isinstance(error, Unavailable):
        return "unavailable"
    return "corrupt" if isinstance(error, ModelCorrupt) else "failed"


def _exposures(decision: Decision) -> tuple[Exposed, ...]:
    return tuple(
        Exposed(phase=each.phase, variant=each.variant, counted=each.counted)
        for each in decision.assignments
        if each.phase is not None and each.variant is not None
    )


def _answer(slate: Slate, decision: Decision) -> Answer:
    return Answer(
        request_id=slate.request_id,
        unit=slate.unit,
        items=slate.impressions,
        parameters=decision.parameters,
        assignments=decision.assignments,
        snapshot=slate.snapshot,
        models=slate.models,
        fallbacks=slate.fallbacks,
    )
