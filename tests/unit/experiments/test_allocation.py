from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configurations import AT, bucket_ranges, draft, newsroom, running
from lamella.errors import ConfigurationInvalid, NotFound
from lamella.experiments import lifecycle
from lamella.experiments.allocation import allocate, free_ranges, grow, range_faults, size, united
from lamella.experiments.model import BUCKETS, BucketRange


def ranges(*pairs: tuple[int, int]) -> tuple[BucketRange, ...]:
    return tuple(BucketRange(start=start, stop=stop) for start, stop in pairs)


def covered(given_: tuple[BucketRange, ...]) -> set[int]:
    return {bucket for one in given_ for bucket in range(one.start, one.stop)}


def test_what_nobody_holds_is_free() -> None:
    configuration = running(newsroom(), draft("a", ranges=[(100, 200)]), draft("b", ranges=[(0, 50), (9_000, 10_000)]))
    configuration = lifecycle.add_experiment(configuration, draft("wish", ranges=[(60, 70)]))
    assert free_ranges(configuration, "ranking") == ranges((50, 100), (200, 9_000))
    assert free_ranges(configuration, "recall") == ranges((0, BUCKETS))
    paused = lifecycle.pause(configuration, "a")
    assert free_ranges(paused, "ranking") == free_ranges(configuration, "ranking")
    stopped = lifecycle.stop(configuration, "a", at=AT)
    assert free_ranges(stopped, "ranking") == ranges((50, 9_000))


def test_an_unknown_layer_has_no_buckets() -> None:
    with pytest.raises(NotFound, match="no layer 'rank'"):
        free_ranges(newsroom(), "rank")


def test_buckets_that_a_draft_wishes_for_are_given_last() -> None:
    configuration = lifecycle.add_experiment(newsroom(), draft("wish", ranges=[(0, 4_000)]))
    assert allocate(configuration, "ranking", 0.5) == ranges((4_000, 9_000))
    assert allocate(configuration, "ranking", 0.7) == ranges((0, 1_000), (4_000, 10_000))


@given(held=bucket_ranges(), share=st.floats(0.0001, 1))
def test_allocated_buckets_are_free_and_as_many_as_asked_for(held: tuple[BucketRange, ...], share: float) -> None:
    configuration = running(newsroom(), draft(ranges=[(one.start, one.stop) for one in held]))
    wanted = round(share * BUCKETS)
    if wanted > BUCKETS - size(held):
        with pytest.raises(ConfigurationInvalid, match="are free, held by textcnn"):
            allocate(configuration, "ranking", share)
        return
    given_ = allocate(configuration, "ranking", share)
    assert size(given_) == wanted == len(covered(given_))
    assert range_faults(given_) == []
    assert not covered(given_) & covered(held)


@given(held=bucket_ranges(), share=st.floats(0.0001, 1))
def test_growing_adds_buckets_and_takes_none_away(held: tuple[BucketRange, ...], share: float) -> None:
    configuration = running(newsroom(), draft(ranges=[(one.start, one.stop) for one in held]))
    experiment = configuration.experiments[0]
    if round(share * BUCKETS) < size(held):
        with pytest.raises(ConfigurationInvalid, match="a ramp only adds"):
            grow(configuration, experiment, share)
        return
    grown = grow(configuration, experiment, share)
    assert covered(grown) >= covered(held)
    assert size(grown) == round(share * BUCKETS)


def test_growing_into_what_another_holds_is_refused() -> None:
    configuration = running(newsroom(), draft("a", ranges=[(0, 1_000)]), draft("b", ranges=[(1_000, 9_000)]))
    with pytest.raises(ConfigurationInvalid, match="2000 buckets wanted, 1000 are free, held by b"):
        grow(configuration, configuration.experiments[0], 0.3)
    assert grow(configuration, configuration.experiments[0], 0.2) == ranges((0, 1_000), (9_000, 10_000))


@pytest.mark.parametrize("share", [0, -0.1, 1.01, 0.00001, float("nan")])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ConfigurationInvalid, match="is no share of a layer"):
        allocate(newsroom(), "ranking", share)


@given(given_=st.lists(bucket_ranges(), max_size=4))
def test_united_ranges_cover_the_same_buckets_in_order_without_touching(
    given_: list[tuple[BucketRange, ...]],
) -> None:
    every = tuple(one for each in given_ for one in each)
    merged = united(every)
    assert covered(merged) == covered(every)
    assert all(left.stop < right.start for left, right in pairwise(merged))
