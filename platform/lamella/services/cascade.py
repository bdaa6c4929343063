"""The stages of one request: recall, rank, re-rank. Where a model does not answer another one does, and it counts."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from lamella.errors import LamellaError, ModelCorrupt, ModelFault, NotFound, Unavailable
from lamella.services.canaries import Canaries
from lamella.services.guarding import Call, Guard, LateModel, MustWait
from lamella.services.model_ports import ModelVersion, Reader, Recommender, Scored
from lamella.services.shadowing import Answered, Shadowing
from lamella.services.stages import FALLBACK_KIND, Stages, blend, stand_ins, usual_model

RECALL: Final = "recall"
RANK: Final = "rank"
RERANK: Final = "rerank"

_LAST_PATIENCE: Final = 10


class StageObserver(Protocol):
    """Told how long each stage took; `NoObserver` is its null twin."""

    def took(self, stage: str, seconds: float) -> None:
        """Takes note. Must be cheap and must not raise."""
        ...


class NoObserver:
    """Takes note of nothing."""

    def took(self, stage: str, seconds: float) -> None:
        """Nothing."""


class Asked(NamedTuple):
    """One request as the stages see it. `seed` decides what is drawn where something is explored."""

    unit: str
    reader: Reader
    exclude: frozenset[str]
    candidates: tuple[str, ...] | None
    now: datetime
    seed: str


@dataclass(slots=True)
class Course:
    """What a request has met so far: the version that answered each stage, and why a wanted one did not.

    Where it may not wait, `Cascade.run` raises MustWait in place of a fallback, and has counted no failure.
    """

    models: dict[str, str] = field(default_factory=dict)
    fallbacks: dict[str, str] = field(default_factory=dict)
    may_wait: bool = True


class Models(NamedTuple):
    """The references that recall and rank for one unit; the second is empty where nothing ranks."""

    recall: str
    rank: str


class _Step(NamedTuple):
    """One stage of one request: how a model is asked, and of what size the slate is.

    Where no parameter names a model, `is_named` is False: that the usual one is missing is then no fallback.
    """

    stage: str
    call: Call
    asked: Asked
    size: int
    may_wait: bool
    is_named: bool = True


class Cascade:
    """Runs the stages.

    A `Guard` decides whose thread a model runs in and how long it is waited for. `canaries` are told how versions
    that they watch did; `shadowing` is offered what a version with a shadow answered.
    """

    def __init__(
        self,
        recommender: Recommender,
        *,
        deadline_seconds: float,
        observer: StageObserver | None = None,
        canaries: Canaries | None = None,
        shadowing: Shadowing | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._recommender, self._monotonic = recommender, monotonic
        self._observer = observer or NoObserver()
        self._canaries, self._shadowing = canaries or Canaries(), shadowing or Shadowing()
        self._guard = Guard(recommender.is_prompt, deadline_seconds=deadline_seconds)
        self._usual: tuple[Sequence[ModelVersion], str] = ((), FALLBACK_KIND)

    def close(self) -> None:
        """Lets go of the threads; a model that is still loading is not waited for."""
        self._guard.close()

    def is_current(self) -> bool:
        """Whether the list of models is in memory, and needs not be read anew before somebody is answered."""
        return self._recommender.is_current()

    def is_prompt(self, models: Models) -> bool:
        """Whether these answer in the caller's thread, and soon."""
        trusts = self._guard.trusts
        is_trusted = trusts(models.recall) and (not models.rank or trusts(models.rank))
        return is_trusted and self._recommender.is_light(models.recall)

    def models(self, stages: Stages, unit: str) -> Models:
        """The versions that the stages mean for the unit: its canary or the live one of a name without a number.

        Where no parameter names a model for recall, the usual one.
        """
        resolve = self._recommender.resolve
        recall = resolve(stages.recall_model or self._usual_model(), unit)
        return Models(recall, resolve(stages.rank_model, unit) if stages.rank_model else "")

    def _usual_model(self) -> str:
        """What `usual_model` says of the versions, worked out once for each list of them."""
        try:
            versions = self._recommender.versions()
        except LamellaError:
            return FALLBACK_KIND
        known, name = self._usual
        if known is not versions:
            name = usual_model(versions)
            self._usual = versions, name
        return name

    def reads_history(self, models: Models) -> bool:
        """Whether one of these looks at what the unit has read."""
        reads = self._recommender.reads_history
        return reads(models.recall) or (bool(models.rank) and reads(models.rank))

    def run(self, stages: Stages, models: Models, asked: Asked, course: Course) -> tuple[Scored, str]:
        """The slate, best first, and the source of its items; `course` is told what happened on the way.

        Raises NotFound where no model is published, ModelFault or Unavailable where none of those tried answers, and
        MustWait.
        """
        recalled = self._recall(stages, models.recall, asked, course)
        ranked = self._rank(stages, models.rank, asked, recalled, course)
        return self._rerank(stages, asked, ranked, course), recalled.source

    def _recall(self, stages: Stages, model: str, asked: Asked, course: Course) -> Scored:
        wanted = stages.recall
        if asked.exclude or asked.candidates is not None:
            wanted = replace(wanted, exclude=asked.exclude, candidates=asked.candidates)

        def call(model: str) -> Scored:
            return self._recommender.recall(model, asked.unit, wanted, asked.reader)

        step = _Step(RECALL, call, asked, stages.slate_size, course.may_wait, is_named=bool(stages.recall_model))
        return self._stage(step, model, course)

    def _rank(self, stages: Stages, model: str, asked: Asked, recalled: Scored, course: Course) -> Scored:
        """The candidates in their final order of relevance; that of recall where no ranker answers."""
        if not model or not recalled.items:
            return recalled

        def call(model: str) -> Scored:
            return self._recommender.rank(model, asked.unit, recalled.items, asked.reader)

        try:
            ranked = self._stage(_Step(RANK, call, asked, stages.slate_size, course.may_wait), model, course)
        except (ModelFault, NotFound, Unavailable):
            return recalled
        return blend(recalled, ranked, stages.rank_weight)

    def _rerank(self, stages: Stages, asked: Asked, ordered: Scored, course: Course) -> Scored:
        """The slate; the head of the order where nothing re-ranks or the model of its item vectors does not answer."""
        if stages.composition is None or not ordered.items:
            return _head(ordered, stages.slate_size)
        model = course.models.get(RANK, course.models[RECALL])
        composition = replace(stages.composition, now=asked.now, seed=asked.seed)

        def call(model: str) -> Scored:
            return self._recommender.compose(model, ordered, composition)

        started = self._monotonic()
        try:
            composed = self._guard.call(model, call, may_wait=course.may_wait)
        except (ModelFault, NotFound, Unavailable) as error:
            if not course.may_wait:
                raise MustWait from error
            course.fallbacks[RERANK] = reason_of(error)
            return _head(ordered, stages.slate_size)
        finally:
            self._observer.took(RERANK, self._monotonic() - started)
        course.models[RERANK] = composed.model
        return composed

    def _stage(self, step: _Step, wanted: str, course: Course) -> Scored:
        """The answer of `wanted`, or of the first of its stand-ins that answers. Raises the error of `wanted`."""
        started = self._monotonic()
        try:
            scored = self._attempt(step, wanted)
        except (ModelFault, NotFound, Unavailable) as error:
            if step.is_named or not isinstance(error, NotFound):
                course.fallbacks[step.stage] = reason_of(error)
            scored = self._stand_in(step, wanted, error)
        finally:
            self._observer.took(step.stage, self._monotonic() - started)
        course.models[step.stage] = scored.model
        return scored

    def _stand_in(self, step: _Step, wanted: str, error: LamellaError) -> Scored:
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
                return self._attempt(step, reference)
            except (ModelFault, NotFound, Unavailable):
                continue
        if isinstance(error, LateModel):
            return self._guard.call(wanted, step.call, patience=_LAST_PATIENCE)
        raise error

    def _attempt(self, step: _Step, model: str) -> Scored:
        """The answer of `model`. Raises ModelFault, NotFound or Unavailable, whatever went wrong in it."""
        started = self._monotonic()
        try:
            scored = self._guard.call(model, step.call, may_wait=step.may_wait)
        except LamellaError as error:
            if not step.may_wait:
                raise MustWait from error
            self._canaries.failed(model)
            raise
        seconds = self._monotonic() - started
        self._canaries.answered(model, seconds)
        if self._shadowing.accompanies(scored.model):
            count, seed = self._recommender.item_count, step.asked.seed
            self._shadowing.offer(
                Answered(
                    stage=step.stage,
                    scored=scored,
                    seconds=seconds,
                    call=step.call,
                    count=count,
                    seed=seed,
                    k=step.size,
                )
            )
        return scored


def _head(ordered: Scored, size: int) -> Scored:
    return Scored(items=ordered.items[:size], scores=ordered.scores[:size], source=ordered.source)


def reason_of(error: LamellaError) -> str:
    """The stable word for why a model did not answer: missing, late, unavailable, corrupt or failed."""
    if isinstance(error, NotFound):
        return "missing"
    if isinstance(error, LateModel):
        return "late"
    if isinstance(error, Unavailable):
        return "unavailable"
    return "corrupt" if isinstance(error, ModelCorrupt) else "failed"
