import pytest

from lamella.errors import RateLimited
from lamella.services.rates import BURST_SECONDS, Rates


class Watch:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_full_bucket_is_emptied_and_refilled_at_the_rate():
    watch = Watch()
    rates = Rates(2.0, monotonic=watch)
    left = [rates.take("ann").remaining for _ in range(int(2 * BURST_SECONDS))]
    assert (left[0], left[-1]) == (19, 0)
    with pytest.raises(RateLimited, match="'ann'") as refused:
        rates.take("ann")
    assert refused.value.retry_after_seconds == 1
    watch.now = 0.5
    assert rates.take("ann").remaining == 0
    with pytest.raises(RateLimited):
        rates.take("ann")


def test_one_name_does_not_use_up_anothers():
    rates = Rates(0.1, monotonic=Watch())
    assert rates.take("ann").remaining == 0
    assert rates.take("bob").remaining == 0
    with pytest.raises(RateLimited) as refused:
        rates.take("ann")
    assert refused.value.retry_after_seconds == 10


def test_a_rate_of_0_is_no_limit():
    assert Rates(0.0).take("ann") is None
