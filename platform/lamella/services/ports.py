"""What the use cases need from outside, as protocols. Fakes for tests are in `lamella.testing`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lamella.experiments.model import Configuration, Json
from lamella.services.admin_ports import Approval
from lamella.services.record_ports import RecordCounts
from lamella.services.traffic_ports import RecentTotals
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

    def commit(
        self,
        after: Configuration,
        *,
        author: str,
        action: str,
        at: datetime,
        approval: Approval | None = None,
    ) -> Configuration:
        """Store `after`, made from version `after.version`; the stored value has the next version.

        Writes a revision for each thing that differs, and marks the proposal of `approval` applied, in the same
        transaction. Raises ConfigurationMoved if the newest version is not `after.version`, Conflict where the proposal
        is decided already, NotFound where there is none; nothing is changed then.
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


class GroupJournal(Protocol):
    """A journal on this machine, where many batches become durable for the price of one."""

    def append_all(self, batches: Sequence[bytes]) -> None:
        """Returns once all of `batches` are durable. Raises as `Journal.append`; none of them was kept then."""
        ...

    def close(self) -> None:
        """Brings on what waits, as far as the store takes it; another process finds the rest."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReceipt:
    """What one ingest transaction did. `stored` and `duplicate` count records by kind, `quarantined` by reason.

    `is_more`: the inbox held more than the transaction could take.
    """

    batches: int
    stored: Mapping[str, int]
    duplicate: Mapping[str, int]
    quarantined: Mapping[str, int]
    is_more: bool = False


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

    def recent_totals(self, columns: Sequence[str], *, since: datetime) -> RecentTotals | None:
        """The totals of all units over the whole days from that of `since` on; None where nothing was served then."""
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
