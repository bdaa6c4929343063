"""Real stores and brokers for every test: one server a process, one fresh database a test."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings

from lamella.testing import servers

# A busy machine is no reason to fail a law.
settings.register_profile("lamella", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lamella")


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A PostgreSQL server whose user may create databases."""
    with servers.postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Valkey server; tests that need it empty flush it themselves."""
    with servers.valkey() as url:
        yield url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file that tests copy."""
    from lamella.adapters.sql import migrations

    path = tmp_path_factory.mktemp("template") / "lamella.db"
    migrations.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_url: str) -> Iterator[str]:
    """The name of a migrated database that tests copy."""
    from lamella.adapters.sql import migrations

    with _database(postgresql_url) as url:
        migrations.upgrade(url)
        yield str(sa.make_url(url).database)


@pytest.fixture
def empty_pg_url(postgresql_url: str) -> Iterator[str]:
    """A PostgreSQL database without a schema."""
    with _database(postgresql_url) as url:
        yield url


@pytest.fixture
def pg_database_url(postgresql_url: str, migrated_postgresql: str) -> Iterator[str]:
    """A migrated, empty PostgreSQL database of this test's own."""
    with _database(postgresql_url, template=migrated_postgresql) as url:
        yield url


@pytest.fixture
def sqlite_database_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """A migrated, empty SQLite database of this test's own."""
    path = tmp_path / "lamella.db"
    shutil.copy(migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated, empty database: the test runs once on each kind."""
    name = {"sqlite": "sqlite_database_url", "postgresql": "pg_database_url"}[request.param]
    return str(request.getfixturevalue(name))


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """The engine of `database_url`, as the product makes it."""
    from lamella.adapters.sql.engine import create_engine

    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@contextmanager
def _database(server: str, *, template: str = "template1") -> Iterator[str]:
    """The URL of a new database of the server, dropped at the end of the block, connections and all."""
    url, name = sa.make_url(server), f"lamella_{uuid.uuid4().hex}"
    _execute(url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        _execute(url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _execute(url: sa.URL, statement: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
