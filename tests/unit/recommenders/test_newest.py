"""Newest: the model of an installation that has items and no clicks."""

from datetime import UTC, datetime, timedelta

import pytest

from lamella.errors import TrainingFault
from lamella.recommenders.dataset import without_log
from lamella.recommenders.newest import KIND
from lamella.services.model_ports import Item

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = {"old": 0, "new": 9, "middle": 4, "twin": 4}


def items():
    moments = {key: START + timedelta(days=day) for key, day in DAYS.items()}
    return [Item(key=key, title=key, published_at=moment, attributes={}) for key, moment in moments.items()]


def fitted():
    return KIND.train(without_log(items()), {}, seed=0, progress=lambda _share, _line: None).factors


def test_items_stand_newest_first_and_those_of_one_moment_by_key():
    model = fitted()
    scores = model.score("anybody", model.item_ids)
    ordered = [key for _, key in sorted(zip(-scores, model.item_ids, strict=True))]
    assert ordered == ["new", "middle", "twin", "old"]


def test_scores_are_finite_shares_and_an_unknown_item_comes_last():
    scores = fitted().score("anybody", ["new", "middle", "twin", "old", "unknown"])
    assert ((scores > 0) & (scores < 1)).all()
    assert scores[-1] == min(scores)


def test_an_empty_catalogue_says_what_to_do():
    with pytest.raises(TrainingFault, match="lamella items import"):
        without_log([])
