import json

import pytest
from click.testing import CliRunner

from lamella.adapters.sql.audit import SqlAuditLog
from lamella.adapters.sql.erasure import SqlUnitRecords
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.record import SqlRecordStore
from lamella.cli.root import main
from lamella.errors import StoreUnavailable
from lamella.events.codec import encode
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW, click, slate


@pytest.fixture
def store(engine, database_url, tmp_path, monkeypatch):
    monkeypatch.setenv("LAMELLA_DATABASE_URL", database_url)
    monkeypatch.setenv("LAMELLA_DATA_DIR", str(tmp_path / "data"))
    journal = SqlJournal(engine, FakeClock(NOW), limit=10)
    journal.append(encode([slate(), click(of=slate()), click("orphan", of=slate("other"))]))
    journal.close()
    record = SqlRecordStore(engine)
    record.ingest(limit=10, now=NOW)
    return record


def run(*arguments):
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_unit_is_exported_and_erased_and_an_audit_row_remains(store, engine):
    exported = json.loads(run("units", "export", "reader-1"))
    assert {"slate", "impression", "click", "quarantine", "unit_total"} <= exported["tables"].keys()
    done = json.loads(run("units", "erase", "reader-1", "--yes"))
    assert (done["tables"]["impression"], store.counts()["slate"]) == (3, 0)
    (deed,) = SqlAuditLog(engine).deeds()
    assert (deed.method, deed.route, deed.role) == ("CLI", "lamella units erase", "cli")
    assert (deed.path, deed.status, deed.code) == (f"lamella units erase {done['unit']}", 0, None)
    assert "reader-1" not in repr(deed)


@pytest.mark.parametrize(
    ("error", "code"), [(StoreUnavailable("the disk is full"), "store_unavailable"), (OSError("no"), "internal_error")]
)
def test_an_erasure_that_fails_is_in_the_audit_log_with_its_end(store, engine, monkeypatch, error, code):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(SqlUnitRecords, "erase", fail)
    assert CliRunner().invoke(main, ["units", "erase", "reader-1", "--yes"]).exit_code == 1
    (deed,) = SqlAuditLog(engine).deeds()
    assert (deed.status, deed.code) == (1, code)


def test_a_unit_that_is_no_text_is_refused(store, engine):
    for words in (["export", "\udcff"], ["erase", "\udcff", "--yes"], ["flag", "\udcff"], ["unflag", "\udcff"]):
        result = CliRunner().invoke(main, ["units", *words])
        assert (result.exit_code, "surrogate" in result.stderr) == (2, True)
    assert SqlAuditLog(engine).deeds() == []


def test_nothing_is_erased_without_a_yes(store):
    result = CliRunner().invoke(main, ["units", "erase", "reader-1"], input="n\n")
    assert (result.exit_code, store.counts()["slate"]) == (1, 1)


def test_units_are_flagged_and_unflagged(store):
    run("units", "flag", "reader-1", "--reason", "bot")
    assert [each["unit"] for each in json.loads(run("units", "flagged", "--json"))] == ["reader-1"]
    run("units", "unflag", "reader-1")
    assert json.loads(run("units", "flagged", "--json")) == []


def test_the_quarantine_is_shown_and_old_facts_are_archived(store, tmp_path):
    shown = json.loads(run("events", "quarantine", "--json"))
    assert shown["counts"] == {"unknown_request": 1}
    assert "slate 2026-03: 1 rows to slate/year=2026/month=03/part-0.parquet" in run("events", "archive", "--days", "1")
    assert (tmp_path / "data" / "archive" / "slate" / "year=2026" / "month=03" / "part-0.parquet").is_file()
    assert run("events", "archive", "--verify") == "3 files are what the store says\n"
    assert store.counts()["slate"] == 0
