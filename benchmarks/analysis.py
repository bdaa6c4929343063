"""How fast a report is, beside a bare scan of the events, tea-tasting and pandas with gbstats, in one run.

    python benchmarks/analysis.py [--rows 10000000] [--sqlite-rows 1000000] [--rounds 5] [--json]

The record has `--rows` impressions of a tenth as many units in two arms, over the week before the experiment and the
week of it. The report is complete: ten metrics with CUPED, checks and verdict. All take turns in each round, the
figures are medians, and ratios are what to read:

- report: a scheduled report, from what is kept, beside `SELECT count(*), sum(clicked)` over the impressions as rows of
  time, unit, arm and click;
- recompute: the same report from the facts alone, nothing derived or kept is read;
- refresh: 1 % new events came through the ingest; to bring what is kept up to date, as a share of the recompute;
- rebuild: `lamella record recompute`, which stores totals, exposures and kept moments anew (once);
- peers: their time over that of our report. They read the events from one Parquet file, as numbers, and need
  environments of their own under `build/`, which the first run makes; tea-tasting wants a `python3.12`.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import sqlalchemy as sa
from analysis_data import END, PHASE, SLATE, START, VARIANTS, bare_table, events, load, unit_name, write_parquet

from lamella.adapters.sql import kept, migrations
from lamella.adapters.sql.analysis import SqlAnalysisStore
from lamella.adapters.sql.engine import create_engine, is_postgresql, snapshot, writing
from lamella.adapters.sql.keeping import SqlKeptStore
from lamella.adapters.sql.kept_answers import as_totals
from lamella.adapters.sql.recompute import SqlRecomputing
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.recount import recounted
from lamella.adapters.sql.schema import inbox
from lamella.events.codec import encode
from lamella.events.contract import Click, Exposed, Impression, Slate
from lamella.experiments.model import AnalysisPlan, BucketRange, Experiment, Phase, Status, Variant
from lamella.metrics.definitions import METRICS, Metric, MetricUnit
from lamella.services.analysing import build_report, columns_of
from lamella.services.keeping import Followed
from lamella.services.ports import ArmTotals
from lamella.testing.servers import postgresql

ROOT: Final = Path(__file__).resolve().parent.parent
NOW: Final = END + timedelta(hours=1)
SINCE: Final = START - timedelta(days=7)
NEW_SHARE: Final = 0.01
PACKAGES: Final = {
    "tea_tasting": ("tea-tasting>=2", "duckdb<2", "pyarrow", "ibis-framework[duckdb]"),
    "pandas_gbstats": ("gbstats", "pyarrow<15"),
}
_EIGHT: Final = (
    "ctr", "reading_depth", "dwell_per_read", "interaction_rate", "articles_per_user", "articles_per_clicking_user",
    "read_time_per_user", "clicking_users",
)  # fmt: skip
TEN: Final[Mapping[str, Metric]] = {
    **{key: METRICS[key] for key in _EIGHT},
    **{
        f"{name}_per_user": Metric(
            key=f"{name}_per_user", label=name, label_zh=name, numerator=(name,), unit=MetricUnit.COUNT
        )
        for name in ("reads", "shares")
    },
}


def experiment() -> tuple[Experiment, Phase]:
    """The experiment of the record, with covariates of seven days."""
    plan = AnalysisPlan(primary_metric="ctr", covariate_days=7, planned_days=14)
    variants = tuple(
        Variant(key=key, weight=1, is_control=not number, values={}) for number, key in enumerate(VARIANTS)
    )
    phase = Phase(id=PHASE, number=1, started_at=START, ended_at=None, salt="s", weights=dict.fromkeys(VARIANTS, 1))
    made = Experiment(
        key="measured",
        layer="home",
        name="Measured",
        hypothesis="Reports are fast",
        variants=variants,
        plan=plan,
        ranges=(BucketRange(start=0, stop=10_000),),
        status=Status.RUNNING,
        phases=(phase,),
    )
    return made, phase


@dataclass
class Figures:
    """Seconds by what was measured, a list each."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def time(self, name: str, work: Callable[[], Any]) -> Any:
        """What the work returns; how long it took is noted."""
        started = time.perf_counter()
        found = work()
        self.seconds.setdefault(name, []).append(time.perf_counter() - started)
        return found

    def of(self, name: str) -> float:
        """The median."""
        return statistics.median(self.seconds[name])


