"""A network that learns stops when its training is cancelled, and Ctrl-C leaves no training running."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from lamella.adapters.sql.catalogue import SqlModelCatalogue, SqlTrainingRuns
from lamella.adapters.sql.engine import create_engine
from lamella.recommenders.blobs import FolderBlobs
from lamella.recommenders.registry import FolderRegistry
from lamella.recommenders.trainer import KerasTrainer
from lamella.recommenders.uploads import Uploads
from lamella.services.cancelling import cancel_training
from lamella.services.model_ports import TrainingLog
from lamella.services.staging import Staging
from lamella.services.training import Order, Training, plan_training
from lamella.testing.fakes import MemoryCatalogue
from training_bench import DAY, Bench


class Log:
    def impressions(self, **_: object) -> TrainingLog:
        rng = np.random.default_rng(1)
        items = rng.integers(0, 30, 5_000)
        return TrainingLog(
            units=[f"u{each}" for each in rng.integers(0, 90, 5_000)],
            items=[f"i{each}" for each in items],
            ranks=rng.integers(1, 5, 5_000).tolist(),
            clicked=(rng.random(5_000) < items / 60).tolist(),
            since=DAY,
            until=DAY,
        )


@pytest.mark.slow
def test_a_network_stops_learning_at_its_next_word(engine: sa.Engine, tmp_path: Path) -> None:
    bench, runs, models = Bench(), SqlTrainingRuns(engine), SqlModelCatalogue(engine)
    registry = FolderRegistry(tmp_path, models)
    training = Training(
        runs=runs,
        store=Log(),
        catalogue=MemoryCatalogue([]),
        models=models,
        trainer=KerasTrainer(registry),
        staging=Staging(models, bench.store, bench.configuring, bench.clock),
        clock=bench.clock,
        # No word is too early to be told.
        monotonic=itertools.count().__next__,
    )
    order = Order(kind="mf", name="mf", hyperparameters={"epochs": 40}, seed=1, by="ann")
    runs.put(plan_training(order, run_id="run-1", trainer=KerasTrainer(registry), at=DAY))
    uploads, learned = Uploads(FolderBlobs(tmp_path), registry, most_bytes=1), []

    def watch(_share: float, message: str) -> None:
        if message.startswith("epoch"):
            learned.append(message)
            assert cancel_training("run-1", runs=runs, uploads=uploads).status == "cancelling"

    ended = training.carry_out("run-1", watch=watch)
    assert (ended.status, len(learned), models.all()) == ("cancelled", 1, [])
    assert ended == runs.find("run-1")
    assert 0.0 <= ended.progress < 0.95
    assert not (tmp_path / "mf").exists()


@pytest.mark.slow
def test_ctrl_c_in_the_foreground_leaves_the_run_cancelled(sqlite_database_url: str, tmp_path: Path) -> None:
    """The training waits for a file that nobody writes."""
    os.mkfifo(tmp_path / "ratings.csv")
    command = [sys.executable, "-m", "lamella", "train", "popularity", "--ratings", str(tmp_path / "ratings.csv")]
    environment = {**os.environ, "LAMELLA_DATABASE_URL": sqlite_database_url, "LAMELLA_DATA_DIR": str(tmp_path)}
    engine = create_engine(sqlite_database_url)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            runs, patience = SqlTrainingRuns(engine), time.monotonic() + 60
            while [each.status for each in runs.all()] != ["running"]:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < patience
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) != 0
        finally:
            process.kill()
    (run,) = runs.all()
    assert (run.status, run.message) == ("cancelled", "cancelled: interrupted at the keyboard; nothing was published")
    engine.dispose()
