"""`lamella record` tells whether what is derived is what the facts add up to, and mends it."""

import sqlalchemy as sa
from click.testing import CliRunner

from lamella.adapters.sql.engine import create_engine, writing
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.schema import inbox, unit_total
from lamella.cli import main
from lamella.events.codec import encode
from lamella.events.contract import Exposed
from lamella.testing.traffic import NOW, click, slate


def test_a_wrong_total_fails_the_check_until_the_totals_are_made_again(sqlite_database_url, tmp_path, monkeypatch):
    monkeypatch.setenv("LAMELLA_DATABASE_URL", sqlite_database_url)
    monkeypatch.setenv("LAMELLA_DATA_DIR", str(tmp_path))
    engine = create_engine(sqlite_database_url)
    shown = slate(exposures=[Exposed(phase=1, variant="a")])
    with writing(engine) as connection:
        connection.execute(sa.insert(inbox).values(received_at=NOW, body=encode([shown, click(of=shown)])))
    SqlRecordStore(engine).ingest(limit=1, now=NOW)
    assert CliRunner().invoke(main, ["record", "check"]).exit_code == 0
    with writing(engine) as connection:
        connection.execute(sa.update(unit_total).values(clicks=5))
    engine.dispose()
    failed = CliRunner().invoke(main, ["record", "check"])
    assert failed.exit_code == 1
    assert "2 totals, 0 first exposures" in failed.stderr
    mended = CliRunner().invoke(main, ["record", "recompute"])
    assert mended.output == "1 totals and 1 first exposures were made from the facts\n"
    assert CliRunner().invoke(main, ["record", "check"]).exit_code == 0
