"""What the use cases need from outside, as protocols. Fakes for tests are in `lamella.testing`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lamella.experiments.model import Configuration, Json
from lamella.services.record_ports import RecordCounts
from lamella.stats.moments import Moments


class Clock(Protocol):
    """The time of this installation."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...


# --- configuration -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One change to the configuration: who, when, what, before and after (None where it did not exist).

    `number` counts revisions; those of one version were made together.
    """

    number: int
    version: int
    author: str
    at: datetime
    action: str
    kind: str
    key: str
    before: Json
    after: Json


class ConfigurationStore(Protocol):
    """The configuration, versioned; every change is compared-and-swapped and leaves revisions."""

    def version(self) -> int:
        """The version of the newest configuration; 0 where nothing was ever configured. Cheap."""
        ...

    def load(self) -> Configuration:
        """The newest configuration."""
        ...

    def commit(self, after: Configuration, *, author: str, action: str, at: datetime) -> Configuration:
        """Store `after`, made from version `after.version`; the stored value has the next version.

        Writes a revision for each layer, parameter and experiment that differs, in the same transaction.
        Raises ConfigurationMoved, and changes nothing, if the newest version is not `after.version`.
        """
        ...

    def revisions(
        self,
        *,
        kind: str | None = None,
        key: str | None = None,
        author: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[Revision]:
        """The newest revisions first; those with a number below `before`."""
        ...

    def revision(self, number: int) -> Revision | None:
        """One revision, or None."""
        ...


# --- keys --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls: the key's name and role (collector, client, viewer, experimenter, approver, admin).

    `projects` are those that the key reaches in the admin API, None for every one. It is unknown from `expires_at` on.
    """

    name: str
    role: str
    projects: tuple[str, ...] | None = None
    expires_at: datetime | None = None


class KeyStore(Protocol):
    """API keys, hashed at rest."""

    def add(self, holder: Principal, digest: bytes, *, at: datetime) -> None:
        """Store the SHA-256 digest of a key. Raises Conflict if the name is taken."""
        ...

    def find(self, digest: bytes) -> Principal | None:
        """Whose key has this digest; None for an unknown or revoked one."""
        ...

    def revoke(self, name: str, *, at: datetime) -> None:
        """From now on the key is unknown. Raises NotFound."""
        ...

    def names(self) -> Sequence[Principal]:
        """Every key that is not revoked, by name."""
        ...


# --- record ------------------------------------------------------------------------------------------------


