"""What is counted in memory before it reaches the metrics."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from lamella.web.tallies import Tallies, Timings

BUCKETS = (0.001, 0.01, 0.1)
SECONDS = [0.0005, 0.001, 0.0011, 0.05, 0.1, 0.2, 7.0, 0.0]


def test_counts_arrive_at_the_flush_and_once() -> None:
    registry, tallies = CollectorRegistry(), Tallies()
    one, other = Counter("one", "One.", registry=registry), Counter("other", "Other.", registry=registry)
    tallies.count(one, other, one)
    assert registry.get_sample_value("one_total") == 0
    for _ in range(2):
        tallies.flush()
        assert (registry.get_sample_value("one_total"), registry.get_sample_value("other_total")) == (2, 1)


def test_amounts_are_added_to_what_was_counted_one_by_one() -> None:
    registry, tallies = CollectorRegistry(), Tallies()
    counter = Counter("one", "One.", registry=registry)
    tallies.count(counter)
    tallies.add(counter, 40)
    tallies.add(counter, 0)
    tallies.add(counter, 2)
    for _ in range(2):
        tallies.flush()
        assert registry.get_sample_value("one_total") == 43


def test_times_fall_into_the_buckets_that_a_histogram_puts_them_in() -> None:
    registry, tallies = CollectorRegistry(), Tallies()
    summed = Timings("summed", "Summed.", ["route"], buckets=BUCKETS, registry=registry).labels("a")
    direct = Histogram("direct", "Direct.", ["route"], buckets=BUCKETS, registry=registry).labels("a")
    for seconds in SECONDS:
        tallies.time(summed, seconds)
        direct.observe(seconds)
    tallies.flush()

    def numbers(name: str) -> list[float | None]:
        tops = [
            registry.get_sample_value(f"{name}_bucket", {"route": "a", "le": le})
            for le in ("0.001", "0.01", "0.1", "+Inf")
        ]
        return [*tops, registry.get_sample_value(f"{name}_count", {"route": "a"})]

    assert numbers("summed") == numbers("direct") == [3, 4, 6, 8, 8]
    assert registry.get_sample_value("summed_sum", {"route": "a"}) == pytest.approx(sum(SECONDS))


def test_nothing_is_lost_while_threads_count_and_flush() -> None:
    registry, tallies = CollectorRegistry(), Tallies()
    counter = Counter("one", "One.", registry=registry)
    timings = Timings("took", "Took.", buckets=BUCKETS, registry=registry)

    def work(_: int) -> None:
        for number in range(3_000):
            tallies.count(counter)
            tallies.time(timings, 0.05)
            if number % 500 == 0:
                tallies.flush()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    tallies.flush()
    assert registry.get_sample_value("one_total") == registry.get_sample_value("took_count") == 24_000


def test_what_nobody_flushes_does_not_grow_for_ever() -> None:
    registry, tallies = CollectorRegistry(), Tallies()
    counter = Counter("one", "One.", registry=registry)
    for _ in range(10_001):
        tallies.count(counter)
    assert registry.get_sample_value("one_total") == 10_001
    for _ in range(10_001):
        tallies.add(counter, 2)
    assert registry.get_sample_value("one_total") == 30_003
