"""The cache of what units have read."""

from collections.abc import Sequence

from lamella.services.histories import LENGTH, Histories, NoHistories


class Counting:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def last_reads(self, unit: str, *, limit: int) -> Sequence[str]:
        assert limit == LENGTH
        self.asked.append(unit)
        return [f"{unit}-{len(self.asked)}"]


class Ticks:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_store_is_asked_again_once_an_answer_is_old() -> None:
    store, ticks = Counting(), Ticks()
    histories = Histories(store, keep_seconds=10, monotonic=ticks)
    assert histories.of("ann") == histories.of("ann") == ("ann-1",)
    ticks.now = 10
    assert histories.of("ann") == ("ann-2",)


def test_only_so_many_units_stay_in_memory() -> None:
    store = Counting()
    histories = Histories(store, capacity=2, monotonic=Ticks())
    for unit in ("ann", "bob", "cid", "bob", "ann"):
        histories.of(unit)
    assert store.asked == ["ann", "bob", "cid", "ann"]


def test_without_a_store_nobody_has_read_anything() -> None:
    assert Histories(NoHistories()).of("ann") == ()
