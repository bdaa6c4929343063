"""Recall out of a large catalogue on one core: `python benchmarks/recall.py --json`."""

import argparse
import json
import os
import statistics
import sys
import time
from datetime import UTC, datetime

import numpy as np

from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.host import ModelHost
from lamella.services.model_ports import ModelVersion, Recall
from lamella.testing.fakes import MemoryModelCatalogue

ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}
SIZE = 32
USERS = 1_000
COUNT = 300


class Made:
    """The artifact of a matrix factorisation with random numbers."""

    def __init__(self, items: int) -> None:
        rng = np.random.default_rng(1)
        self._model = FactorModel(
            user_ids=tuple(f"u{each}" for each in range(USERS)),
            user_vectors=rng.normal(size=(USERS, SIZE)).astype(np.float32),
            user_bias=np.zeros(USERS, dtype=np.float32),
            item_ids=tuple(f"article-{each:06d}" for each in range(items)),
            item_vectors=rng.normal(size=(items, SIZE)).astype(np.float32),
            item_bias=rng.normal(size=items).astype(np.float32),
            intercept=-2.0,
            unknown_item_bias=-1.0,
            rank_bias=np.zeros(1, dtype=np.float32),
        )

    def load(self, _: ModelVersion) -> FactorModel:
        """The model."""
        return self._model


def measure(items: int, calls: int) -> dict[str, float]:
    """Milliseconds of one recall: p50 and p99, plain and with 50 reads left out."""
    version = ModelVersion(
        name="mf",
        number=1,
        kind="mf",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        digest="",
        size_bytes=0,
        hyperparameters={},
        metrics={},
        stamp={},
    )
    host = ModelHost(Made(items), MemoryModelCatalogue([version]))
    unread = frozenset(f"article-{each:06d}" for each in range(0, 50 * 7, 7))
    figures: dict[str, float] = {"items": items, "size": SIZE, "count": COUNT}
    for name, wanted in (("", Recall(count=COUNT)), ("unread_", Recall(count=COUNT, exclude=unread))):
        times = []
        for call in range(calls):
            started = time.perf_counter()
            host.recall("mf@1", f"u{call % USERS}", wanted)
            times.append((time.perf_counter() - started) * 1000)
        figures[f"{name}p50_ms"] = statistics.median(times)
        figures[f"{name}p99_ms"] = statistics.quantiles(times, n=100)[98]
    return figures


def main() -> None:
    """Measure on one core and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if not ONE_THREAD.items() <= os.environ.items():
        # Read when NumPy is imported, which is before this line.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    figures = measure(chosen.items, chosen.calls)
    if chosen.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:16} {value:,.2f}")


if __name__ == "__main__":
    main()
