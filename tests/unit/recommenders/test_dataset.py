"""The log becomes arrays, split in time."""

from datetime import UTC, datetime

import pytest

from lamella.errors import TrainingFault
from lamella.recommenders.dataset import MAX_RANK, build
from lamella.services.model_ports import Item, TrainingLog

DAY = datetime(2026, 3, 2, tzinfo=UTC)


def log_of(n: int, *, clicked: bool | None = None) -> TrainingLog:
    return TrainingLog(
        units=[f"u{each % 7}" for each in range(n)],
        items=[f"i{each % 11}" for each in range(n)],
        ranks=[each % 80 + 1 for each in range(n)],
        clicked=[each % 5 == 0 if clicked is None else clicked for each in range(n)],
        since=DAY,
        until=DAY,
    )


def catalogue(*keys: str) -> list[Item]:
    return [Item(key=key, title=f"title of {key}", published_at=DAY, attributes={}) for key in keys]


def test_the_newest_tenth_is_held_out_and_the_tenth_before_it_validates() -> None:
    dataset = build(log_of(200), [])
    assert (len(dataset.training), len(dataset.validation), len(dataset.held_out)) == (160, 20, 20)
    assert dataset.users[dataset.held_out.user[-1]] == "u3"
    assert dataset.items[dataset.held_out.item[-1]] == "i1"


def test_items_are_those_of_the_catalogue_and_of_the_log() -> None:
    dataset = build(log_of(200), catalogue("i1", "never-shown"))
    titles = dict(zip(dataset.items, dataset.titles, strict=True))
    assert titles["i1"] == "title of i1"
    assert titles["i2"] == ""
    assert not dataset.is_shown[dataset.items.index("never-shown")]
    assert dataset.is_shown.sum() == 11


def test_ranks_start_at_0_and_the_far_ones_are_one() -> None:
    ranks = build(log_of(200), []).training.rank
    assert ranks[0] == 0
    assert ranks.max() == MAX_RANK - 1


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        (log_of(49), "49 impressions are too few"),
        (log_of(200, clicked=False), "0 of 160 impressions were clicked"),
        (log_of(200, clicked=True), "160 of 160 impressions were clicked"),
    ],
)
def test_a_log_that_teaches_nothing_is_refused(log: TrainingLog, sentence: str) -> None:
    with pytest.raises(TrainingFault, match=sentence):
        build(log, [])
