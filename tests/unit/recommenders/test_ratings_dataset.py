"""Ratings become datasets: of ratings and of choices, split three ways."""

from dataclasses import replace

import numpy as np
import pytest

from lamella.errors import TrainingFault
from lamella.recommenders.dataset import Outcome
from lamella.recommenders.rated import Split, build_ratings
from lamella.services.ratings_ports import Ratings


def ratings_of(n: int = 400, *, users: int = 8, values: int = 5) -> Ratings:
    rng = np.random.default_rng(2)
    return Ratings(
        units=[f"u{each % users}" for each in range(n)],
        items=[f"i{each:02d}" for each in rng.integers(0, 90, n)],
        ratings=[float(each % values + 1) for each in rng.integers(0, 5, n)],
        times=[1e9 + each for each in range(n)],
        catalogue=[],
        attributes={"u1": {"age": "25"}},
        stamp={},
    )


def test_ratings_are_stretched_over_the_scale_of_the_file() -> None:
    dataset = build_ratings(ratings_of(), outcome=Outcome.RATING, split=Split.TIME, seed=1)
    assert dataset.scale == (1.0, 5.0)
    assert set(np.unique(dataset.training.clicked).tolist()) == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert dataset.is_liked(dataset.training).mean() == pytest.approx((dataset.training.clicked >= 0.75).mean())
    assert dataset.user_attributes[1] == {"age": "25"}


def test_the_newest_tenth_is_held_out_by_time() -> None:
    dataset = build_ratings(ratings_of(), outcome=Outcome.RATING, split=Split.TIME, seed=1)
    assert (len(dataset.training), len(dataset.validation), len(dataset.held_out)) == (320, 40, 40)


def test_a_fifth_of_each_rating_is_held_out_at_random_and_the_seed_decides_which() -> None:
    first, again, other = (
        build_ratings(ratings_of(1000), outcome=Outcome.RATING, split=Split.RANDOM, seed=seed) for seed in (1, 1, 2)
    )
    whole = np.concatenate([part.clicked for part in (first.training, first.validation, first.held_out)])
    for value in np.unique(whole):
        assert (first.held_out.clicked == value).sum() == round(0.2 * float((whole == value).sum()))
    assert (first.held_out.item == again.held_out.item).all()
    assert len(other.held_out) == len(first.held_out)
    assert not np.array_equal(other.held_out.item, first.held_out.item)


def test_of_ratings_that_are_all_different_a_fifth_is_held_out_too() -> None:
    shares = [float(each) for each in np.random.default_rng(3).random(400)]
    ratings = replace(ratings_of(), ratings=[*shares[:-20], *[2.0] * 20])
    dataset = build_ratings(ratings, outcome=Outcome.RATING, split=Split.RANDOM, seed=1)
    assert len(dataset.held_out) == 80
    assert (dataset.held_out.clicked == 1).sum() == 4


def test_a_split_that_holds_nothing_out_is_refused() -> None:
    with pytest.raises(TrainingFault, match="no user has three ratings; add --split time"):
        build_ratings(ratings_of(80, users=40), outcome=Outcome.CHOICE, split=Split.LAST, seed=1)


def test_the_last_rating_of_each_user_is_held_out_and_the_one_before_validates() -> None:
    ratings = ratings_of(80, users=8)
    dataset = build_ratings(ratings, outcome=Outcome.RATING, split=Split.LAST, seed=1)
    assert [dataset.items[row] for row in dataset.held_out.item] == list(ratings.items[-8:])
    assert [dataset.items[row] for row in dataset.validation.item] == list(ratings.items[-16:-8])


def test_choices_have_drawn_items_before_them_that_the_user_never_rated() -> None:
    ratings = ratings_of()
    dataset = build_ratings(ratings, outcome=Outcome.CHOICE, split=Split.LAST, seed=1)
    rated = set(zip(ratings.units, ratings.items, strict=True))
    part = dataset.training
    pairs = [(dataset.users[user], dataset.items[item]) for user, item in zip(part.user, part.item, strict=True)]
    assert all((pair in rated) == bool(clicked) for pair, clicked in zip(pairs, part.clicked, strict=True))
    assert part.clicked.sum() == 400 - 16
    assert 2.0 < (part.clicked == 0).sum() / part.clicked.sum() <= 4.0
    assert part.clicked[-1] == 1


@pytest.mark.parametrize(("n", "values", "sentence"), [(49, 5, "49 ratings are too few"), (60, 1, "every rating is 1")])
def test_ratings_that_teach_nothing_are_refused(n: int, values: int, sentence: str) -> None:
    with pytest.raises(TrainingFault, match=sentence):
        build_ratings(ratings_of(n, values=values), outcome=Outcome.RATING, split=Split.TIME, seed=1)
