"""The use cases of a web process."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import NamedTuple, Protocol

from prometheus_client import CollectorRegistry

from lamella.adapters.disk.journal import DiskJournal
from lamella.adapters.disk.leftovers import Leftovers
from lamella.adapters.redis.channel import Channel
from lamella.adapters.sql.receipts import SqlReceipts
from lamella.bootstrap.configuration import changes_of, configuring_of
from lamella.bootstrap.connections import check_broker, task_queue
from lamella.bootstrap.elsewhere import SegmentsElsewhere
from lamella.bootstrap.journals import journal_of, leftovers_of
from lamella.bootstrap.later import later
from lamella.bootstrap.readiness import ReadinessCheck, readiness
from lamella.bootstrap.registry import registry_of, uploads_of
from lamella.bootstrap.stores import Stores, stores, units
from lamella.bootstrap.warming import WarmConfiguration
from lamella.config import Settings
from lamella.errors import Unavailable
from lamella.experiments.model import Json
from lamella.recommenders.host import ModelHost
from lamella.recommenders.registry import Registry
from lamella.recommenders.shelf import Shelf
from lamella.services.admin_ports import AuditLog
from lamella.services.archive_ports import OldFacts
from lamella.services.assigning import Assigning, SnapshotHolder
from lamella.services.canaries import Canaries, Retreating
from lamella.services.cascade import Cascade
from lamella.services.changes import Changes
from lamella.services.configuring import Configuring
from lamella.services.exposing import Exposing
from lamella.services.flagging import FlagStore
from lamella.services.histories import Histories
from lamella.services.idempotency import Idempotency
from lamella.services.ids import new_id
from lamella.services.insight import Eyes, Insight
from lamella.services.keys import Keys
from lamella.services.model_ports import Catalogue, ModelCatalogue, TaskQueue, TrainingRuns
from lamella.services.ports import AnalysisStore, Clock, ConfigurationStore, GroupJournal, Journal, RecordStore
from lamella.services.previewing import Previews
from lamella.services.quarantine import Quarantine
from lamella.services.recommending import Recommending
from lamella.services.record_ports import Arrivals
from lamella.services.recording import Recording
from lamella.services.remembering import Remembering
from lamella.services.shadow_ports import ShadowStore
from lamella.services.shadowing import Shadowing
from lamella.services.staging import Staging
from lamella.services.training import Trainer
from lamella.services.units import Units
from lamella.services.uploading import Manifests, UploadStore
from lamella.services.webhooks import Webhooks


class Refreshing(Protocol):
    """Something held in memory that has a newer state in the store."""

    def refresh(self) -> object:
        """Takes the newer state if there is one. Raises what the store raises; the old state then stays."""
        ...


class Left(Refreshing, Arrivals, Protocol):
    """What this machine accepted and the store does not have yet; `refresh` brings on what ended processes left."""

    def waiting(self) -> int:
        """Its bytes."""
        ...


class Announcements(Protocol):
    """Where new configurations are announced."""

    def listen(self, heard: Callable[[], None], stop: threading.Event) -> None:
        """Returns once `stop` is set; calls `heard` when it begins to listen and at each announcement.

        Raises Unavailable where nothing can be heard.
        """
        ...


def _no_segments(_key: str, _by: Sequence[str], _metrics: Sequence[str]) -> dict[str, Json]:
    raise Unavailable("nothing here can analyse on demand; ask for the report")


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The use cases and ports that the routes call.

    `host` holds the models in memory; None where nothing there has to be kept fresh. `canaries` and `shadowing` watch
    them, `shadows` keeps what is seen; None where nothing does. `announcements` tell of new configurations; None where
    only polling finds them. `trainer` only checks orders here. `left` is the journal on disk, None where there is none.
    `groups` takes many lists together, None where each is a commit of the store. `metrics` collects this process's
    numbers.
    """

    settings: Settings
    clock: Clock
    snapshots: SnapshotHolder
    assigning: Assigning
    previews: Previews
    recommending: Recommending
    recording: Recording
    exposing: Exposing
    configuring: Configuring
    keys: Keys
    configuration: ConfigurationStore
    record: RecordStore
    analysis: AnalysisStore
    catalogue: Catalogue
    models: ModelCatalogue
    trainings: TrainingRuns
    staging: Staging
    insight: Insight
    trainer: Trainer
    uploads: UploadStore
    manifests: Manifests
    tasks: TaskQueue
    audit: AuditLog
    idempotency: Idempotency
    webhooks: Webhooks
    changes: Changes
    segments: Callable[[str, Sequence[str], Sequence[str]], dict[str, Json]] = _no_segments
    units: Units
    flags: FlagStore
    quarantine: Quarantine
    old_facts: OldFacts
    host: Refreshing | None = None
    canaries: Canaries | None = None
    shadowing: Shadowing | None = None
    shadows: ShadowStore | None = None
    announcements: Announcements | None = None
    readiness: Sequence[ReadinessCheck] = ()
    left: Left | None = None
    groups: GroupJournal | None = None
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)


