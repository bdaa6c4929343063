"""/readyz over a real PostgreSQL that goes away."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from lamella.bootstrap.readiness import readiness
from lamella.bootstrap.stores import Stores, stores
from lamella.config import Settings
from lamella.services.assigning import SnapshotHolder


def nothing() -> None:
    return None


@pytest.fixture
def found(pg_database_url: str) -> Iterator[Stores]:
    made = stores(Settings(database_url=pg_database_url), pool_size=2)
    yield made
    made.engine.dispose()


def take_away(server: str, gone: sa.URL) -> None:
    engine = sa.create_engine(sa.make_url(server), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f'DROP DATABASE "{gone.database}" WITH (FORCE)')
    engine.dispose()


@pytest.mark.parametrize(("journal", "word"), [("disk", "degraded"), ("store", "unavailable")])
def test_a_process_that_can_go_on_without_the_store_stays_ready(
    make, found: Stores, postgresql_url: str, journal: str, word: str
) -> None:
    snapshots = SnapshotHolder(found.configuration, found.clock)
    checks = readiness(journal, snapshots, check_store=found.check, check_broker=nothing, seconds=60.0)
    client = make(readiness=checks).client()
    assert client.get("/readyz").json["checks"]["snapshot"]["status"] == "failed"
    snapshots.refresh()
    assert client.get("/readyz").json["status"] == "ok"

    take_away(postgresql_url, found.engine.url)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (200 if journal == "disk" else 503, word)
    codes = {name: each.get("code") for name, each in answer.json["checks"].items()}
    assert codes == {"store": "store_unavailable", "migrations": "store_unavailable", "broker": None, "snapshot": None}


def test_a_store_whose_schema_is_behind_is_not_ready_over_a_journal_on_disk(make, found: Stores) -> None:
    snapshots = SnapshotHolder(found.configuration, found.clock)
    snapshots.refresh()
    with found.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    checks = readiness("disk", snapshots, check_store=found.check, check_broker=nothing, seconds=60.0)
    answer = make(readiness=checks).client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json["checks"]["store"] == {"status": "ok"}
    assert answer.json["checks"]["migrations"]["code"] == "store_not_migrated"
