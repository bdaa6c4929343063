"""The progress that a training tells of."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from lamella.recommenders.learning import Pulse


@given(epochs=st.integers(1, 60), rows=st.integers(1, 2_000), batch=st.integers(1, 512))
def test_the_share_rises_with_each_batch_of_any_length_and_meets_each_epochs_end(
    epochs: int, rows: int, batch: int
) -> None:
    told: list[float] = []
    pulse = Pulse(lambda share, _: told.append(share), epochs, monotonic=itertools.count().__next__)
    ends = []
    for epoch in range(1, epochs + 1):
        for start in range(0, rows, batch):
            pulse.advance(min(batch, rows - start) / rows, 0.5)
        pulse.finish_epoch(epoch, 0.5)
        ends.append(told[-1])
    assert told == sorted(told)
    assert ends == [epoch / epochs for epoch in range(1, epochs + 1)]


def test_it_says_which_epoch_runs_the_loss_and_the_time_left() -> None:
    now, told = [100.0], []
    pulse = Pulse(lambda *each: told.append(each), 4, monotonic=lambda: now[0])
    pulse.advance(0.25, 0.69)
    now[0] = 101.0
    pulse.advance(0.25, 0.69)
    now[0] = 102.0
    pulse.finish_epoch(1, 0.51)
    assert told == [
        (0.125, "epoch 1/4, loss 0.69000, at most 7 s left"),
        (0.25, "epoch 1/4, loss 0.51000, at most 6 s left"),
    ]
