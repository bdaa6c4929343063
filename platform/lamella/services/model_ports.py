"""What the use cases need of items, models, trainings and the queue of the workers, as protocols."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from lamella.experiments.model import Json

MODEL_NAME: Final = "[a-z0-9][a-z0-9_-]{0,63}"
"""What a model may be called, as a regular expression."""
MODEL_REFERENCE: Final = re.compile(f"({MODEL_NAME})(?:@([1-9][0-9]{{0,8}}))?")
"""How a model is named, `mf`, or one version of it, `mf@3`: its name, and the number or None."""

_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something that can be recommended. `attributes` holds topic, author and whatever else the product knows."""

    key: str
    title: str
    published_at: datetime
    attributes: Mapping[str, Json]


class Catalogue(Protocol):
    """The items."""

    def put(self, items: Sequence[Item]) -> int:
        """Insert or replace items by key; returns how many there were."""
        ...

    def all(self) -> Sequence[Item]:
        """Every item, by key."""
        ...

    def find(self, keys: Sequence[str]) -> Sequence[Item]:
        """Those of `keys` that there are, in any order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A published model: name and number ("mf", 3), its kind, where its files are, and what was measured.

    `digest` is the SHA-256 over the serving artifact. `metrics` are the offline metrics; `stamp` says which data
    trained it (rows, from, until, seed). All of that never changes; `stage` does, and `share`, the share of traffic
    that a shadow or a canary takes: see `lamella.services.staging`. It has had its stage since `staged_at`, for
    `reason` where one was given.
    """

    name: str
    number: int
    kind: str
    created_at: datetime
    digest: str
    size_bytes: int
    hyperparameters: Mapping[str, Json]
    metrics: Mapping[str, float]
    stamp: Mapping[str, Json]
    stage: str = "live"
    share: float = 0.0
    reason: str = ""
    staged_at: datetime | None = field(default=None, compare=False)

    @property
    def reference(self) -> str:
        """How parameters and slates name it: `mf@3`."""
        return f"{self.name}@{self.number}"


class Reader(NamedTuple):
    """What is known of who asks beside the key: `history`, the last items read, oldest first, and `attributes`."""

    history: Sequence[str] = ()
    attributes: Mapping[str, Json] = MappingProxyType({})


