"""`lamella demo`, small: the whole loop on both stores, and what it says where it cannot run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lamella.testing.servers import postgresql, valkey

pytestmark = pytest.mark.slow

SECONDS = 1_200
SMALL = ("--users", "250", "--days", "4", "--seed", "5")
EXPERIMENTS = {"recall-mf": "recall", "rank-textcnn": "ranking", "layout-aa": "presentation"}

Wait = Callable[[Callable[[], object], float], float]


@contextmanager
def demo(folder: Path, *arguments: str, **environment: str) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """A running demo and the file that it prints to."""
    output = folder / "printed.txt"
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lamella", "demo", *arguments],
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process, output
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)


def pids_of(data_dir: Path, words: str) -> list[int]:
    """The processes over a data folder whose command line holds `words`."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            environment = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if words in command and f"LAMELLA_DATA_DIR={data_dir}".encode() in environment:
            found.append(int(process.name))
    return found


def check_report(out: Path, store: str) -> None:
    """The report has the promised shape, and the record holds exactly what was simulated."""
    report = json.loads((out / "report.json").read_text())
    assert report.keys() == {"seed", "store", "seconds", "counts", "experiments"}
    assert (report["seed"], report["store"]) == (5, store)
    assert all(seconds >= 0 for seconds in report["seconds"].values())
    assert report["counts"]["slate"]["simulated"] > 1_000
    for kind, count in report["counts"].items():
        assert count["stored"] == count["simulated"], kind
    assert {each["key"]: each["layer"] for each in report["experiments"]} == EXPERIMENTS
    for experiment in report["experiments"]:
        assert (experiment["planted"] == "effect") == (experiment["relative_lift_planted"] != 0)
        assert experiment["key"] != "layout-aa" or experiment["planted"] == "none"
        assert experiment["srm_p"] > 1e-4
        assert {row["metric"] for row in experiment["metrics"]} >= {"ctr", "reading_depth", "read_time_per_user"}
        assert {row["variant"] for row in experiment["metrics"]} == {"control", "treatment"}
    page = (out / "report.html").read_text()
    assert page.count("<svg") > 3
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_killing_worker_and_web_process_in_the_middle_of_the_traffic_loses_nothing(tmp_path: Path, wait_until: Wait):
    data_dir, out = tmp_path / "data", tmp_path / "out"
    with demo(tmp_path, *SMALL, "--data-dir", str(data_dir), "--out", str(out)) as (process, output):
        wait_until(lambda: "\nconfiguration" in output.read_text() or process.poll() is not None, SECONDS)
        assert process.poll() is None, output.read_text()
        time.sleep(1.0)
        for words in ("worker --queue default", "lamella web"):
            victims = pids_of(data_dir, words)
            assert victims, words
            for pid in victims:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.5)
        assert process.wait(SECONDS) == 0, output.read_text()
    printed = output.read_text()
    assert "worker: started again" in printed
    assert "web: started again" in printed
    check_report(out, "sqlite")
    wait_until(lambda: not pids_of(data_dir, "lamella"), 60)


def test_the_demo_runs_unchanged_on_postgresql_and_a_given_broker_and_refuses_to_run_there_twice(tmp_path: Path):
    out = tmp_path / "out"
    with postgresql() as database, valkey() as broker:
        environment = {"LAMELLA_DATABASE_URL": database, "LAMELLA_REDIS_URL": broker}
        with demo(tmp_path, *SMALL, "--out", str(out), **environment) as (process, output):
            assert process.wait(SECONDS) == 0, output.read_text()
        check_report(out, "postgresql")
        with demo(tmp_path, *SMALL, **environment) as (process, output):
            assert process.wait(SECONDS) == 1
    printed = output.read_text()
    assert "the demo needs an empty database" in printed
    assert "choose another" in printed
    assert "Traceback" not in printed


def test_an_impossible_wish_is_one_sentence_and_exit_code_two(tmp_path: Path):
    with demo(tmp_path, "--users", "3", "--days", "2") as (process, output):
        assert process.wait(120) == 2
    assert output.read_text().startswith("error: --users 3 is less than 50")
