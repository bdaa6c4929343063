import numpy as np
import pytest

from lamella.errors import InvalidInput
from lamella.simulation.catalogue import load_newsroom
from lamella.simulation.readers import DEVICES, Behaviour, calibrate, draw_readers
from lamella.simulation.world import make_world


@pytest.fixture(scope="module")
def newsroom():
    return load_newsroom()


@pytest.fixture(scope="module")
def many(newsroom):
    return draw_readers(20_000, newsroom, behaviour=Behaviour(), seed=5)


def test_activity_is_log_normal_with_log_sd_one_and_mean_one(many):
    assert np.log(many.activity).std() == pytest.approx(1.0, abs=0.02)
    assert many.activity.mean() == pytest.approx(1.0, abs=0.06)


def test_devices_and_subscribers_have_the_published_shares(many):
    shares = np.bincount(many.device, minlength=3) / len(many)
    assert shares == pytest.approx([66 / 101, 28 / 101, 7 / 101], abs=0.013)
    assert many.subscriber.mean() == pytest.approx(0.63, abs=0.013)
    assert set(many.context_of(0)) == {"device", "subscriber"}
    assert many.context_of(0)["device"] in DEVICES


def test_taste_moves_clicks_between_readers_and_leaves_each_topic_its_mean(many):
    assert many.taste.mean(axis=0) == pytest.approx(np.ones(13), abs=0.2)
    assert many.taste.min() >= 1 - Behaviour().taste_weight - 1e-12
    assert np.median(many.taste.max(axis=1)) > 3


def test_the_same_seed_draws_the_same_readers_and_another_seed_others(newsroom):
    one, same = (draw_readers(50, newsroom, behaviour=Behaviour(), seed=5) for _ in range(2))
    other = draw_readers(50, newsroom, behaviour=Behaviour(), seed=6)
    assert np.array_equal(one.taste, same.taste)
    assert not np.array_equal(one.taste, other.taste)


def test_no_readers_is_refused(newsroom):
    with pytest.raises(InvalidInput, match="ask for 1 or more"):
        draw_readers(0, newsroom, behaviour=Behaviour(), seed=1)


def test_a_lower_rank_is_clicked_less_by_the_stated_power():
    model = make_world(users=10, seed=1, headlines=200).clicks
    same_item = model.engaged_click(0, [7] * 10)
    assert same_item / same_item[0] == pytest.approx(np.arange(1, 11) ** -0.7)


def test_a_more_appealing_headline_of_a_topic_is_clicked_more():
    world = make_world(users=10, seed=1)
    of_topic = np.flatnonzero(world.newsroom.topic == 0)
    ordered = of_topic[np.argsort(world.newsroom.appeal[of_topic])]
    assert (np.diff(world.clicks.attraction(3, ordered)) >= 0).all()


def test_calibration_reaches_the_wanted_mean_click_rate(newsroom):
    readers = draw_readers(500, newsroom, behaviour=Behaviour(), seed=2)
    pages = np.random.default_rng(1).integers(0, len(newsroom), (4_000, 10))
    for rate in (0.01, 0.04, 0.1):
        model = calibrate(newsroom, readers, Behaviour(mean_click_rate=rate), slates=pages)
        share = readers.activity / readers.activity.sum()
        who = np.random.default_rng(2).choice(len(readers), 2_000, p=share)
        rates = [model.expected_clicks(int(reader), pages[at]) / 10 for at, reader in enumerate(who)]
        assert np.mean(rates) == pytest.approx(rate, rel=0.08)


def test_a_click_rate_beyond_what_is_looked_at_is_refused(newsroom):
    readers = draw_readers(5, newsroom, behaviour=Behaviour(), seed=2)
    pages = np.zeros((10, 10), dtype=np.intp)
    with pytest.raises(InvalidInput, match="out of reach"):
        calibrate(newsroom, readers, Behaviour(mean_click_rate=0.5), slates=pages)