NOBODY: Final = Reader()
"""A reader of whom nothing is known but the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """What recall is to find: the `count` best, none of `exclude`, only items that `rule` (JsonLogic) lets in.

    They come out of all that the model knows, or out of `candidates` where those are given. `damping` >= 0 lowers
    what is popular anyway; see `FactorModel.damped`.
    """

    count: int
    exclude: frozenset[str] = frozenset()
    candidates: tuple[str, ...] | None = None
    rule: Json = None
    damping: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """How a slate of `count` items is put together out of candidates, place by place; see `compose`.

    `freshness` is added to the logit of an item that is new, halved with every `half_life_hours` of its age at `now`.
    `diversity` runs 0..1, `epsilon` 0..1; `temperature` 0 is none. What is drawn depends on `seed` alone.
    """

    count: int
    now: datetime = _NEVER
    diversity: float = 0.0
    freshness: float = 0.0
    half_life_hours: float = 24.0
    epsilon: float = 0.0
    temperature: float = 0.0
    seed: str = ""

    @property
    def is_head(self) -> bool:
        """Whether it is the first `count` candidates as they are."""
        return not (self.diversity or self.freshness or self.explores)

    @property
    def explores(self) -> bool:
        """Whether places are drawn at random."""
        return self.epsilon > 0 or self.temperature > 0


class Scored(NamedTuple):
    """Candidates with their scores, best first. `source` says which stage and model proposed them.

    `propensities` are the chances with which each was chosen for its place; empty where nothing was drawn.
    """

    items: Sequence[str]
    scores: Sequence[float]
    source: str
    propensities: Sequence[float] = ()

    @property
    def model(self) -> str:
        """The version that answered, `mf@3`: what follows the stage in `source`, `recall:mf@3`."""
        return self.source.partition(":")[2]


class Recommender(Protocol):
    """The models of this process: recall, rank and re-rank by reference."""

    def recall(self, model: str, unit: str, wanted: Recall, reader: Reader = NOBODY) -> Scored:
        """The best items for `unit` that `wanted` describes.

        Raises NotFound, ModelCorrupt or ModelFailed; never answers with NaN.
        """
        ...

    def rank(self, model: str, unit: str, items: Sequence[str], reader: Reader = NOBODY) -> Scored:
        """`items` in the order of the model. Items unknown to it get its stated cold-start score."""
        ...

    def compose(self, model: str, scored: Scored, composition: Composition) -> Scored:
        """The slate out of `scored`, likeness taken from the item vectors of `model`. Scores stay as they are."""
        ...

    def resolve(self, model: str, unit: str) -> str:
        """The reference that `model` means for `unit`: of a bare name its canary's or its live version's.

        What names a version, or nothing that is known, stays as it is. Raises nothing.
        """
        ...

    def is_current(self) -> bool:
        """Whether the list of versions is as new as it has to be: nothing is read before the next answer."""
        ...

    def item_count(self, model: str) -> int:
        """How many items the model knows; 0 where it is not in memory."""
        ...

    def is_prompt(self, model: str) -> bool:
        """Whether the model is in memory, so that it answers within milliseconds and needs no deadline."""
        ...

    def is_light(self, model: str) -> bool:
        """Whether to recall by it takes a few milliseconds at most: others wait for the same thread meanwhile."""
        ...

    def reads_history(self, model: str) -> bool:
        """Whether the model, where it is in memory, looks at what the unit has read."""
        ...

    def versions(self) -> "Sequence[ModelVersion]":
        """Every published version, newest first, from memory."""
        ...


class HistoryStore(Protocol):
    """What units have read, from the record."""

    def last_reads(self, unit: str, *, limit: int) -> Sequence[str]:
        """The last `limit` different items that the unit read or clicked, oldest first."""
        ...


class ModelCatalogue(Protocol):
    """The model versions as the SQL store knows them."""

    def add(self, version: ModelVersion) -> None:
        """Record a published version. Raises Conflict if the reference is taken.

        One that is live takes that stage from the version of its name that had it, which is retired.
        """
        ...

    def stage(self, reference: str, stage: str, *, share: float, at: datetime, reason: str = "") -> ModelVersion:
        """The version in its new stage. One that becomes live retires the live version of its name.

        Raises NotFound.
        """
        ...

    def next_number(self, name: str) -> int:
        """1 for an unknown name, else one more than its newest."""
        ...

    def find(self, reference: str) -> ModelVersion | None:
        """The version named `mf@3`, or for `mf` its live one, else its newest; None if there is none."""
        ...

    def all(self) -> Sequence[ModelVersion]:
        """Every version, newest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLog:
    """Impressions in time order as parallel columns: who was shown what, where, and whether it was clicked.

    `contexts` holds the newest context of each unit that gave one: what is known of the reader.
    """

    units: Sequence[str]
    items: Sequence[str]
    ranks: Sequence[int]
    clicked: Sequence[bool]
    since: datetime
    until: datetime
    contexts: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)


class TrainingStore(Protocol):
    """The record as training data."""

    def impressions(self, *, since: datetime | None = None, until: datetime | None = None) -> TrainingLog:
        """All impressions of the window. Raises TrainingFault if there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """One training: what was asked for and how far it is. `progress` runs 0..1.

    `source` names a ratings file and how to read it, or, as {"upload": id}, weights that were uploaded; it is empty
    where the record is the source. `stage` is live or candidate: where its version is to stand.
    `status` is queued, running, cancelling, cancelled, done or failed; `message` is the newest line for people (epoch,
    loss, time left, or why it failed); `reference` is the version that it published.
    """

    id: str
    kind: str
    name: str
    hyperparameters: Mapping[str, Json]
    seed: int
    status: str
    progress: float
    message: str
    requested_at: datetime
    requested_by: str
    reference: str | None = None
    source: Mapping[str, Json] = field(default_factory=dict)
    stage: str = "live"


class TrainingRuns(Protocol):
    """The trainings that were asked for."""

    def put(self, run: TrainingRun) -> None:
        """Insert or replace by id, whatever its status was: for a run that nobody else moves yet."""
        ...

    def move(
        self,
        run_id: str,
        status: str,
        message: str,
        *,
        of: Collection[str],
        progress: float | None = None,
        reference: str | None = None,
    ) -> TrainingRun | None:
        """The run in its new status, where its status was one of `of`; else None, and nothing changes.

        One step: of several at once that would move it from the same status, one does. Without a `progress` that
        stays.
        """
        ...

    def find(self, run_id: str) -> TrainingRun | None:
        """The run, or None."""
        ...

    def all(self, *, limit: int = 100) -> Sequence[TrainingRun]:
        """Newest first."""
        ...


class TaskQueue(Protocol):
    """Hands work to the workers; returns at once."""

    def train(self, run_id: str) -> None:
        """Ask a worker to carry out a queued TrainingRun. Raises BrokerUnavailable."""
        ...

    def ingest(self) -> None:
        """Ask a worker to drain the inbox now. Raises BrokerUnavailable."""
        ...

    def analyse(self, experiment: str) -> None:
        """Ask a worker for a fresh report now. Raises BrokerUnavailable."""
        ...
