import random
from dataclasses import replace
from datetime import timedelta

import orjson
import pandas as pd
import pyarrow.dataset as ds
import pytest
import sqlalchemy as sa

from configurations import draft, newsroom, running
from lamella.adapters.parquet.archive import ParquetArchive
from lamella.adapters.sql.analysis import SqlAnalysisStore
from lamella.adapters.sql.erasure import SqlUnitRecords
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.retention import SqlOldFacts
from lamella.adapters.sql.schema import FACTS
from lamella.adapters.sql.tables import tables_of
from lamella.errors import ArchiveCorrupt, InvalidEvent
from lamella.events.codec import encode, fault_of
from lamella.events.contract import Custom, Exposed
from lamella.experiments.model import Configuration
from lamella.services.retention import Retention
from lamella.services.units import Units
from lamella.testing.configurations import MemoryConfigurationStore
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW, click, slate, traffic

LATER = NOW + timedelta(days=100)
COLUMNS = ["impressions", "clicks", "read_seconds", "pre_clicks", "has_pre"]
VICTIM = "reader-4"


class Lab:
    """A store with an archive beside it."""

    def __init__(self, engine, folder):
        self.engine, self.folder, self.clock = engine, folder, FakeClock(LATER)
        self.record, self.facts, self.archive = SqlRecordStore(engine), SqlOldFacts(engine), ParquetArchive(folder)
        self.configuration = MemoryConfigurationStore(Configuration())
        self.units = Units(SqlUnitRecords(engine, self.clock), self.facts, self.archive, self.configuration, self.clock)

    def take(self, records, now=NOW):
        journal = SqlJournal(self.engine, self.clock, limit=10)
        journal.append(encode(records))
        journal.close()
        return self.record.ingest(limit=10, now=now)

    def retention(self, days=30):
        return Retention(self.facts, self.archive, self.configuration, self.clock, keep=timedelta(days=days))

    def run(self, days=30):
        return list(self.retention(days).archive())

    def count(self, fact):
        with self.engine.connect() as connection:
            return connection.exec_driver_sql(f"SELECT count(*) FROM {fact}").scalar()

    def report(self):
        arms = SqlAnalysisStore(self.engine).arm_totals(7, COLUMNS)
        return [(arm.variant, arm.moments.n, arm.crossed, arm.moments.mean.tolist()) for arm in arms]


@pytest.fixture
def lab(engine, tmp_path):
    return Lab(engine, tmp_path / "archive")


def test_old_months_move_to_files_that_other_tools_read_and_reports_stay_as_they_were(lab):
    lab.take(traffic(random.Random(1), slates=200, days=60))
    before, impressions = lab.report(), lab.count("impression")
    moved = lab.run()
    assert all(each.file for each in moved)
    assert [lab.count(fact.name) for fact in FACTS] == [0] * 6
    assert lab.report() == before
    assert len(pd.read_parquet(lab.folder / "impression")) == impressions
    table = ds.dataset(lab.folder / "slate", partitioning="hive").to_table()
    assert table.num_rows == 200
    assert {"time", "unit", "models", "context", "year", "month"} <= set(table.column_names)
    lab.archive.verify(lab.facts.files())
    assert lab.run() == []


def test_what_is_younger_than_the_retention_stays(lab):
    lab.take([slate("old", time=NOW - timedelta(days=60)), slate("new", time=NOW)])
    lab.clock.move(NOW - LATER)
    moved = lab.run(days=10)
    assert {f"{each.month.since:%Y-%m}" for each in moved} == {"2026-01"}
    assert lab.count("slate") == 1


def test_records_that_come_after_the_archive_get_a_file_of_their_own(lab):
    lab.take([slate("first", time=NOW)])
    lab.run()
    lab.take([slate("second", time=NOW)], now=LATER)
    lab.run()
    paths = [file.path for file in lab.facts.files() if file.month.fact == "slate"]
    assert paths == ["slate/year=2026/month=03/part-0.parquet", "slate/year=2026/month=03/part-1.parquet"]
    assert len(pd.read_parquet(lab.folder / "slate")) == 2
    assert lab.take([slate("first", time=NOW)], now=LATER).duplicate == {"slate": 1}


def test_a_file_that_was_not_read_back_whole_keeps_the_month_in_the_store(lab, monkeypatch):
    lab.take([slate("first", time=NOW)])
    monkeypatch.setattr("lamella.adapters.parquet.archive._read_back", lambda *_: (0, "other"))
    with pytest.raises(ArchiveCorrupt):
        lab.run()
    assert (lab.count("slate"), lab.facts.files()) == (1, [])
    monkeypatch.undo()
    lab.run()
    assert lab.count("slate") == 0


def test_a_month_that_changed_while_it_was_written_stays_for_the_next_run(lab, monkeypatch):
    lab.take([slate("first", time=NOW)])
    write = lab.archive.write

    def late(month, columns, batches, *, number):
        file = write(month, columns, batches, number=number)
        lab.take([slate(f"late {month.fact}", time=NOW)])
        return file

    monkeypatch.setattr(lab.archive, "write", late)
    (moved, *_) = lab.run()
    assert (moved.file, "changed" in moved.why) == (None, True)
    monkeypatch.undo()
    lab.run()
    assert (lab.count("slate"), len(pd.read_parquet(lab.folder / "slate"))) == (0, 3)


