"""The SQL store of a process, through each of its ports."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import sqlalchemy as sa

from lamella.adapters.clock import FileClock, SystemClock
from lamella.adapters.redis.channel import Channel
from lamella.adapters.sql.answers import SqlAnswerStore
from lamella.adapters.sql.audit import SqlAuditLog
from lamella.adapters.sql.catalogue import SqlCatalogue, SqlModelCatalogue, SqlTrainingRuns
from lamella.adapters.sql.configuration import SqlConfigurationStore, silence
from lamella.adapters.sql.engine import create_engine, require_migrated
from lamella.adapters.sql.exposures import SqlStickyStore
from lamella.adapters.sql.flags import SqlFlagStore
from lamella.adapters.sql.histories import SqlHistoryStore
from lamella.adapters.sql.keys import SqlKeyStore
from lamella.adapters.sql.proposals import SqlProposalStore
from lamella.adapters.sql.quarantine import SqlQuarantine
from lamella.adapters.sql.secrets import SqlSecretStore
from lamella.adapters.sql.shadows import SqlShadowStore
from lamella.adapters.sql.webhooks import SqlWebhookStore
from lamella.bootstrap.later import later
from lamella.config import Settings
from lamella.services.admin_ports import AnswerStore, AuditLog, ProposalStore, WebhookStore
from lamella.services.archive_ports import Archive, OldFacts, UnitRecords
from lamella.services.assignment_ports import SecretStore, StickyStore
from lamella.services.flagging import FlagStore
from lamella.services.keeping import KeptStore, Recomputing
from lamella.services.model_ports import Catalogue, HistoryStore, ModelCatalogue, TrainingRuns, TrainingStore
from lamella.services.ports import AnalysisStore, Clock, ConfigurationStore, KeyStore, RecordStore
from lamella.services.quarantine import Quarantine
from lamella.services.record_ports import Arrivals
from lamella.services.retention import Retention
from lamella.services.shadow_ports import ShadowStore
from lamella.services.units import Units


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The ports over one pool of connections, and the clock of the installation."""

    engine: sa.Engine
    clock: Clock
    configuration: ConfigurationStore
    sticky: StickyStore
    histories: HistoryStore
    secrets: SecretStore
    keys: KeyStore
    record: RecordStore
    analysis: AnalysisStore
    kept: KeptStore
    recomputing: Recomputing
    catalogue: Catalogue
    models: ModelCatalogue
    trainings: TrainingRuns
    training: TrainingStore
    shadows: ShadowStore
    audit: AuditLog
    answers: AnswerStore
    webhooks: WebhookStore
    proposals: ProposalStore
    flags: FlagStore
    quarantine: Quarantine
    old_facts: OldFacts
    unit_records: UnitRecords
    archive: Archive

    def check(self) -> None:
        """Returns where the store answers and has this version's schema; else StoreUnavailable or StoreNotMigrated."""
        require_migrated(self.engine)


def stores(settings: Settings, *, pool_size: int = 8) -> Stores:
    """The ports of the store; connects at first use. Those that serving needs not are made at their first use."""
    engine = create_engine(settings.sql_url, pool_size=pool_size)
    clock = FileClock(settings.clock_file) if settings.clock_file else SystemClock()
    return Stores(
        engine=engine,
        clock=clock,
        configuration=SqlConfigurationStore(
            engine, announce=Channel(settings.redis_url).announce if settings.redis_url else silence
        ),
        sticky=SqlStickyStore(engine),
        histories=SqlHistoryStore(engine),
        secrets=SqlSecretStore(engine),
        keys=SqlKeyStore(engine),
        record=later(partial(_record, engine, settings)),
        analysis=later(partial(_analysis, engine)),
        kept=later(partial(_kept, engine)),
        recomputing=later(partial(_recomputing, engine)),
        catalogue=SqlCatalogue(engine),
        models=SqlModelCatalogue(engine),
        trainings=SqlTrainingRuns(engine),
        training=later(partial(_training, engine)),
        shadows=SqlShadowStore(engine),
        audit=SqlAuditLog(engine),
        answers=SqlAnswerStore(engine),
        webhooks=SqlWebhookStore(engine),
        proposals=SqlProposalStore(engine),
        flags=SqlFlagStore(engine),
        quarantine=SqlQuarantine(engine),
        old_facts=later(partial(_old_facts, engine)),
        unit_records=later(partial(_unit_records, engine, clock)),
        archive=later(partial(_archive, settings)),
    )


def _record(engine: sa.Engine, settings: Settings) -> RecordStore:
    from lamella.adapters.sql.record import SqlRecordStore

    return SqlRecordStore(engine, settings.flagging)


def _analysis(engine: sa.Engine) -> AnalysisStore:
    from lamella.adapters.sql.analysis import SqlAnalysisStore

    return SqlAnalysisStore(engine)


def _kept(engine: sa.Engine) -> KeptStore:
    from lamella.adapters.sql.keeping import SqlKeptStore

    return SqlKeptStore(engine)


def _recomputing(engine: sa.Engine) -> Recomputing:
    from lamella.adapters.sql.recompute import SqlRecomputing

    return SqlRecomputing(engine)


def _training(engine: sa.Engine) -> TrainingStore:
    from lamella.adapters.sql.training import SqlTrainingStore

    return SqlTrainingStore(engine)


def _old_facts(engine: sa.Engine) -> OldFacts:
    from lamella.adapters.sql.retention import SqlOldFacts

    return SqlOldFacts(engine)


def _unit_records(engine: sa.Engine, clock: Clock) -> UnitRecords:
    from lamella.adapters.sql.erasure import SqlUnitRecords

    return SqlUnitRecords(engine, clock)


def _archive(settings: Settings) -> Archive:
    from lamella.adapters.parquet.archive import ParquetArchive

    return ParquetArchive(settings.archive)


def units(found: Stores, arrivals: Arrivals) -> Units:
    """Export and erasure over the stores and the archive, once everything has arrived in the store."""
    return Units(
        found.unit_records, found.old_facts, found.archive, found.configuration, found.clock, arrivals=arrivals
    )


def retention(settings: Settings, found: Stores) -> Retention:
    """The archive's use case; with `retention_days` 0 it must not be run."""
    keep = timedelta(days=settings.retention_days)
    return Retention(found.old_facts, found.archive, found.configuration, found.clock, keep=keep)
