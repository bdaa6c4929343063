import numpy as np
import pytest

from lamella.errors import InvalidInput
from lamella.simulation.schedule import draw_schedule
from lamella.simulation.world import make_world


@pytest.fixture(scope="module")
def readers():
    return make_world(users=800, seed=2, headlines=300).readers


def test_visits_are_in_time_order_and_counted_for_each_reader(readers):
    schedule = draw_schedule(readers, days=5, mean_visits=6, seed=1, part=1)
    assert (np.diff(schedule.hour) >= 0).all()
    assert 0 <= schedule.hour.min() <= schedule.hour.max() < schedule.hours == 120
    for reader in range(0, 800, 50):
        numbers = schedule.number[schedule.reader == reader]
        assert numbers.tolist() == list(range(len(numbers)))


def test_the_hours_share_out_every_visit(readers):
    schedule = draw_schedule(readers, days=3, mean_visits=6, seed=1, part=1)
    rows = [row for hour in range(schedule.hours) for row in schedule.in_hour(hour)]
    assert rows == list(range(len(schedule)))


def test_the_mean_number_of_visits_is_the_one_asked_for(readers):
    schedule = draw_schedule(readers, days=5, mean_visits=6, seed=1, part=1)
    assert len(schedule) / 800 == pytest.approx(6 * readers.activity.mean(), rel=0.06)


def test_two_parts_of_one_seed_differ(readers):
    past, live = (draw_schedule(readers, days=5, mean_visits=6, seed=1, part=part) for part in (0, 1))
    assert not np.array_equal(past.visits_of(800), live.visits_of(800))


@pytest.mark.parametrize(("days", "visits"), [(0, 5.0), (5, 0.0), (1, 1e-9)])
def test_a_schedule_without_traffic_is_refused(readers, days, visits):
    with pytest.raises(InvalidInput, match="ask for"):
        draw_schedule(readers, days=days, mean_visits=visits, seed=1, part=1)
