"""Full ranking: recall by hand, what was seen left out, EASE against its definition."""

from dataclasses import replace

import numpy as np
import pytest

from lamella.recommenders.dataset import Outcome
from lamella.recommenders.ease import ease_scores
from lamella.recommenders.evaluation import evaluate
from lamella.recommenders.kinds import KINDS
from lamella.recommenders.ranking import lists_of, task_of, worth
from lamella.recommenders.rated import Split, build_ratings
from lamella.services.ratings_ports import Ratings


def clustered(n: int = 3000) -> Ratings:
    """Users of one half rate items of one half highly, and the others low."""
    rng = np.random.default_rng(4)
    users, items = rng.integers(0, 60, n), rng.integers(0, 40, n)
    pairs = dict.fromkeys(zip(users.tolist(), items.tolist(), strict=True))
    liked = [user % 2 == item % 2 for user, item in pairs]
    return Ratings(
        units=[f"u{user:02d}" for user, _ in pairs],
        items=[f"i{item:02d}" for _, item in pairs],
        ratings=[float(rng.integers(4, 6) if each else rng.integers(1, 3)) for each in liked],
        times=list(range(len(pairs))),
        catalogue=[],
        attributes={},
        stamp={},
    )


def test_recall_and_ndcg_of_given_lists_by_hand() -> None:
    dataset = build_ratings(clustered(), outcome=Outcome.CHOICE, split=Split.LAST, seed=1)
    task = task_of(dataset, most_users=100, seed=0)
    liked = [next(iter(each)) for each in task.liked]
    other = (np.array(liked) + 1) % 40
    lists = [np.array([not_it, it]) for it, not_it in zip(liked, other.tolist(), strict=True)]
    assert worth(lists, task) == pytest.approx({"recall_at_10": 1.0, "ndcg_at_10": 1 / np.log2(3)})


def test_what_a_user_rated_before_is_not_proposed_again() -> None:
    dataset = build_ratings(clustered(), outcome=Outcome.RATING, split=Split.TIME, seed=1)
    task = task_of(dataset, most_users=100, seed=0)
    lists = lists_of(lambda _: np.arange(40.0), task)
    assert all(not set(shown.tolist()) & set(seen.tolist()) for shown, seen in zip(lists, task.seen, strict=True))
    assert len(task.users) > 20


def test_what_a_user_chose_before_is_not_looked_for_again() -> None:
    """User u00 chooses the same item three times, u01 three different ones."""
    ratings = replace(
        clustered(),
        units=["u00"] * 3 + ["u01"] * 3 + ["u02"] * 54,
        items=["i00"] * 3 + ["i01", "i02", "i03"] + ["i04"] * 54,
        ratings=[5.0] * 60,
        times=list(range(60)),
    )
    task = task_of(build_ratings(ratings, outcome=Outcome.CHOICE, split=Split.LAST, seed=1), most_users=100, seed=0)
    assert (task.users.tolist(), task.liked) == ([1], [frozenset({3})])


def test_ease_solves_its_ridge_regression_for_each_item_without_the_item_itself() -> None:
    """Column j of B is the ridge regression of item j on all other items (Steck 2019, eq. 8)."""
    dataset = build_ratings(clustered(), outcome=Outcome.CHOICE, split=Split.LAST, seed=1)
    x = np.zeros((len(dataset.users), len(dataset.items)))
    for part in (dataset.training, dataset.validation):
        liked = part.clicked > 0
        x[part.user[liked], part.item[liked]] = 1
    b = np.zeros((x.shape[1], x.shape[1]))
    for item in range(x.shape[1]):
        others = np.delete(np.arange(x.shape[1]), item)
        gram = x[:, others].T @ x[:, others] + 7.0 * np.eye(len(others))
        b[others, item] = np.linalg.solve(gram, x[:, others].T @ x[:, item])
    scores = ease_scores(dataset, reg=7.0)
    for user in (0, 5, 59):
        assert scores(user) == pytest.approx(x[user] @ b, abs=1e-8)


def test_the_report_of_ratings_is_in_stars_and_beside_popularity_and_ease() -> None:
    dataset = build_ratings(clustered(), outcome=Outcome.RATING, split=Split.RANDOM, seed=1)
    popularity = KINDS["popularity"].train(dataset, {}, seed=0, progress=lambda *_: None).factors
    metrics = evaluate(popularity, popularity, dataset, seed=0)
    held_out = dataset.held_out.clicked * 4 + 1
    means = popularity.pair_logits(np.full(len(held_out), -1), dataset.held_out.item.astype(np.int64))
    errors = 1 + 4 / (1 + np.exp(-means)) - held_out
    assert metrics["rmse"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-5)
    assert metrics["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)
    assert metrics["ease_recall_at_10"] > 1.3 * metrics["popularity_recall_at_10"]
    assert {"recall_at_10_history_5_19", "coverage_at_10", "gini_at_10"} <= metrics.keys()
    assert "log_loss" not in metrics
