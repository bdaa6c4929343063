"""The stages of one request: recall, rank, re-rank. Where a model does not answer another one does, and it counts."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol, TypeAlias

from lamella.errors import LamellaError, ModelCorrupt, ModelFailed, ModelFault, NotFound, Unavailable
from lamella.services.model_ports import Composition, Reader, Recall, Recommender, Scored
from lamella.services.stages import Stages, blend, stand_ins

RECALL: Final = "recall"
RANK: Final = "rank"
RERANK: Final = "rerank"

_LAST_PATIENCE: Final = 10
_THREADS: Final = 4

Call: TypeAlias = Callable[[str], Scored]


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
class Asked:
    """One request as the stages see it. `seed` decides what is drawn where something is explored."""

    unit: str
    reader: Reader
    exclude: frozenset[str]
    candidates: tuple[str, ...] | None
    now: datetime
    seed: str


@dataclass(slots=True)
class Course:
    """What a request has met so far: the version that answered each stage, and why a wanted one did not."""

    models: dict[str, str] = field(default_factory=dict)
    fallbacks: dict[str, str] = field(default_factory=dict)


class _LateModel(Unavailable):
    """A model that was not in memory did not answer within the stage's deadline."""


class Cascade:
    """Runs the stages.

    A model in memory answers in the caller's thread: its time is bounded by its size, and a thread cannot be stopped.
    One that must first be loaded runs in a small pool, under `deadline_seconds`; late, it goes on loading for the
    next request while its stand-in answers.
    """

    def __init__(
        self,
        recommender: Recommender,
        *,
        deadline_seconds: float,
        observer: StageObserver | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._recommender, self._deadline_seconds, self._monotonic = recommender, deadline_seconds, monotonic
        self._observer = observer or NoObserver()
        self._pool = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="lamella-stage")

    def close(self) -> None:
        """Lets go of the pool; a model that is still loading is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def reads_history(self, stages: Stages) -> bool:
        """Whether a model of these stages looks at what the unit has read."""
        return any(self._recommender.reads_history(each) for each in (stages.recall_model, stages.rank_model) if each)

    def run(self, stages: Stages, asked: Asked, course: Course) -> tuple[Scored, str]:
        """The slate, best first, and the source of its items; `course` is told what happened on the way.

        Raises NotFound where no model is published, ModelFault or Unavailable where none of those tried answers.
        """
        recalled = self._recall(stages, asked, course)
        ranked = self._rank(stages, asked, recalled, course)
        return self._rerank(stages, asked, ranked, course), recalled.source

    def _recall(self, stages: Stages, asked: Asked, course: Course) -> Scored:
        wanted = Recall(
            count=stages.recall_count,
            exclude=asked.exclude,
            candidates=asked.candidates,
            rule=stages.rule,
            damping=stages.damping,
        )

        def call(model: str) -> Scored:
            return self._recommender.recall(model, asked.unit, wanted, asked.reader)

        return self._stage(RECALL, stages.recall_model, call, course)

    def _rank(self, stages: Stages, asked: Asked, recalled: Scored, course: Course) -> Scored:
        """The candidates in their final order of relevance; that of recall where no ranker answers."""
        if not stages.rank_model or not recalled.items:
            return recalled

        def call(model: str) -> Scored:
            return self._recommender.rank(model, asked.unit, recalled.items, asked.reader)

        try:
            ranked = self._stage(RANK, stages.rank_model, call, course)
        except (ModelFault, NotFound, Unavailable):
            return recalled
        return blend(recalled, ranked, stages.rank_weight)

    def _rerank(self, stages: Stages, asked: Asked, ordered: Scored, course: Course) -> Scored:
        """The slate; the head of the order where nothing re-ranks or the model of its item vectors does not answer."""
        composition = Composition(
            count=stages.slate_size,
            now=asked.now,
            diversity=stages.diversity,
            freshness=stages.freshness,
            half_life_hours=stages.half_life_hours,
            epsilon=stages.epsilon,
            temperature=stages.temperature,
            seed=asked.seed,
        )
        if not composition.is_head and ordered.items:
            model = course.models.get(RANK, course.models[RECALL])
            try:
                composed = self._timed(RERANK, lambda: self._recommender.compose(model, ordered, composition))
            except (ModelFault, NotFound, Unavailable) as error:
                course.fallbacks[RERANK] = reason_of(error)
            else:
                course.models[RERANK] = composed.model
                return composed
        size = stages.slate_size
        return Scored(items=ordered.items[:size], scores=ordered.scores[:size], source=ordered.source)

    def _stage(self, stage: str, wanted: str, call: Call, course: Course) -> Scored:
        """The answer of `wanted`, or of the first of its stand-ins that answers. Raises the error of `wanted`."""
        return self._timed(stage, lambda: self._first_answer(stage, wanted, call, course))

    def _first_answer(self, stage: str, wanted: str, call: Call, course: Course) -> Scored:
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
