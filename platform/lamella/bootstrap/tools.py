"""What the command line works with, in this process: the store and the use cases over it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lamella.adapters.sql.exploration import SqlFactStore
from lamella.adapters.sql.journal import SqlJournal
from lamella.bootstrap.configuration import changes_of, configuring_of
from lamella.bootstrap.journals import leftovers_of
from lamella.bootstrap.registry import registry_of, uploads_of
from lamella.bootstrap.stores import Stores, retention, stores, units
from lamella.bootstrap.worker import training
from lamella.config import Settings
from lamella.recommenders.looking import ModelEyes
from lamella.recommenders.registry import Registry
from lamella.recommenders.trainer import KerasTrainer
from lamella.recommenders.uploads import Uploads
from lamella.services.admin_ports import AuditLog
from lamella.services.archive_ports import Archive, OldFacts
from lamella.services.changes import Changes
from lamella.services.configuring import Configuring
from lamella.services.flagging import FlagStore
from lamella.services.insight import Insight
from lamella.services.keeping import Recomputing
from lamella.services.keys import Keys
from lamella.services.measure_ports import FactStore
from lamella.services.model_ports import Catalogue, ModelCatalogue, TrainingRuns
from lamella.services.ports import AnalysisStore, Clock, ConfigurationStore, RecordStore
from lamella.services.quarantine import Quarantine
from lamella.services.retention import Retention
from lamella.services.shadow_ports import ShadowStore
from lamella.services.staging import Staging
from lamella.services.training import Training
from lamella.services.units import Units


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The ports and use cases of the commands."""

    clock: Clock
    configuration: ConfigurationStore
    configuring: Configuring
    changes: Changes
    keys: Keys
    analysis: AnalysisStore
    facts: FactStore
    recomputing: Recomputing
    catalogue: Catalogue
    models: ModelCatalogue
    staging: Staging
    insight: Insight
    registry: Registry
    trainer: KerasTrainer
    uploads: Uploads
    trainings: TrainingRuns
    training: Training
    shadows: ShadowStore
    journal: SqlJournal
    record: RecordStore
    units: Units
    flags: FlagStore
    quarantine: Quarantine
    retention: Retention
    old_facts: OldFacts
    archive: Archive
    audit: AuditLog


@contextmanager
def open_tools(settings: Settings) -> Iterator[Tools]:
    """The tools over the store of the settings, disconnected at the end of the block.

    Raises StoreUnavailable or StoreNotMigrated before the block begins.
    """
    found = stores(settings, pool_size=1)
    try:
        found.check()
        yield _tools(settings, found)
    finally:
        found.engine.dispose()


def _tools(settings: Settings, found: Stores) -> Tools:
    registry = registry_of(settings, found.models)
    configuring = configuring_of(found)
    return Tools(
        clock=found.clock,
        configuration=found.configuration,
        configuring=configuring,
        changes=changes_of(settings, found, configuring),
        keys=Keys(found.keys, found.clock),
        analysis=found.analysis,
        facts=SqlFactStore(found.engine),
        recomputing=found.recomputing,
        catalogue=found.catalogue,
        models=found.models,
        staging=Staging(found.models, found.configuration, configuring, found.clock),
        insight=Insight(found.models, found.catalogue, ModelEyes(registry)),
        registry=registry,
        trainer=KerasTrainer(registry),
        uploads=uploads_of(settings, registry),
        trainings=found.trainings,
        training=training(settings, found),
        shadows=found.shadows,
        journal=SqlJournal(found.engine, found.clock, limit=settings.inbox_limit),
        record=found.record,
        units=units(found, leftovers_of(settings, found)),
        flags=found.flags,
        quarantine=found.quarantine,
        retention=retention(settings, found),
        old_facts=found.old_facts,
        archive=found.archive,
        audit=found.audit,
    )