class Measured:
    """The record in one store, and what is done with it."""

    def __init__(self, url: str, rows: int) -> None:
        migrations.upgrade(url)
        self.engine, self.rows = create_engine(url), rows
        self.of = events(np.random.default_rng(7), rows)
        self.experiment, self.phase = experiment()
        self._round = 0
        load(self.engine, self.of)
        bare_table(self.engine, self.of)

    def bare_scan(self) -> None:
        """The measure of all things."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql("SELECT count(*), sum(clicked) FROM bare_event").one()

    def rebuild(self) -> None:
        """What `lamella record recompute` does."""
        SqlRecomputing(self.engine).recompute(NOW)

    def refresh(self) -> None:
        """What a worker does before its reports."""
        SqlKeptStore(self.engine).refresh([Followed(phase=PHASE, covariate_since=SINCE)], NOW)

    def report(self) -> dict[str, Any]:
        """A report as a worker makes it, up to its JSON."""
        columns = columns_of(self.experiment.plan, TEN)
        store = SqlAnalysisStore(self.engine)
        found = store.arm_totals(PHASE, columns, until=NOW, covariate_since=SINCE)
        if {each.source for each in found} != {"kept"}:
            raise RuntimeError("the report did not come from what is kept")
        return self._document(found)

    def recompute(self) -> dict[str, Any]:
        """The same from the facts alone."""
        with snapshot(self.engine) as connection:
            arms = recounted(connection, PHASE, SINCE.date())
        return self._document(as_totals(arms, columns_of(self.experiment.plan, TEN)))

    def take_new(self) -> None:
        """One per cent more events, through the ingest."""
        self._round += 1
        rng = np.random.default_rng(self._round)
        number = int(self.rows * NEW_SHARE / SLATE)
        who = rng.integers(0, self.rows // 10, number)
        new: list[list[Any]] = []
        for each, unit in enumerate(who.tolist()):
            new.append(_visit(f"new-{self._round}-{each}", unit, rng))
        with writing(self.engine) as connection:
            batches = [encode([one for visit in new[i : i + 200] for one in visit]) for i in range(0, number, 200)]
            connection.execute(sa.insert(inbox), [{"received_at": NOW, "body": batch} for batch in batches])
        store = SqlRecordStore(self.engine)
        while store.ingest(limit=50, now=NOW).batches:
            pass
        if is_postgresql(self.engine):
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM (ANALYZE) unit_total, exposure")

    def assert_exact(self) -> None:
        """What is kept is what the facts add up to, digit by digit."""
        with snapshot(self.engine) as connection:
            held = kept.load(connection, PHASE)
            if held is None or recounted(connection, PHASE, SINCE.date()) != held.arms:
                raise RuntimeError("what is kept is not what the facts add up to")

    def _document(self, totals: Any) -> dict[str, Any]:
        found: list[ArmTotals] = list(totals)
        document = build_report(self.experiment, self.phase, found, [], NOW, metrics=TEN)
        json.dumps(document)
        return document


def _visit(request: str, unit: int, rng: np.random.Generator) -> list[Any]:
    """A slate with perhaps a click."""
    at = END - timedelta(seconds=float(rng.random()) * 3_600)
    shown = tuple(
        Impression(item=f"item-{item:05d}", rank=rank, score=0.5, source="mf@1")
        for rank, item in enumerate(rng.integers(0, 9_000, SLATE).tolist(), 1)
    )
    exposed = (Exposed(phase=PHASE, variant=VARIANTS[unit % 2]),)
    name = unit_name(unit)
    slate = Slate(request_id=request, unit=name, time=at, exposures=exposed, impressions=shown, snapshot=1)
    if rng.random() > 0.25:
        return [slate]
    click = Click(event_id=f"{request}-c", request_id=request, unit=name, item=shown[0].item, time=at)
    return [slate, click]


class Peer:
    """A peer in its environment; None where it cannot be made here."""

    def __init__(self, name: str, path: Path) -> None:
        python = environment(name)
        script = Path(__file__).with_name("analysis_peers.py")
        self._process = subprocess.Popen(
            [python, str(script), name, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ctr_lift = float(self._answer()["ctr_lift"])

    def seconds(self) -> float:
        """One run, as the peer itself takes the time: without its imports."""
        if self._process.stdin is None:
            raise RuntimeError("the peer has no pipe")
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        return float(self._answer()["seconds"])

    def close(self) -> None:
        """Ends the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=60)

    def _answer(self) -> dict[str, float]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise RuntimeError(f"a peer failed; run {Path(__file__).with_name('analysis_peers.py')} by hand")
        answer: dict[str, float] = json.loads(line)
        return answer


