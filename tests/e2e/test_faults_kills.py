"""kill -9 of every process, at random moments under load: nothing acknowledged is lost, nothing is stored twice."""

import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.fault_lab import Lab, laboratory
from lamella.services.keys import CACHE_SECONDS
from lamella.testing.cluster import cluster

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

Wait = Callable[[Callable[[], object], float], float]

NAMES = ("web", "worker", "beat", "broker", "store")


def kill_each(folder: Path, rounds: int, seed: int, audit_every: int = 5) -> None:
    rng = random.Random(seed)
    with cluster() as store, laboratory(folder, cluster=store) as lab:
        for done in range(0, rounds, audit_every):
            until = min(rounds, done + audit_every)
            with lab.load():
                for _ in range(done, until):
                    kill_once(lab, rng)
            lab.audit(f"kill -9 of each of {', '.join(NAMES)}, {until} times each")


def kill_once(lab: Lab, rng: random.Random) -> None:
    """Each process, in random order, at a random moment, down for a random time."""
    lab.progress()
    for name in rng.sample(NAMES, len(NAMES)):
        time.sleep(rng.uniform(0.0, 0.5))
        lab.kill(name, rng)
        time.sleep(rng.uniform(0.0, 0.3))
        lab.progress()


def test_one_kill_of_each_process_loses_and_doubles_nothing(tmp_path: Path) -> None:
    kill_each(tmp_path / "lab", rounds=1, seed=5)


@pytest.mark.long
def test_twenty_kills_of_each_process_lose_and_double_nothing(tmp_path: Path) -> None:
    kill_each(tmp_path / "lab", rounds=20, seed=20)


def readiness(url: str) -> tuple[int, str]:
    """The status of /readyz, and what it calls itself."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=60) as answer:
            return int(answer.status), str(json.load(answer)["status"])
    except urllib.error.HTTPError as error:
        with error:
            return error.code, str(json.load(error)["status"])


def test_while_the_store_is_away_lists_and_events_go_on(tmp_path: Path, wait_until: Wait) -> None:
    rng = random.Random(7)
    with cluster() as store, laboratory(tmp_path / "lab", cluster=store) as lab:
        with lab.load():
            lab.progress()
            while store.is_up():
                store.kill(rng)
                time.sleep(0.2)
            # Longer than a key is remembered without asking the store.
            time.sleep(2 * CACHE_SECONDS)
            ledger, slates, events = lab.ledger, len(lab.ledger.slates), len(lab.ledger.events)
            wait_until(lambda: len(ledger.slates) > slates and len(ledger.events) > events, 90)
            assert not store.is_up()
            wait_until(lambda: readiness(lab.urls[0]) == (200, "degraded"), 90)
            lab.progress()
        lab.audit("PostgreSQL away under load")
