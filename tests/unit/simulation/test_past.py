from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import chain

import numpy as np
import pytest

from lamella.events.contract import Click, Interaction, Read, Slate
from lamella.simulation.past import Desk, simulate_past
from lamella.simulation.world import Tally, make_world

START = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def world():
    return make_world(users=400, seed=3)


@pytest.fixture(scope="module")
def days(world):
    return list(simulate_past(world, start=START, days=6, mean_visits=8))


def test_the_past_is_the_same_for_the_same_seed(world, days):
    assert list(simulate_past(world, start=START, days=6, mean_visits=8)) == days


def test_every_page_shows_ten_different_headlines_in_rank_order(days):
    slates = [record for record in chain(*days) if isinstance(record, Slate)]
    assert len(slates) > 1_000
    for slate in slates:
        assert len({impression.item for impression in slate.impressions}) == 10
        assert [impression.rank for impression in slate.impressions] == list(range(1, 11))


def test_no_id_occurs_twice(days):
    ids = Counter(record.request_id if isinstance(record, Slate) else record.event_id for record in chain(*days))
    assert set(ids.values()) == {1}


def test_feedback_belongs_to_a_shown_item_of_its_page_and_follows_it_within_the_hour(days):
    slates = {record.request_id: record for record in chain(*days) if isinstance(record, Slate)}
    for record in chain(*days):
        if isinstance(record, (Click, Read, Interaction)):
            slate = slates[record.request_id]
            assert record.unit == slate.unit
            assert record.item in {impression.item for impression in slate.impressions}
            assert slate.time < record.time < slate.time + timedelta(hours=1)


def test_every_click_is_read_once_and_few_reads_lead_to_an_action(days):
    tally = Tally()
    tally.add(chain(*days))
    assert tally.counts["read"] == tally.counts["click"] > 300
    assert tally.counts["interaction"] < 0.1 * tally.counts["read"]
    assert tally.counts["impression"] == 10 * tally.counts["slate"]


def test_most_pages_get_no_click_at_all(days):
    slates = sum(isinstance(record, Slate) for record in chain(*days))
    clicked = {record.request_id for record in chain(*days) if isinstance(record, Click)}
    assert 0.05 < len(clicked) / slates < 0.5


def test_the_days_are_in_order_and_none_leaves_the_past(days):
    for day, records in enumerate(days):
        slates = [record.time for record in records if isinstance(record, Slate)]
        assert min(slates) >= START + timedelta(days=day)
        assert max(slates) < START + timedelta(days=day + 1)


def test_propensities_are_those_of_the_desk(world, days):
    first, last = days[0], days[-1]
    slates = [record for record in first if isinstance(record, Slate)]
    assert all(
        impression.propensity == pytest.approx(1 / len(world.newsroom), rel=1e-3)
        for slate in slates
        for impression in slate.impressions
    )
    shown = {i.propensity for record in last if isinstance(record, Slate) for i in record.impressions}
    assert len(shown) == 2


def test_the_desk_shows_each_headline_as_often_as_its_propensity_says(world):
    desk = Desk(world.newsroom)
    desk.learn([np.arange(10)], [3, 3, 3])
    assert desk.propensity.sum() == pytest.approx(1)
    assert desk.rate.argmax() == 3
    pages = desk.pages(4_000, np.random.default_rng(1))
    shown = np.bincount(np.concatenate(pages), minlength=len(world.newsroom)) / 40_000
    on_desk = desk.propensity > desk.propensity.min()
    assert shown[on_desk].sum() == pytest.approx(desk.propensity[on_desk].sum(), abs=0.02)
