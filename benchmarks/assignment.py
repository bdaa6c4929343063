"""How fast assignment is, beside GrowthBook's SDK, flagd's evaluator, PlanOut and a bare loop of hashes, in one run.

    python benchmarks/assignment.py [--rounds 7] [--json]

Everything is complete here: a holdout, a rule a layer, the reasons, the parameters. All run on one core, in turns,
and processor time is what counts; the figures are medians over the rounds. The peers pin what we do not, so
they get an environment of their own, `build/peers`, which the first run makes. Bulk is 100 layers of the same kind.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import venv
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from assignment_peers import CONTEXTS, RULES, Evaluate, seconds, units

from lamella.experiments import lifecycle
from lamella.experiments.model import (
    BUCKETS,
    AnalysisPlan,
    BucketRange,
    Configuration,
    Experiment,
    Holdout,
    Layer,
    Parameter,
    ParameterType,
    Variant,
)
from lamella.experiments.snapshot import Snapshot, compile_snapshot
from lamella.experiments.traffic import add_holdout
from lamella.services.bulk import assign_many

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("growthbook>=4", "openfeature-flagd-core>=2", "planout==0.6", "six", "mmh3")
LAYERS: Final = (10, 100)
# Layers evaluated by each in a round: enough to last some tens of milliseconds.
WORK: Final = {"ours": 60_000, "growthbook": 5_000, "flagd": 5_000, "planout": 1_500, "bare": 200_000}
BULK_UNITS: Final = 100_000


def configuration(layers: int) -> Configuration:
    """One running experiment a layer over all traffic, and a holdout of 5 %."""
    now = Configuration()
    everybody = (BucketRange(start=0, stop=BUCKETS),)
    for each in range(layers):
        layer, key = f"layer{each}", f"p{each}"
        now = lifecycle.add_layer(now, Layer(key=layer, salt=layer))
        now = lifecycle.add_parameter(now, Parameter(key=key, type=ParameterType.STRING, default="a", layer=layer))
        experiment = Experiment(
            key=f"e{each}",
            layer=layer,
            name=f"Experiment {each}",
            hypothesis="Assignment is fast",
            variants=(
                Variant(key="control", weight=1, is_control=True, values={key: "a"}),
                Variant(key="treatment", weight=1, values={key: "b"}),
            ),
            plan=AnalysisPlan(primary_metric="ctr"),
            ranges=everybody,
            rule=RULES[each % len(RULES)],  # type: ignore[arg-type]  # plain JSON
        )
        now = lifecycle.add_experiment(now, experiment)
        now = lifecycle.start(now, experiment.key, at=datetime(2026, 3, 2, tzinfo=UTC), metrics={"ctr"})
    return add_holdout(now, Holdout(key="quarter", salt="quarter", ranges=(BucketRange(start=0, stop=500),)))


class Peers:
    """The peers in their environment, on the same core; `seconds` has one of them work."""

    def __init__(self) -> None:
        python = environment()
        script = Path(__file__).with_name("assignment_peers.py")
        self._process = subprocess.Popen(
            [python, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def seconds(self, peer: str, layers: int, start: int, number: int) -> float:
        """How long the peer took for that many users."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the peers have no pipes")
        self._process.stdin.write(f"{peer} {layers} {start} {number}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"peer {peer} failed; run {Path(__file__).with_name('assignment_peers.py')} by hand")
        return float(answer)

    def close(self) -> None:
        """Ends the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=30)


def environment() -> str:
    """The interpreter of the peers' environment, made if it is not there."""
    folder = ROOT / "build" / "peers"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES], check=True)
        (folder / "ready").touch()
    return str(python)


def ours(snapshot: Snapshot) -> Evaluate:
    """Our complete evaluation."""
    return snapshot.assign


def bulk_rate(snapshot: Snapshot, layers: int) -> float:
    """Unit-layers a second, from a list of texts to an array of codes."""
    users = units(BULK_UNITS)
    started = time.process_time()
    assign_many(snapshot, users, CONTEXTS[0])
    return BULK_UNITS * layers / (time.process_time() - started)


def measure(rounds: int) -> dict[str, float]:
    """The figures under their keys."""
    snapshots = {layers: compile_snapshot(configuration(layers)) for layers in LAYERS}
    rates: dict[tuple[str, int], list[float]] = {(who, layers): [] for who in WORK for layers in LAYERS}
    bulk: list[float] = []
    peers = Peers()
    try:
        for turn in range(rounds + 1):
            for (who, layers), found in rates.items():
                number, start = max(WORK[who] // layers, 5), turn * 1_000_000
                if who == "ours":
                    taken = seconds(ours(snapshots[layers]), units(number, start))
                else:
                    taken = peers.seconds(who, layers, start, number)
                if turn:
                    found.append(number / taken)
            bulk.append(bulk_rate(snapshots[LAYERS[-1]], LAYERS[-1]))
    finally:
        peers.close()
    medians = {key: statistics.median(found) for key, found in rates.items()}
    figures = {
        f"ratio_{who}_{layers}": medians["ours", layers] / medians[who, layers]
        for layers in LAYERS
        for who in ("growthbook", "flagd", "planout", "bare")
    }
    figures["bulk_unit_layers_per_s"] = statistics.median(bulk[1:])
    figures["users_per_s_10"] = medians["ours", 10]
    for (who, layers), rate in sorted(medians.items(), key=lambda each: each[0][1]):
        print(f"{who:12} {layers:4} layers {rate:14,.0f} users/s", file=sys.stderr)
    return figures


def main() -> None:
    """Measures and prints the figures; with --json as one object on the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    figures = measure(options.rounds)
    if options.json:
        print(json.dumps(figures))
        return
    for key, value in figures.items():
        print(f"{key:24} {value:16,.2f}")


if __name__ == "__main__":
    main()