class _Shared(NamedTuple):
    """What several use cases hold together."""

    journal: Journal
    leftovers: Leftovers
    registry: Registry
    configuring: Configuring
    staging: Staging
    canaries: Canaries
    shadowing: Shadowing
    host: ModelHost
    snapshots: SnapshotHolder
    previews: Previews
    remembering: Remembering
    exposing: Exposing


def web_services(settings: Settings) -> Services:
    """The use cases of a web process; each connects at its first use. Raises BrokerUnavailable where none is named."""
    found = stores(settings, pool_size=settings.web_threads + 1)
    shared = _shared(settings, found)
    journal, registry, snapshots = shared.journal, shared.registry, shared.snapshots
    return Services(
        settings=settings,
        clock=found.clock,
        snapshots=snapshots,
        assigning=Assigning(snapshots, shared.remembering, shared.previews),
        previews=shared.previews,
        recommending=_recommending(settings, found, shared),
        recording=_recording(settings, found, shared),
        exposing=shared.exposing,
        configuring=shared.configuring,
        keys=Keys(found.keys, found.clock),
        configuration=found.configuration,
        record=found.record,
        analysis=found.analysis,
        catalogue=found.catalogue,
        models=found.models,
        trainings=found.trainings,
        staging=shared.staging,
        canaries=shared.canaries,
        shadowing=shared.shadowing,
        shadows=found.shadows,
        insight=Insight(found.models, found.catalogue, later(partial(_eyes, registry))),
        trainer=later(partial(_trainer, registry)),
        uploads=later(partial(uploads_of, settings, registry)),
        manifests=registry,
        tasks=task_queue(settings),
        audit=found.audit,
        idempotency=Idempotency(found.answers, found.clock),
        webhooks=Webhooks(found.webhooks, found.clock),
        changes=changes_of(settings, found, shared.configuring),
        units=units(found, shared.leftovers),
        flags=found.flags,
        quarantine=found.quarantine,
        old_facts=found.old_facts,
        segments=SegmentsElsewhere(settings),
        host=shared.host,
        left=shared.leftovers,
        groups=journal if isinstance(journal, DiskJournal) else None,
        announcements=Channel(settings.redis_url) if settings.redis_url else None,
        readiness=readiness(
            settings.journal, snapshots, check_store=found.check, check_broker=partial(check_broker, settings)
        ),
    )


def _shared(settings: Settings, found: Stores) -> _Shared:
    journal, registry = journal_of(settings, found), registry_of(settings, found.models)
    configuring = configuring_of(found)
    staging = Staging(found.models, found.configuration, configuring, found.clock)
    canaries = Canaries(Retreating(staging, found.models, found.audit, found.clock))
    shadowing = Shadowing(found.shadows)
    host = ModelHost(
        registry,
        found.models,
        shelf=Shelf(found.catalogue),
        capacity_bytes=settings.model_memory_mb * 1_000_000,
        canaries=canaries,
        followers=(shadowing,),
    )
    snapshots = SnapshotHolder(WarmConfiguration(found.configuration, host), found.clock)
    remembering = Remembering(found.sticky)
    return _Shared(
        journal=journal,
        leftovers=leftovers_of(settings, found),
        registry=registry,
        configuring=configuring,
        staging=staging,
        canaries=canaries,
        shadowing=shadowing,
        host=host,
        snapshots=snapshots,
        previews=Previews(found.secrets, found.clock),
        remembering=remembering,
        exposing=Exposing(snapshots, journal, found.clock, late=_late(settings), remembering=remembering),
    )


def _recommending(settings: Settings, found: Stores, shared: _Shared) -> Recommending:
    return Recommending(
        snapshots=shared.snapshots,
        cascade=Cascade(
            shared.host,
            deadline_seconds=settings.stage_deadline_ms / 1000,
            canaries=shared.canaries,
            shadowing=shared.shadowing,
        ),
        journal=shared.journal,
        clock=found.clock,
        new_id=new_id,
        histories=Histories(found.histories),
        remembering=shared.remembering,
        previews=shared.previews,
    )


def _recording(settings: Settings, found: Stores, shared: _Shared) -> Recording:
    receipts, exposures = SqlReceipts(found.engine), shared.exposing.reader
    return Recording(shared.journal, found.clock, late=_late(settings), receipts=receipts, exposures=exposures)


def _late(settings: Settings) -> timedelta:
    return timedelta(hours=settings.late_event_hours)


def _eyes(registry: Registry) -> Eyes:
    from lamella.recommenders.looking import ModelEyes

    return ModelEyes(registry)


def _trainer(registry: Registry) -> Trainer:
    from lamella.recommenders.trainer import KerasTrainer

    return KerasTrainer(registry)