class Journal(Protocol):
    """The durable inbox between the web processes and the workers."""

    def append(self, batch: bytes) -> None:
        """Returns once `batch` (see `lamella.events.codec`) is durable.

        Raises Overloaded when the inbox holds its limit, StoreUnavailable when it cannot be reached.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReceipt:
    """What one ingest transaction did. `stored` and `duplicate` count records by kind, `quarantined` by reason."""

    batches: int
    stored: Mapping[str, int]
    duplicate: Mapping[str, int]
    quarantined: Mapping[str, int]


class RecordStore(Protocol):
    """The facts: what was shown and what readers did."""

    def ingest(self, *, limit: int, now: datetime) -> IngestReceipt:
        """Move up to `limit` batches from the inbox into the facts, in one transaction that takes them out.

        A repeat (same request id or event id) changes nothing and is counted. A record that breaks the contract
        or names an unknown request is quarantined with its reason. Per-unit totals move in the same transaction.
        """
        ...

    def counts(self) -> Mapping[str, int]:
        """Rows of each fact: slate, impression, click, read, interaction, exposure, quarantine, inbox."""
        ...


# --- analysis ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTotals:
    """One variant of one phase: the moments of its unit-level columns over all exposed units, and its traffic.

    `moments.columns` names the columns in order. `crossed` counts units that were also exposed to another
    variant of the phase (they are out of `moments`). `slates` and `fallback_slates` count requests. `source` is "kept"
    where it came from the kept moments, last refreshed at `kept_at` and corrected for what changed since; else "scan".
    """

    variant: str
    moments: Moments
    crossed: int
    slates: int
    fallback_slates: int
    source: str = "scan"
    kept_at: datetime | None = None


class AnalysisStore(Protocol):
    """The record, as sufficient statistics; and the reports made from it."""

    def arm_totals(
        self,
        phase: int,
        columns: Sequence[str],
        *,
        until: datetime | None = None,
        covariate_since: datetime | None = None,
    ) -> Sequence[ArmTotals]:
        """The arms of a phase, each over units first exposed before `until`, with their totals before `until`.

        One grouped query. Columns are those of the per-unit totals, plus `pre_` columns (the same totals before
        the unit's first exposure, since `covariate_since`) and `has_pre` (1.0 where there was any such traffic).
        """
        ...

    def record_counts(self, phase: int) -> RecordCounts:
        """What came late, was refused, or is left out of the analysis of a phase."""
        ...

    def save_report(self, experiment: str, phase: int, as_of: datetime, document: Mapping[str, Json]) -> int:
        """Keep the report; returns its number. Reports are never changed."""
        ...

    def latest_report(self, experiment: str) -> Mapping[str, Json] | None:
        """The newest report of the experiment, or None before the first."""
        ...

    def reports(self, experiment: str, phase: int) -> Sequence[Mapping[str, Json]]:
        """Every report of the phase, oldest first: the looks that were taken."""
        ...


# --- items and models --------------------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A published model: name and number ("mf", 3), its kind, where its files are, and what was measured.

    `digest` is the SHA-256 over the serving artifact. `metrics` are the offline metrics; `stamp` says which data
    trained it (rows, from, until, seed).
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

    @property
    def reference(self) -> str:
        """How parameters and slates name it: `mf@3`."""
        return f"{self.name}@{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Candidates with their scores, best first. `source` says which stage and model proposed them."""

    items: Sequence[str]
    scores: Sequence[float]
    source: str

    @property
    def model(self) -> str:
        """The version that answered, `mf@3`: what follows the stage in `source`, `recall:mf@3`."""
        return self.source.partition(":")[2]


class Recommender(Protocol):
    """The models of this process: recall, rank and re-rank by reference."""

    def recall(self, model: str, unit: str, *, count: int, exclude: frozenset[str]) -> Scored:
        """The `count` best items for `unit` out of everything that the model knows.

        Raises NotFound, ModelCorrupt or ModelFailed; never answers with NaN.
        """
        ...

    def rank(self, model: str, unit: str, items: Sequence[str]) -> Scored:
        """`items` in the order of the model. Items unknown to it get its stated cold-start score."""
        ...

    def diversify(self, model: str, scored: Scored, *, diversity: float, count: int) -> Scored:
        """The `count` of `scored` that are relevant and, by the model's item vectors, unlike each other.

        `diversity` 0 is the order of relevance, 1 ignores it after the first item. Scores stay as they are.
        """
        ...

    def is_prompt(self, model: str) -> bool:
        """Whether the model is in memory, so that it answers within milliseconds and needs no deadline."""
        ...

    def versions(self) -> "Sequence[ModelVersion]":
        """Every published version, newest first, from memory."""
        ...


class ModelCatalogue(Protocol):
    """The model versions as the SQL store knows them."""

    def add(self, version: ModelVersion) -> None:
        """Record a published version. Raises Conflict if the reference is taken."""
        ...

    def next_number(self, name: str) -> int:
        """1 for an unknown name, else one more than its newest."""
        ...

    def find(self, reference: str) -> ModelVersion | None:
        """The version named `mf@3`, or the newest of `mf`; None if there is none."""
        ...

    def all(self) -> Sequence[ModelVersion]:
        """Every version, newest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLog:
    """Impressions in time order as parallel columns: who was shown what, where, and whether it was clicked."""

    units: Sequence[str]
    items: Sequence[str]
    ranks: Sequence[int]
    clicked: Sequence[bool]
    since: datetime
    until: datetime


class TrainingStore(Protocol):
    """The record as training data."""

    def impressions(self, *, since: datetime | None = None, until: datetime | None = None) -> TrainingLog:
        """All impressions of the window. Raises TrainingFault if there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """One training: what was asked for and how far it is. `progress` runs 0..1.

    `status` is queued, running, done or failed; `message` is the newest line for people (epoch, loss, time left, or
    why it failed); `reference` is the version that it published.
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


class TrainingRuns(Protocol):
    """The trainings that were asked for."""

    def put(self, run: TrainingRun) -> None:
        """Insert or replace by id."""
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
