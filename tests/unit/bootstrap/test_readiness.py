"""What a process needs to be ready, and how long it waits to find out."""

import threading

import pytest

from lamella.bootstrap.readiness import Prompt, readiness
from lamella.errors import BrokerUnavailable, LamellaError, StoreNotMigrated, StoreUnavailable
from lamella.experiments.model import Configuration
from lamella.services.assigning import SnapshotHolder
from lamella.testing.configurations import MemoryConfigurationStore


def nothing() -> None:
    return None


def away() -> None:
    raise StoreUnavailable("the store does not answer")


def behind() -> None:
    raise StoreNotMigrated("the store is at schema none")


def no_broker() -> None:
    raise BrokerUnavailable("the broker does not answer")


def failures(check_store, *, journal="disk", is_loaded=True, check_broker=nothing) -> dict[str, tuple[str, bool]]:
    """The code of each failure, and whether the process cannot work because of it."""
    snapshots = SnapshotHolder(MemoryConfigurationStore(Configuration()))
    if is_loaded:
        snapshots.refresh()
    found: dict[str, tuple[str, bool]] = {}
    for check in readiness(journal, snapshots, check_store=check_store, check_broker=check_broker, seconds=60.0):
        try:
            check.probe()
        except LamellaError as failure:
            found[check.name] = (failure.code, check.forbids(failure))
    return found


def test_a_store_that_is_away_does_not_forbid_work_over_a_journal_on_disk() -> None:
    bridged = ("store_unavailable", False)
    assert failures(away) == {"store": bridged, "migrations": bridged}


def test_a_store_that_is_away_forbids_work_where_it_is_the_journal() -> None:
    missing = ("store_unavailable", True)
    assert failures(away, journal="store") == {"store": missing, "migrations": missing}


def test_a_store_that_is_away_forbids_work_before_the_first_snapshot() -> None:
    missing = ("store_unavailable", True)
    expected = {"store": missing, "migrations": missing, "snapshot": ("unavailable", True)}
    assert failures(away, is_loaded=False) == expected


@pytest.mark.parametrize("journal", ["disk", "store"])
def test_a_store_of_another_schema_forbids_work(journal: str) -> None:
    assert failures(behind, journal=journal) == {"migrations": ("store_not_migrated", True)}


def test_the_broker_is_never_required() -> None:
    assert failures(nothing, check_broker=no_broker) == {"broker": ("broker_unavailable", False)}


def test_a_server_that_says_nothing_is_not_waited_for_long_and_by_one_thread() -> None:
    asked: list[int] = []
    released, returned = threading.Event(), threading.Event()

    def ask() -> None:
        asked.append(1)
        released.wait()
        returned.set()

    prompt = Prompt(ask, lambda: StoreUnavailable("late"), seconds=0.01)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="late"):
            prompt()
    released.set()
    returned.wait()
    assert len(asked) == 1


def test_what_was_asked_is_asked_anew_and_raised_as_it_is() -> None:
    answers = iter([nothing, away, nothing])

    def ask() -> None:
        next(answers)()

    prompt = Prompt(ask, lambda: StoreUnavailable("late"), seconds=60.0)
    prompt()
    with pytest.raises(StoreUnavailable, match="does not answer"):
        prompt()
    prompt()
