"""Reading histories: what was read before each list, cut into windows."""

from datetime import UTC, datetime

import numpy as np
import pytest

from lamella.recommenders.dataset import build
from lamella.recommenders.history import histories_of, window_blocks
from lamella.services.model_ports import TrainingLog

DAY = datetime(2026, 3, 2, tzinfo=UTC)


def log_of(slates: int, *, users: int = 3, items: int = 30) -> TrainingLog:
    rng = np.random.default_rng(5)
    units, shown, ranks, clicked = [], [], [], []
    for _ in range(slates):
        units += [f"u{rng.integers(users)}"] * 4
        shown += [f"i{each:02d}" for each in rng.choice(items, 4, replace=False)]
        ranks += [1, 2, 3, 4]
        clicked += (rng.random(4) < 0.4).tolist()
    return TrainingLog(units=units, items=shown, ranks=ranks, clicked=clicked, since=DAY, until=DAY)


@pytest.mark.parametrize("length", [1, 2, 5, 8, 1000])
def test_each_impression_sees_the_newest_reads_before_its_list_and_none_of_it(length: int) -> None:
    log = log_of(300)
    dataset = build(log, [])
    histories = histories_of(dataset, length=length)
    places = np.concatenate([histories.training, histories.validation])
    reads: dict[str, list[str]] = {}
    for start in range(0, len(places) - len(places) % 4, 4):
        before = reads.setdefault(log.units[start], [])
        for row in range(start, start + 4):
            window, count = places[row]
            seen = [dataset.items[item - 1] for item in histories.windows[window, :count]]
            assert seen == before[len(before) - count :]
            assert count >= min(len(before), length - length // 2)
        before += [log.items[row] for row in range(start, start + 4) if log.clicked[row]]


def test_the_newest_reads_end_where_the_held_out_part_begins() -> None:
    log = log_of(300)
    dataset = build(log, [])
    histories = histories_of(dataset, length=6)
    known = len(dataset.training) + len(dataset.validation)
    for user, key in enumerate(dataset.users):
        rows = [row for row in range(known) if log.units[row] == key and log.clicked[row]]
        wanted = [log.items[row] for row in rows][-6:]
        windows, counts = histories.newest(np.array([user]))
        assert [dataset.items[item - 1] for item in windows[0, : counts[0]]] == wanted


def test_an_epoch_holds_every_impression_once_beside_its_window() -> None:
    dataset = build(log_of(300), [])
    histories = histories_of(dataset, length=5)
    seen = 0
    for rows, windows, local in window_blocks(dataset.training, histories.training, 4, np.random.default_rng(1)):
        assert len(rows) == len(local)
        assert local[:, 0].max() < len(windows) <= 4
        seen += len(rows)
    assert seen == len(dataset.training)