def environment(name: str) -> str:
    """The interpreter of the peer's environment, made if it is not there."""
    folder = ROOT / "build" / f"peers-{name}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        wanted = python312() if name == "tea_tasting" else sys.executable
        subprocess.run([wanted, "-m", "venv", "--clear", str(folder)], check=True)
        quiet = ("-q", "--disable-pip-version-check")
        subprocess.run([python, "-m", "pip", "install", *quiet, *PACKAGES[name]], check=True)
        (folder / "ready").touch()
    return str(python)


def python312() -> str:
    """An interpreter of Python 3.12 or newer: this one, or one on PATH, or one of pyenv's."""
    if sys.version_info >= (3, 12):
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python3.{minor}") for minor in (12, 13)] + sorted(
        map(str, pyenv.glob("3.1[23]*/bin/python"))
    )
    for each in found:
        if each and subprocess.run([each, "--version"], capture_output=True, check=False).returncode == 0:
            return each
    raise RuntimeError("tea-tasting 2 wants Python 3.12 or newer, and there is none on PATH; use --without-peers")


def measure(url: str, rows: int, rounds: int, folder: Path | None) -> dict[str, Any]:
    """The ratios of one store; with a folder for their file, those of the peers too."""
    figures, record = Figures(), Measured(url, rows)
    figures.time("rebuild", record.rebuild)
    record.refresh()
    peers: dict[str, Peer] = {}
    if folder is not None:
        write_parquet(record.of, folder / "events.parquet")
        peers = {name: Peer(name, folder / "events.parquet") for name in PACKAGES}
        lift = record.report()["metrics"][0]["comparisons"][0]["relative_lift"]
        for name, peer in peers.items():
            if abs(peer.ctr_lift - lift) > 1e-9:
                raise RuntimeError(f"{name} finds a lift of {peer.ctr_lift}, we find {lift}")
    for _ in range(rounds):
        figures.time("bare_scan", record.bare_scan)
        figures.time("report", record.report)
        figures.time("recompute", record.recompute)
        record.take_new()
        figures.time("refresh", record.refresh)
        for name, peer in peers.items():
            figures.seconds.setdefault(name, []).append(peer.seconds())
    record.assert_exact()
    for peer in peers.values():
        peer.close()
    record.engine.dispose()
    bare, report = figures.of("bare_scan"), figures.of("report")
    return {
        "rows": rows,
        "report_ratio_to_scan": report / bare,
        "recompute_ratio_to_scan": figures.of("recompute") / bare,
        "refresh_share_of_recompute": figures.of("refresh") / figures.of("recompute"),
        "rebuild_ratio_to_scan": figures.of("rebuild") / bare,
        **{f"vs_{name}": figures.of(name) / report for name in peers},
        "seconds": {name: round(figures.of(name), 4) for name in figures.seconds},
    }


def main() -> None:
    """Measures both stores and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="impressions in PostgreSQL")
    parser.add_argument("--sqlite-rows", type=int, default=1_000_000, help="impressions in SQLite; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(postgresql(options={"shared_buffers": "512MB", "max_wal_size": "8GB"}))
        found = measure(server, options.rows, options.rounds, None if options.without_peers else folder)
        if options.sqlite_rows:
            url = f"sqlite:///{folder / 'lamella.db'}"
            found["sqlite"] = measure(url, options.sqlite_rows, options.rounds, None)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for key, value in found.items():
        print(f"{key:28} {value if isinstance(value, dict | int) else round(value, 3)}")


if __name__ == "__main__":
    main()
