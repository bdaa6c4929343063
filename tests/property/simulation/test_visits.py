from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamella.events.contract import Click, Read
from lamella.simulation.readers import Behaviour
from lamella.simulation.reading import completion_share, dwell_seconds
from lamella.simulation.visit import Visit, respond
from lamella.simulation.world import make_world

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)
EAGER = make_world(users=30, seed=4, headlines=400, behaviour=Behaviour(mean_click_rate=0.2, engaged_share=1.0))

visits = st.builds(
    Visit,
    seed=st.integers(0, 2**31 - 1),
    part=st.integers(0, 3),
    reader=st.integers(0, 29),
    number=st.integers(0, 5_000),
)
pages = st.lists(st.integers(0, 399), min_size=1, max_size=20, unique=True)


@given(visit=visits, page=pages)
def test_the_same_visit_to_the_same_page_always_goes_the_same_way(visit, page):
    once, again = (respond(visit, EAGER.clicks, page, shown_at=NOW) for _ in range(2))
    assert once == again


@given(visit=visits, page=pages)
def test_a_visitor_clicks_each_item_at_most_once_and_reads_what_was_clicked(visit, page):
    feedback = respond(visit, EAGER.clicks, page, shown_at=NOW)
    clicked = [event.item for event in feedback if isinstance(event, Click)]
    read = [event.item for event in feedback if isinstance(event, Read)]
    assert clicked == read
    assert len(set(clicked)) == len(clicked)
    assert set(clicked) <= {EAGER.newsroom.keys[item] for item in page}


@given(visit=visits, page=pages)
def test_events_are_in_order_within_the_hour_and_have_ids_of_their_own(visit, page):
    feedback = respond(visit, EAGER.clicks, page, shown_at=NOW)
    times = [event.time for event in feedback]
    assert times == sorted(times)
    assert all(NOW < time < NOW + timedelta(hours=1) for time in times)
    assert len({event.event_id for event in feedback}) == len(feedback)


@given(one=visits, other=visits)
def test_two_visits_have_two_request_ids(one, other):
    assert (one.request_id == other.request_id) == (one == other)


@given(scores=st.lists(st.floats(-8, 8), min_size=2, max_size=2))
def test_dwell_and_completion_rise_with_their_scores_and_stay_in_range(scores):
    low, high = sorted(scores)
    assert 0 <= dwell_seconds(low) <= dwell_seconds(high) <= 1800
    assert 0 <= completion_share(low) <= completion_share(high) <= 1


@settings(deadline=None)
@given(reader=st.integers(0, 29), page=pages)
def test_the_expected_clicks_are_the_mean_of_the_drawn_ones(reader, page):
    expected = EAGER.clicks.expected_clicks(reader, page)
    chances = EAGER.clicks.engaged_click(reader, page)
    drawn = np.random.default_rng(1).random((4_000, len(page))) < chances
    spread = np.sqrt((chances * (1 - chances)).sum() / 4_000)
    assert drawn.sum(axis=1).mean() == pytest.approx(expected, abs=6 * spread + 1e-9)