@pytest.mark.parametrize("moment", ["before the store knows", "after the store knows"])
def test_a_move_that_was_killed_is_ended_or_undone_by_the_next_run(lab, monkeypatch, moment):
    lab.take([slate("first", time=NOW)])
    release = lab.facts.release

    def killed(file, *, at):
        if moment == "after the store knows":
            release(file, at=at)
        raise KeyboardInterrupt

    monkeypatch.setattr(lab.facts, "release", killed)
    with pytest.raises(KeyboardInterrupt):
        lab.run()
    monkeypatch.undo()
    lab.run()
    lab.archive.verify(lab.facts.files())
    assert not list(lab.folder.rglob("*.new"))
    assert (lab.count("slate"), len(pd.read_parquet(lab.folder / "slate"))) == (0, 1)


def mentions(lab, text):
    """Every table and file that holds the text in any column."""
    found = set()
    with lab.engine.connect() as connection:
        for table in tables_of(lab.engine.dialect.name):
            for row in connection.execute(sa.select(table)):
                if any(text in (bytes(v).decode(errors="replace") if isinstance(v, bytes) else str(v)) for v in row):
                    found.add(table.name)
    for path in lab.folder.rglob("*.parquet*"):
        if text in pd.read_parquet(path).to_csv():
            found.add(str(path.relative_to(lab.folder)))
    return found


def test_an_erased_unit_is_in_no_table_and_in_no_file(lab):
    victim = "reader-of-all"
    shown = slate("old", unit=victim, time=NOW, exposures=[Exposed(phase=7, variant="a")])
    custom = Custom(event_id="c", unit=victim, time=NOW, name="revenue", value=1.0)
    bad = fault_of({"kind": "click", "who": victim}, InvalidEvent("unknown_field", "no field who"))
    lab.take([*traffic(random.Random(2), slates=60), shown, click(of=shown), custom])
    before = lab.report()
    lab.run()
    recent = replace(shown, request_id="new", time=LATER, context={"user_agent": "a bot"})
    lab.take([recent, click("late", of=recent), click("orphan", of=replace(shown, request_id="none")), bad], now=LATER)
    journal = SqlJournal(lab.engine, lab.clock, limit=10)
    journal.append(encode([click("waits", of=shown), slate("stays", unit="reader-1", time=LATER), bad]))
    journal.close()
    held = mentions(lab, victim)
    assert {"slate", "click", "slate_receipt", "exposure", "unit_total", "quarantine", "inbox", "flagged_unit"} <= held
    assert {f"{fact}/year=2026/month=03/part-0.parquet" for fact in ("slate", "impression", "click", "custom")} <= held
    exported = lab.units.export(victim)
    assert exported["archive"].keys() == {"slate", "impression", "click", "custom"}
    done = lab.units.erase(victim)
    assert mentions(lab, victim) == set()
    assert done["archive"]["slate/year=2026/month=03/part-0.parquet"] == 1
    lab.archive.verify(lab.facts.files())
    assert len(pd.read_parquet(lab.folder / "slate")) == 60
    assert lab.record.ingest(limit=10, now=LATER).stored == {"slate": 1, "impression": 3}
    assert lab.report() != before


def test_a_file_of_which_nothing_is_left_stays_empty(lab):
    lab.take([slate("only", time=NOW)])
    lab.run()
    lab.units.erase("reader-1")
    assert {file.rows for file in lab.facts.files()} == {0}
    assert len(pd.read_parquet(lab.folder / "slate")) == 0
    lab.archive.verify(lab.facts.files())


def test_a_unit_of_any_text_is_found_in_refused_records_too(lab):
    units = ['say "hi"', "back\\slash", "漢字", "1", "new\tline"]
    bad = [fault_of({"kind": "click", "who": unit}, InvalidEvent("unknown_field", "no field who")) for unit in units]
    lab.take([*bad, slate("other")])
    journal = SqlJournal(lab.engine, lab.clock, limit=10)
    for each in bad:
        journal.append(encode([each, slate("stays")]))
    journal.close()
    for unit in units:
        assert lab.units.erase(unit)["tables"] == {"inbox": 1, "quarantine": 1}
    receipt = lab.record.ingest(limit=10, now=NOW)
    assert (receipt.stored["slate"], receipt.quarantined) == (1, {})


def test_a_unit_is_found_in_a_refused_record_however_deeply_that_is_nested(lab):
    depth = 900
    deep = orjson.loads(b"[" * depth + orjson.dumps(VICTIM) + b"]" * depth)
    lab.take([fault_of({"kind": "click", "event_id": deep}, InvalidEvent("wrong_type", "event_id is no text"))])
    assert list(lab.units.export(VICTIM)["tables"]) == ["quarantine"]
    assert lab.units.erase(VICTIM)["tables"] == {"quarantine": 1}
    assert lab.count("quarantine") == 0


def test_months_that_a_live_experiment_reads_from_the_facts_stay(lab):
    lab.take([slate("old", time=NOW), Custom(event_id="c", unit="u", time=NOW, name="revenue", value=1.0)])
    live = running(newsroom(), draft("trial"))
    (trial,) = (replace(each, phases=(replace(each.phases[-1], started_at=NOW),)) for each in live.experiments)
    lab.configuration = MemoryConfigurationStore(replace(live, experiments=(trial,)))
    held = [each.month.fact for each in lab.run() if each.file is None]
    assert held == ["custom"]
    assert (lab.count("slate"), lab.count("custom")) == (0, 1)


def test_what_is_still_on_its_way_is_exported_and_erased_too(engine, tmp_path):
    lab = Lab(engine, tmp_path)

    class OnItsWay:
        def settle(self):
            journal = SqlJournal(engine, lab.clock, limit=100)
            journal.append(encode([slate(unit=VICTIM)]))
            journal.close()

    units = Units(
        SqlUnitRecords(engine, lab.clock), lab.facts, lab.archive, lab.configuration, lab.clock, arrivals=OnItsWay()
    )
    assert len(units.export(VICTIM)["tables"]["inbox"]) == 1
    assert units.erase(VICTIM)["tables"] == {"inbox": 2}
