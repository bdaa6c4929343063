"""Each law is held against the fake, SQLite and PostgreSQL."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from lamella.adapters.sql.analysis import SqlAnalysisStore
from lamella.adapters.sql.catalogue import SqlCatalogue, SqlModelCatalogue, SqlTrainingRuns
from lamella.adapters.sql.configuration import SqlConfigurationStore
from lamella.adapters.sql.engine import create_engine
from lamella.adapters.sql.erasure import SqlUnitRecords
from lamella.adapters.sql.flags import SqlFlagStore
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.keys import SqlKeyStore
from lamella.adapters.sql.quarantine import SqlQuarantine
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.training import SqlTrainingStore
from lamella.events.codec import Record, encode
from lamella.services.archive_ports import UnitRecords
from lamella.services.flagging import FlagStore
from lamella.services.model_ports import Catalogue, ModelCatalogue, TrainingRuns, TrainingStore
from lamella.services.ports import AnalysisStore, ConfigurationStore, IngestReceipt, Journal, KeyStore, RecordStore
from lamella.services.quarantine import Quarantine
from lamella.testing.analysis import MemoryAnalysisStore
from lamella.testing.configurations import MemoryConfigurationStore
from lamella.testing.fakes import FakeClock, MemoryCatalogue, MemoryKeyStore, MemoryModelCatalogue, MemoryTrainingRuns
from lamella.testing.record import MemoryRecord
from lamella.testing.traffic import NOW
from lamella.testing.units import MemoryFlagStore, MemoryQuarantine, MemoryUnitRecords


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Every port of the store over one database."""

    configuration: ConfigurationStore
    keys: KeyStore
    journal: Journal
    record: RecordStore
    analysis: AnalysisStore
    catalogue: Catalogue
    models: ModelCatalogue
    runs: TrainingRuns
    training: TrainingStore
    flags: FlagStore
    quarantine: Quarantine
    units: UnitRecords

    def take(self, *batches: Iterable[Record]) -> IngestReceipt:
        """Appends each batch and ingests all of them at once."""
        for batch in batches:
            self.journal.append(encode(list(batch)))
        return self.record.ingest(limit=1_000, now=NOW)


def sql_stores(engine: sa.Engine, *, limit: int = 100) -> Stores:
    return Stores(
        configuration=SqlConfigurationStore(engine),
        keys=SqlKeyStore(engine),
        journal=SqlJournal(engine, FakeClock(NOW), limit=limit),
        record=SqlRecordStore(engine),
        analysis=SqlAnalysisStore(engine),
        catalogue=SqlCatalogue(engine),
        models=SqlModelCatalogue(engine),
        runs=SqlTrainingRuns(engine),
        training=SqlTrainingStore(engine),
        flags=SqlFlagStore(engine),
        quarantine=SqlQuarantine(engine),
        units=SqlUnitRecords(engine, FakeClock(NOW)),
    )


def memory_stores(*, limit: int = 100) -> Stores:
    record = MemoryRecord(limit=limit)
    return Stores(
        configuration=MemoryConfigurationStore(),
        keys=MemoryKeyStore(),
        journal=record,
        record=record,
        analysis=MemoryAnalysisStore(record),
        catalogue=MemoryCatalogue(),
        models=MemoryModelCatalogue(),
        runs=MemoryTrainingRuns(),
        training=record,
        flags=MemoryFlagStore(record),
        quarantine=MemoryQuarantine(record),
        units=MemoryUnitRecords(record),
    )


@pytest.fixture
def fresh_stores() -> Stores:
    """Ports in memory that have recorded nothing: what the others are held against."""
    return memory_stores()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    if request.param == "memory":
        yield memory_stores()
        return
    name = {"sqlite": "sqlite_database_url", "postgresql": "pg_database_url"}[request.param]
    engine = create_engine(request.getfixturevalue(name))
    made = sql_stores(engine)
    yield made
    assert isinstance(made.journal, SqlJournal)
    made.journal.close()
    engine.dispose()
