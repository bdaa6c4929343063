import random
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from lamella.adapters.sql import migrations
from lamella.adapters.sql.engine import create_engine, require_migrated
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.schema import REVISION
from lamella.adapters.sql.tables import tables_of
from lamella.errors import StoreNotMigrated, StoreUnavailable
from lamella.events.codec import encode
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW, traffic


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new' / 'folder' / 'lamella.db'}"
    return request.getfixturevalue("empty_pg_url")


def tables(url):
    engine = create_engine(url)
    with engine.connect() as connection:
        found = set(sa.inspect(connection).get_table_names())
    engine.dispose()
    return found


def test_the_newest_script_is_the_one_that_the_code_needs():
    assert migrations.head() == REVISION


def test_up_and_down_and_up_again_leaves_what_the_schema_says(empty_url):
    assert migrations.upgrade(empty_url) == REVISION
    migrations.check(empty_url)
    assert tables(empty_url) >= {table.name for table in tables_of(sa.make_url(empty_url).get_backend_name())}
    assert migrations.downgrade(empty_url, "base") == "base"
    assert migrations.current(empty_url) is None
    assert tables(empty_url) == {"alembic_version"}
    assert migrations.upgrade(empty_url) == migrations.current(empty_url) == REVISION
    migrations.check(empty_url)


def test_upgrading_twice_changes_nothing(database_url):
    assert migrations.upgrade(database_url) == REVISION


def test_starters_that_race_all_find_a_migrated_store(empty_url):
    code = "import sys; from lamella.adapters.sql import migrations; print(migrations.upgrade(sys.argv[1]))"
    pipe = subprocess.PIPE
    starters = [
        subprocess.Popen([sys.executable, "-c", code, empty_url], stdout=pipe, stderr=pipe, text=True) for _ in range(4)
    ]
    outputs = [starter.communicate(timeout=120) for starter in starters]
    assert outputs == [(f"{REVISION}\n", "")] * 4
    migrations.check(empty_url)


def test_a_store_without_a_schema_says_what_to_run(empty_url):
    if empty_url.startswith("sqlite"):
        Path(empty_url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(empty_url)
    with pytest.raises(StoreNotMigrated, match="lamella db upgrade"):
        require_migrated(engine)
    engine.dispose()
    with pytest.raises(StoreNotMigrated, match="lamella db upgrade"):
        migrations.check(empty_url)


def test_a_store_at_another_revision_says_which(engine):
    require_migrated(engine)
    with engine.execution_options(lamella_writing=True).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(StoreNotMigrated, match=f"schema 0000, this version needs {REVISION}"):
        require_migrated(engine)


def test_check_names_a_table_that_differs(database_url, engine):
    with engine.execution_options(lamella_writing=True).begin() as connection:
        connection.exec_driver_sql("ALTER TABLE report ADD COLUMN colour TEXT")
    with pytest.raises(StoreNotMigrated, match="colour"):
        migrations.check(database_url)


def test_partitions_made_by_ingest_are_no_difference(database_url, engine):
    journal = SqlJournal(engine, FakeClock(NOW), limit=10)
    journal.append(encode(traffic(random.Random(1), slates=50, days=90)))
    journal.close()
    SqlRecordStore(engine).ingest(limit=10, now=NOW)
    migrations.check(database_url)


def test_a_failed_migration_leaves_the_store_as_it_was(empty_url, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("alembic.op.bulk_insert", _fail)
        with pytest.raises(RuntimeError, match="half-way"):
            migrations.upgrade(empty_url)
    assert tables(empty_url) == set()


def _fail(*_args, **_options):
    raise RuntimeError("half-way")


def test_a_server_that_is_away_is_one_sentence():
    with pytest.raises(StoreUnavailable, match="LAMELLA_DATABASE_URL"):
        migrations.upgrade("postgresql+psycopg://u:secret@127.0.0.1:1/x")


def test_totals_have_room_to_change_on_their_page(pg_database_url):
    engine = create_engine(pg_database_url)
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL"
        ).all()
    engine.dispose()
    assert ("unit_total", ["fillfactor=70"]) in found
    assert ("exposure", ["fillfactor=90"]) in found


def test_units_are_compared_by_their_bytes_and_batches_wait_as_they_came(empty_pg_url):
    migrations.upgrade(empty_pg_url)
    engine = create_engine(empty_pg_url)
    collations = (
        "SELECT DISTINCT collation_name FROM information_schema.columns "
        "WHERE column_name = 'unit' AND table_schema = 'public'"
    )
    storage = "SELECT attstorage FROM pg_attribute WHERE attrelid = 'inbox'::regclass AND attname = 'body'"
    for revision, found in (("0015", (["C"], "e")), ("0013", ([None], "x"))):
        migrations.downgrade(empty_pg_url, revision)
        with engine.connect() as connection:
            assert connection.exec_driver_sql(collations).scalars().all() == found[0]
            assert connection.exec_driver_sql(storage).scalar() == found[1]
    engine.dispose()
