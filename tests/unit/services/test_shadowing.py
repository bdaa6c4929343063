"""Shadows are asked in the background and compared; nobody waits for them."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from lamella.errors import ModelFailed, StoreUnavailable
from lamella.services.model_ports import ModelVersion, Scored
from lamella.services.shadow_ports import ShadowRecord, ShadowTotal, shadow_document
from lamella.services.shadowing import Answered, Shadowing, overlap, rank_correlation
from lamella.testing.fakes import START
from lamella.testing.shadows import MemoryShadowStore

LIVE = ModelVersion(
    name="mf", number=1, kind="mf", created_at=START, digest="", size_bytes=0, hyperparameters={}, metrics={}, stamp={}
)
SHADOW = replace(LIVE, number=2, stage="shadow", share=1.0)


def listed(*items: str, model: str = "mf@1") -> Scored:
    return Scored(items=items, scores=[0.5] * len(items), source=f"recall:{model}")


class Bench:
    """mf@1 live with the shadow mf@2, which answers what it is told to."""

    def __init__(self, store: MemoryShadowStore | None = None, **options: int) -> None:
        self.store = store or MemoryShadowStore()
        self.shadowing = Shadowing(self.store, flush_seconds=60, **options)  # type: ignore[arg-type]
        self.shadowing.follow([SHADOW, LIVE])
        self.answer: Sequence[str] | Exception = ("b", "a", "d")
        self.open = threading.Event()
        self.open.set()

    def call(self, model: str) -> Scored:
        self.open.wait(60)
        if isinstance(self.answer, Exception):
            raise self.answer
        return listed(*self.answer, model=model)

    def offer(self, *, seed: str = "r1", model: str = "mf@1") -> None:
        scored = listed("a", "b", "c", model=model)
        answered = Answered(
            stage="recall", scored=scored, seconds=0.002, call=self.call, count=lambda _: 8, seed=seed, k=2
        )
        self.shadowing.offer(answered)

    def record(self) -> ShadowRecord:
        assert self.shadowing.wait(60)
        self.shadowing.flush()
        return self.store.read("mf@2")


def test_a_shadow_is_asked_what_was_answered_and_compared_with_it() -> None:
    bench = Bench()
    bench.offer()
    assert bench.shadowing.wait(60)
    bench.answer = ("c", "d")
    bench.offer(seed="r2")
    (total,) = bench.record().totals
    assert (total.live, total.stage, total.requests, total.compared, total.correlated) == ("mf@1", "recall", 2, 2, 1)
    assert (total.overlap, total.correlation, total.live_seconds) == (1.0, -1.0, 0.004)
    assert total.shadow_seconds > 0


def test_coverage_is_the_share_of_its_items_in_its_slates_so_far() -> None:
    bench = Bench()
    bench.offer()
    assert bench.shadowing.wait(60)
    bench.answer = ("c", "a")
    bench.offer()
    document = shadow_document("mf@2", bench.record())
    assert (document["shown"], document["items"], document["coverage"]) == (3, 8, 3 / 8)


def test_its_share_of_the_requests_is_decided_by_their_ids() -> None:
    bench = Bench()
    bench.shadowing.follow([replace(SHADOW, share=0.25), LIVE])
    for number in range(400):
        bench.offer(seed=f"r{number}")
        assert bench.shadowing.wait(60)
    (total,) = bench.record().totals
    assert total.requests == pytest.approx(100, abs=4 * (400 * 0.25 * 0.75) ** 0.5)


def test_only_the_live_version_of_its_name_is_accompanied() -> None:
    bench = Bench()
    assert bench.shadowing.accompanies("mf@1")
    assert not bench.shadowing.accompanies("cnn@1")
    bench.offer(model="cnn@1")
    assert bench.record().totals == []


def test_what_is_wrong_with_a_shadow_is_counted_and_nothing_else() -> None:
    bench = Bench()
    for fault in (ModelFailed("NaN"), RuntimeError("boom")):
        bench.answer = fault
        bench.offer()
        assert bench.shadowing.wait(60)
    (total,) = bench.record().totals
    assert (total.requests, total.errors, total.compared) == (2, 2, 0)
    (comparison,) = shadow_document("mf@2", bench.record())["comparisons"]  # type: ignore[misc]
    assert comparison["overlap_at_k"] is None


def test_a_shadow_that_hangs_costs_a_request_nothing_and_what_waits_no_longer_is_dropped() -> None:
    bench = Bench(queue_size=3)
    bench.open.clear()
    for _ in range(30):
        bench.offer()
    bench.open.set()
    (total,) = bench.record().totals
    assert (total.requests, total.dropped + total.compared) == (30, 30)
    assert total.dropped >= 26


def test_sums_wait_here_while_the_store_is_away_and_are_added_to_those_of_others() -> None:
    store = MemoryShadowStore()
    here, there = Bench(store), Bench(store)
    here.offer()
    there.offer()
    assert here.shadowing.wait(60)
    store.down = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        here.shadowing.flush()
    here.offer()
    store.down = None
    there.record()
    record = here.record()
    assert (record.totals[0].requests, record.shown) == (3, 2)


def test_an_observer_hears_of_every_request() -> None:
    class Heard(list[ShadowTotal]):
        def shadowed(self, total: ShadowTotal) -> None:
            self.append(total)

    bench, heard = Bench(), Heard()
    bench.shadowing.tell(heard)
    bench.offer()
    bench.record()
    assert [each.compared for each in heard] == [1]


@given(st.permutations(list("abcdefgh")), st.permutations(list("abcdefghij")))
def test_the_correlation_is_spearmans_over_the_common_items(ours: list[str], others: list[str]) -> None:
    common = [item for item in others if item in ours]
    ranks = [ours.index(item) for item in common]
    wanted = spearmanr(range(len(ranks)), ranks).statistic
    assert rank_correlation(ours, others) == pytest.approx(wanted)


def test_lists_with_fewer_than_two_common_items_have_none() -> None:
    assert rank_correlation(["a", "b"], ["b", "c"]) is None
    assert rank_correlation([], []) is None


def test_the_overlap_looks_at_the_first_k_of_both() -> None:
    assert overlap([], [], 5) == 1.0
    assert overlap(["a"], [], 5) == 0.0
    assert overlap(["a", "b"], ["b", "a", "c"], 10) == pytest.approx(2 / 3)
