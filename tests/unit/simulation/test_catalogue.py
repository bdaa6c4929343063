import numpy as np
import pytest

from lamella.simulation.catalogue import load_newsroom, shrink_rates
from lamella.simulation.topics import GENERAL, TOPIC_WORDS, TOPICS, topic_of, words_of


@pytest.fixture(scope="module")
def newsroom():
    return load_newsroom()


def test_every_shipped_headline_is_in_the_catalogue_once(newsroom):
    assert len(newsroom) == 8954
    assert len(set(newsroom.keys)) == 8954
    assert len({headline.title for headline in newsroom.headlines}) == 8954


def test_an_item_does_not_give_its_appeal_away(newsroom):
    item = newsroom.headlines[0].to_item()
    assert item.key == "h0001"
    assert set(item.attributes) == {"topic"}


def test_appeal_has_the_mean_and_spread_of_the_real_tests(newsroom):
    assert newsroom.appeal.mean() == pytest.approx(0.0116, abs=0.0003)
    assert newsroom.appeal.std() / newsroom.appeal.mean() == pytest.approx(0.75, abs=0.03)
    assert (newsroom.appeal > 0).all()
    assert (newsroom.appeal < 0.2).all()


def test_shrinking_keeps_a_well_measured_rate_and_pulls_a_poorly_measured_one_to_the_mean():
    rng = np.random.default_rng(3)
    impressions = np.full(500, 2_000.0)
    clicks = rng.binomial(2_000, rng.beta(4, 200, 500)).astype(float)
    impressions[0], clicks[0] = 10.0, 5.0
    impressions[1], clicks[1] = 1e7, 5e5
    shrunk = shrink_rates(clicks, impressions)
    assert shrunk[1] == pytest.approx(0.05, rel=0.01)
    assert shrunk[0] < 0.2


def test_at_least_six_in_ten_headlines_have_a_topic_and_no_topic_takes_over(newsroom):
    shares = dict(zip(TOPICS, newsroom.topic_share, strict=True))
    assert 1 - shares[GENERAL] >= 0.6
    assert len(TOPIC_WORDS) == 12
    assert all(0.01 < share < 0.25 for share in shares.values())
    assert sum(shares.values()) == pytest.approx(1)


def test_every_listed_word_can_occur_as_a_word_of_a_headline():
    for listed in TOPIC_WORDS.values():
        assert all(words_of(word) == [word] for word in listed)


@pytest.mark.parametrize(
    ("title", "topic"),
    [
        ("The Senator Who Votes Against Every Law", "politics"),
        ("A Teacher's Letter To Her Students", "school"),
        ("THE TEACHER’S LETTER TO HER STUDENTS", "school"),
        ("Wait For It", GENERAL),
        ("", GENERAL),
    ],
)
def test_the_topic_is_the_one_with_the_most_words(title, topic):
    assert topic_of(title) == topic


def test_a_part_of_the_catalogue_is_spread_over_all_of_it():
    part = load_newsroom(100)
    assert len(part) == 100
    assert part.headlines[-1].key == "h8954"
