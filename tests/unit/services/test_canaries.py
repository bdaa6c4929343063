"""Canaries: whom they answer, and when they have to go."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lamella.errors import StoreUnavailable
from lamella.services import canaries as module
from lamella.services.canaries import Canaries, Retreating
from lamella.services.configuring import Configuring
from lamella.services.model_ports import ModelVersion
from lamella.services.staging import Staging
from lamella.testing.admin import MemoryAuditLog
from lamella.testing.configurations import MemoryConfigurationStore
from lamella.testing.fakes import START, FakeClock, MemoryModelCatalogue

LIVE = ModelVersion(
    name="mf", number=1, kind="mf", created_at=START, digest="", size_bytes=0, hyperparameters={}, metrics={}, stamp={}
)
CANARY = replace(LIVE, number=2, stage="canary", share=0.2)
UNITS = [f"unit-{each}" for each in range(5_000)]


class Bench:
    """A canary mf@2 on a fifth of the units, a clock, and what was told."""

    def __init__(self) -> None:
        self.now, self.told, self.left = 0.0, [], threading.Event()
        self.reasons: list[str] = []
        self.canaries = Canaries(self._retreat, observer=self, monotonic=lambda: self.now)
        self.canaries.follow([CANARY, LIVE])

    def _retreat(self, reference: str, reason: str) -> None:
        self.reasons.append(f"{reference} {reason}")
        self.left.set()

    def retreated(self, reference: str, cause: str) -> None:
        self.told.append((reference, cause))

    def answer(self, reference: str, number: int, *, seconds: float = 0.001, failed: int = 0) -> None:
        for each in range(number):
            if each < failed:
                self.canaries.failed(reference)
            else:
                self.canaries.answered(reference, seconds)

    @property
    def serves(self) -> bool:
        return any(self.canaries.canary_of("mf", unit) for unit in UNITS[:200])


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_canary_answers_its_share_of_the_units_and_always_the_same(bench: Bench) -> None:
    chosen = {unit for unit in UNITS if bench.canaries.canary_of("mf", unit) == "mf@2"}
    assert len(chosen) == pytest.approx(1_000, abs=4 * (5_000 * 0.2 * 0.8) ** 0.5)
    bench.canaries.follow([replace(CANARY, share=0.4), LIVE])
    assert chosen < {unit for unit in UNITS if bench.canaries.canary_of("mf", unit)}


def test_without_a_live_version_or_a_canary_nobody_is_moved(bench: Bench) -> None:
    bench.canaries.follow([CANARY])
    assert not bench.serves
    bench.canaries.follow([replace(CANARY, stage="candidate", share=0.0), LIVE])
    assert not bench.serves
    assert not bench.canaries.watches("mf@1")


def test_a_canary_that_fails_more_often_than_the_live_version_retreats_at_once(bench: Bench) -> None:
    bench.answer("mf@1", 100)
    bench.answer("mf@2", 19, failed=2)
    assert bench.serves
    bench.canaries.answered("mf@2", 0.001)
    assert not bench.serves
    assert bench.left.wait(60)
    assert bench.told == [("mf@2", "errors")]
    assert bench.reasons == ["mf@2 retreated: 2 of 20 answers failed, of mf@1 0 of 100"]


def test_failures_that_the_live_version_shares_are_not_the_canarys(bench: Bench) -> None:
    bench.answer("mf@1", 100, failed=30)
    bench.answer("mf@2", 40, failed=0)
    bench.answer("mf@2", 13, failed=13)
    assert bench.serves


def test_a_canary_that_is_three_times_slower_retreats_and_one_that_is_5_ms_slower_does_not(bench: Bench) -> None:
    bench.answer("mf@1", 60, seconds=0.001)
    bench.answer("mf@2", 200, seconds=0.0059)
    assert bench.serves
    bench.answer("mf@2", 60, seconds=0.012)
    assert not bench.serves
    assert bench.told == [("mf@2", "latency")]


def test_what_is_older_than_a_minute_is_forgotten(bench: Bench) -> None:
    bench.answer("mf@2", 19, failed=19)
    bench.now += 61
    bench.answer("mf@2", 19)
    assert bench.serves


def test_a_canary_that_retreated_stays_away_until_it_is_staged_again(bench: Bench) -> None:
    bench.answer("mf@2", 20, failed=20)
    bench.canaries.follow([CANARY, replace(LIVE, number=3), replace(LIVE, stage="retired")])
    assert not bench.serves
    bench.canaries.follow([replace(CANARY, staged_at=START), LIVE])
    assert bench.serves


class Store(MemoryModelCatalogue):
    """A catalogue that is away for the first two moves."""

    away = 2

    def stage(self, reference: str, stage: str, **options: object) -> ModelVersion:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("the store is away")
        return super().stage(reference, stage, **options)  # type: ignore[arg-type]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "_PAUSES", (0.01,))
    return iter(())


@pytest.mark.usefixtures("hasty")
def test_the_store_learns_of_a_retreat_with_its_reason_even_where_it_was_away() -> None:
    models, clock, audit = Store([LIVE, CANARY]), FakeClock(), MemoryAuditLog()
    store = MemoryConfigurationStore()
    staging = Staging(models, store, Configuring(store, clock, []), clock)
    retreating = Canaries(Retreating(staging, models, audit, clock))
    retreating.follow(models.all())
    for _ in range(20):
        retreating.failed("mf@2")
    until = threading.Event()
    for _ in range(3_000):
        if audit.deeds() and audit.deeds()[0].status == 200:
            break
        until.wait(0.02)
    found = models.find("mf@2")
    assert found is not None
    assert (found.stage, found.share) == ("candidate", 0.0)
    assert found.reason == "retreated: 20 of 20 answers failed, of mf@1 0 of 0"
    newest, *before = audit.deeds()
    assert (newest.actor, newest.path, newest.status) == ("lamella", "/v1/admin/models/mf@2/stage", 200)
    assert [each.code for each in before] == ["store_unavailable"] * 2
