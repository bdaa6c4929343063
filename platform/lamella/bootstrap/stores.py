"""The SQL store of a process, through each of its ports."""

from dataclasses import dataclass

import sqlalchemy as sa

from lamella.adapters.clock import FileClock, SystemClock
from lamella.adapters.redis.channel import Channel
from lamella.adapters.sql.analysis import SqlAnalysisStore
from lamella.adapters.sql.answers import SqlAnswerStore
from lamella.adapters.sql.audit import SqlAuditLog
from lamella.adapters.sql.catalogue import SqlCatalogue, SqlModelCatalogue, SqlTrainingRuns
from lamella.adapters.sql.configuration import SqlConfigurationStore, silence
from lamella.adapters.sql.engine import create_engine, require_migrated
from lamella.adapters.sql.exposures import SqlStickyStore
from lamella.adapters.sql.histories import SqlHistoryStore
from lamella.adapters.sql.keys import SqlKeyStore
from lamella.adapters.sql.proposals import SqlProposalStore
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.secrets import SqlSecretStore
from lamella.adapters.sql.training import SqlTrainingStore
from lamella.adapters.sql.webhooks import SqlWebhookStore
from lamella.config import Settings
from lamella.services.admin_ports import AnswerStore, AuditLog, ProposalStore, WebhookStore
from lamella.services.assignment_ports import SecretStore, StickyStore
from lamella.services.ports import (
    AnalysisStore,
    Catalogue,
    Clock,
    ConfigurationStore,
    HistoryStore,
    KeyStore,
    ModelCatalogue,
    RecordStore,
    TrainingRuns,
    TrainingStore,
)


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
    catalogue: Catalogue
    models: ModelCatalogue
    trainings: TrainingRuns
    training: TrainingStore
    audit: AuditLog
    answers: AnswerStore
    webhooks: WebhookStore
    proposals: ProposalStore

    def check(self) -> None:
        """Returns where the store answers and has this version's schema; else StoreUnavailable or StoreNotMigrated."""
        require_migrated(self.engine)


def stores(settings: Settings, *, pool_size: int = 8) -> Stores:
    """The ports of the store; connects at first use."""
    engine = create_engine(settings.sql_url, pool_size=pool_size)
    return Stores(
        engine=engine,
        clock=FileClock(settings.clock_file) if settings.clock_file else SystemClock(),
        configuration=SqlConfigurationStore(
            engine, announce=Channel(settings.redis_url).announce if settings.redis_url else silence
        ),
        sticky=SqlStickyStore(engine),
        histories=SqlHistoryStore(engine),
        secrets=SqlSecretStore(engine),
        keys=SqlKeyStore(engine),
        record=SqlRecordStore(engine),
        analysis=SqlAnalysisStore(engine),
        catalogue=SqlCatalogue(engine),
        models=SqlModelCatalogue(engine),
        trainings=SqlTrainingRuns(engine),
        training=SqlTrainingStore(engine),
        audit=SqlAuditLog(engine),
        answers=SqlAnswerStore(engine),
        webhooks=SqlWebhookStore(engine),
        proposals=SqlProposalStore(engine),
    )
