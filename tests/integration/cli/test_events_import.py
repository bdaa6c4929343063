"""A file of the past comes into the record once, whatever happens meanwhile."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from lamella.adapters import lifeline
from lamella.adapters.sql.record import SqlRecordStore
from lamella.cli.root import main
from lamella.services.ports import IngestReceipt

START = datetime(2025, 1, 1, tzinfo=UTC)


def history(slates=400):
    """Impressions of a slate, then its click; times and numbers as Python has them."""
    rows = []
    for number in range(slates):
        common = {"request_id": f"r{number}", "unit": f"u{number % 50}", "time": START + timedelta(minutes=number)}
        rows += [{"kind": "impression", **common, "item": f"i{rank}", "rank": rank} for rank in (1, 2, 3)]
        rows.append({"kind": "click", "event_id": f"c{number}", **common, "item": "i1"})
        read = {"kind": "read", "event_id": f"read{number}", **common, "item": "i1"}
        rows.append({**read, "read_seconds": number / 10, "completion": 0.5})
        custom = {"kind": "custom", "event_id": f"n{number}", "unit": common["unit"], "time": common["time"]}
        rows.append({**custom, "name": "revenue", "value": float(number)})
    return rows


def write(path, rows):
    if path.suffix == ".parquet":
        names = list(dict.fromkeys(name for row in rows for name in row))
        pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in names}), path)
    elif path.suffix == ".csv":
        names = list(dict.fromkeys(name for row in rows for name in row))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows({**row, "time": row["time"].isoformat()} for row in rows)
    else:
        with path.open("w") as file:
            file.writelines(json.dumps({**row, "time": row["time"].isoformat()}) + "\n" for row in rows)
    return path


@pytest.fixture
def store(engine, database_url, tmp_path, monkeypatch):
    monkeypatch.setenv("LAMELLA_DATABASE_URL", database_url)
    monkeypatch.setenv("LAMELLA_DATA_DIR", str(tmp_path / "data"))
    return SqlRecordStore(engine)


def run(file, *options):
    return CliRunner().invoke(main, ["events", "import", str(file), *options])


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_every_kind_of_file_gives_the_same_record_and_a_second_import_changes_nothing(store, tmp_path, suffix):
    file = write(tmp_path / f"history.{suffix}", history())
    first = run(file)
    assert first.exit_code == 0, first.output
    assert "1600 records imported, 0 rows refused" in first.stdout
    assert "400 slate" in first.stdout
    expected = {"slate": 400, "impression": 1200, "click": 400, "read": 400, "custom": 400, "interaction": 0}
    counts = store.counts()
    assert {name: counts[name] for name in expected} == expected
    again = run(file)
    assert (again.exit_code, store.counts()) == (0, counts)
    assert "known before: 400 click" in again.stdout


def test_what_a_worker_took_meanwhile_is_not_passed_over(store, tmp_path, monkeypatch):
    ingest = SqlRecordStore.ingest

    def beside(self, *, limit, now):
        while ingest(self, limit=limit, now=now).batches:
            pass
        return IngestReceipt(batches=0, stored={}, duplicate={}, quarantined={})

    file = write(tmp_path / "history.jsonl", history(5))
    assert "meanwhile" not in run(file).stdout
    monkeypatch.setattr(SqlRecordStore, "ingest", beside)
    assert "taken by a worker meanwhile: 20 records" in run(file).stdout


def test_rows_that_are_refused_are_named_and_the_others_imported(store, tmp_path):
    rows = history(2)
    rows[3] = {**rows[3], "read_seconds": 3.0}
    rows.append({**rows[4], "event_id": "nan", "read_seconds": -1.0})
    file = write(tmp_path / "history.jsonl", rows)
    with file.open("a") as more:
        more.write("no JSON\n")
        more.write(f'{{"value": {"1" * 5_000}}}\n')
        more.write("[" * 100_000 + "]" * 100_000 + "\n")
    result = run(file, "--faults", str(tmp_path / "faults.jsonl"))
    assert result.exit_code == 1
    assert "row 4: unknown_field" in result.stderr
    faults = [json.loads(line) for line in (tmp_path / "faults.jsonl").read_text().splitlines()]
    assert [(each["row"], each["code"]) for each in faults] == [
        (4, "unknown_field"),
        (13, "out_of_range"),
        (14, "not_an_object"),
        (15, "not_an_object"),
        (16, "not_an_object"),
    ]
    assert "7 records imported, 5 rows refused" in result.stdout
    assert (store.counts()["click"], store.counts()["read"]) == (1, 2)


@pytest.mark.parametrize("name", ["history.txt", "broken.parquet"])
def test_a_file_of_another_kind_is_refused(store, tmp_path, name):
    (tmp_path / name).write_text("nothing")
    result = run(tmp_path / name)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")


@pytest.mark.slow
def test_an_import_that_is_killed_goes_on_where_it_stood_and_doubles_nothing(store, engine, tmp_path):
    survives(store, engine, tmp_path, slates=2_000, kills=[2_000])


@pytest.mark.long
def test_an_import_that_is_killed_again_and_again_goes_on_where_it_stood(store, engine, tmp_path):
    survives(store, engine, tmp_path, slates=20_000, kills=range(4_000, 60_000, 5_000))


def survives(store, engine, folder, *, slates, kills):
    """Imports a history, killed whenever so many records were durable."""
    file = write(folder / "history.jsonl", history(slates))
    command = lifeline.command([sys.executable, "-m", "lamella", "events", "import", str(file)])
    for records in kills:
        process = subprocess.Popen(command, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        _until_durable(engine, records, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    ended = subprocess.run(command, env=dict(os.environ), capture_output=True, check=True)
    assert b"goes on after row" in ended.stderr
    counts = store.counts()
    assert {counts[fact] for fact in ("slate", "click", "read", "custom")} == {slates}
    assert counts["inbox"] == 0
    with engine.connect() as connection:
        total = connection.execute(sa.text("SELECT sum(clicks), sum(impressions) FROM unit_total")).one()
    assert tuple(map(int, total)) == (slates, 3 * slates)


def _until_durable(engine, records, process):
    """Waits until so many records wait or are stored, or the import has ended."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends and process.poll() is None:
        with engine.connect() as connection:
            waiting = connection.exec_driver_sql("SELECT count(*) FROM inbox").scalar()
            stored = connection.exec_driver_sql("SELECT count(*) FROM event_receipt").scalar()
            shown = connection.exec_driver_sql("SELECT count(*) FROM slate_receipt").scalar()
        if stored + shown + 1_000 * waiting >= records:
            return
        time.sleep(0.05)
