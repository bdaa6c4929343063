"""The use cases of a worker process."""

from collections.abc import Callable
from dataclasses import dataclass

from lamella.adapters.alarm import TimedBuilder
from lamella.adapters.disk.leftovers import Leftovers
from lamella.adapters.http_sender import HttpSender
from lamella.adapters.ratings_files import RatingsFiles
from lamella.adapters.redis.turns import Turns
from lamella.adapters.sql.engine import writing
from lamella.adapters.sql.exploration import SqlFactStore
from lamella.adapters.sql.partitions import make_partitions, months_of
from lamella.bootstrap.configuration import configuring_of
from lamella.bootstrap.connections import broker_url
from lamella.bootstrap.journals import leftovers_of
from lamella.bootstrap.registry import registry_of, uploads_of
from lamella.bootstrap.stores import Stores, retention, stores
from lamella.config import Settings
from lamella.recommenders.trainer import KerasTrainer
from lamella.services.budgeting import SHARE, Budget
from lamella.services.deciding import Deciding
from lamella.services.flagging import FlagStore
from lamella.services.keeping import Keeping
from lamella.services.measure_ports import FactStore
from lamella.services.model_ports import TrainingRuns
from lamella.services.ports import AnalysisStore, Clock, ConfigurationStore, RecordStore
from lamella.services.quarantine import Quarantine
from lamella.services.ramping import Ramping
from lamella.services.retention import Retention
from lamella.services.staging import Staging
from lamella.services.training import Training
from lamella.services.uploading import UploadStore
from lamella.services.webhooks import Delivering


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerServices:
    """What the tasks call.

    `prepare_months` makes the partitions of this month and the next, `close` disconnects; a later call connects again.
    """

    clock: Clock
    turns: Turns
    configuration: ConfigurationStore
    left: Leftovers
    record: RecordStore
    analysis: AnalysisStore
    facts: FactStore
    budget: Budget
    keeping: Keeping
    deciding: Deciding
    ramping: Ramping
    training: Training
    trainings: TrainingRuns
    uploads: UploadStore
    delivering: Delivering
    retention: Retention
    quarantine: Quarantine
    flags: FlagStore
    settings: Settings
    prepare_months: Callable[[], None]
    close: Callable[[], None]


def worker_services(settings: Settings) -> WorkerServices:
    """The use cases over the store and the broker of the settings; each connects at its first use."""
    found, turns = stores(settings, pool_size=1), Turns(broker_url(settings))

    def close() -> None:
        found.engine.dispose()
        turns.close()

    configuring = configuring_of(found)
    return WorkerServices(
        clock=found.clock,
        turns=turns,
        configuration=found.configuration,
        left=leftovers_of(settings, found),
        record=found.record,
        analysis=found.analysis,
        facts=SqlFactStore(found.engine),
        # Each process of the worker has its own, and they may all be at it at once.
        budget=Budget(SHARE / settings.worker_processes),
        keeping=Keeping(found.configuration, found.kept, found.clock),
        deciding=Deciding(found.configuration, configuring, found.clock),
        ramping=Ramping(found.configuration, configuring, found.analysis, found.clock),
        training=training(settings, found),
        trainings=found.trainings,
        uploads=uploads_of(settings, registry_of(settings, found.models)),
        delivering=Delivering(
            found.webhooks, HttpSender(private_addresses=settings.webhook_private_addresses), found.clock
        ),
        retention=retention(settings, found),
        quarantine=found.quarantine,
        flags=found.flags,
        settings=settings,
        prepare_months=lambda: _prepare_months(found),
        close=close,
    )


def training(settings: Settings, found: Stores) -> Training:
    """The training use case in this process; TensorFlow is imported when a kind needs it."""
    configuring = configuring_of(found)
    registry = registry_of(settings, found.models)
    return Training(
        runs=found.trainings,
        store=found.training,
        catalogue=found.catalogue,
        models=found.models,
        trainer=KerasTrainer(registry),
        staging=Staging(found.models, found.configuration, configuring, found.clock),
        clock=found.clock,
        builder=TimedBuilder(uploads_of(settings, registry)),
        ratings=RatingsFiles(),
    )


def _prepare_months(found: Stores) -> None:
    with writing(found.engine) as connection:
        make_partitions(connection, months_of((), found.clock.now()))
