"""The offline metrics, by hand and against an independent formula."""

from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from lamella.recommenders import popularity
from lamella.recommenders.dataset import Dataset, build
from lamella.recommenders.evaluation import auc, evaluate, gini
from lamella.services.model_ports import TrainingLog

DAY = datetime(2026, 3, 2, tzinfo=UTC)


def dataset_of(clicked: list[bool]) -> Dataset:
    n = len(clicked)
    log = TrainingLog(
        units=[f"u{each % 3}" for each in range(n)],
        items=[f"i{each % 20:02d}" for each in range(n)],
        ranks=[1] * n,
        clicked=clicked,
        since=DAY,
        until=DAY,
    )
    return build(log, [])


def test_the_auc_is_the_u_statistic_over_its_greatest_value_with_ties() -> None:
    rng = np.random.default_rng(3)
    scores, clicked = rng.integers(0, 6, 200).astype(np.float64), (rng.random(200) < 0.3).astype(np.float32)
    u = mannwhitneyu(scores[clicked > 0], scores[clicked == 0]).statistic
    assert auc(scores, clicked) == pytest.approx(u / ((clicked > 0).sum() * (clicked == 0).sum()))


@pytest.mark.parametrize(
    ("counts", "wanted"), [([5, 5, 5, 5], 0.0), ([0, 0, 0, 8], 0.75), ([1, 2, 3], 2 / 9), ([0, 0], 0.0)]
)
def test_the_gini_of_counts_by_hand(counts: list[int], wanted: float) -> None:
    assert gini(np.array(counts)) == pytest.approx(wanted)


def test_recall_and_ndcg_of_popularity_by_hand() -> None:
    """Item i00 is always clicked; in the held-out part u0, u1 and u2 click it or others."""
    dataset = dataset_of([each % 20 == 0 for each in range(600)])
    model = popularity.KIND.train(dataset, {}, seed=0, progress=lambda *_: None).factors
    metrics = evaluate(model, model, dataset, seed=0)
    assert metrics["recall_at_10"] == metrics["ndcg_at_10"] == metrics["popularity_recall_at_10"] == 1.0
    assert metrics["auc"] == 1.0
    assert metrics["coverage_at_10"] == 0.5
    assert metrics["gini_at_10"] == pytest.approx(0.5)
    assert metrics["log_loss"] < metrics["constant_log_loss"]


def test_without_a_held_out_click_the_ranking_metrics_are_left_out() -> None:
    dataset = dataset_of([each % 4 == 0 and each < 400 for each in range(600)])
    model = popularity.KIND.train(dataset, {}, seed=0, progress=lambda *_: None).factors
    assert set(evaluate(model, model, dataset, seed=0)) == {"log_loss", "constant_log_loss"}


def test_a_model_that_only_orders_has_no_loss() -> None:
    dataset = dataset_of([each % 20 == 0 for each in range(600)])
    model = popularity.KIND.train(dataset, {}, seed=0, progress=lambda *_: None).factors
    whole, ordered = evaluate(model, model, dataset, seed=0), evaluate(model, model, dataset, seed=0, predicts=False)
    assert whole.keys() - ordered.keys() == {"log_loss", "constant_log_loss"}
    assert ordered == {name: whole[name] for name in ordered}
