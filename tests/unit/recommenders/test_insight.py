"""Clusters, plane and neighbours against numbers of their own."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.vq import kmeans2

from insight_samples import CURVE, PACKED_CURVE, TOPICS, VERSION, flat_model, topical_model
from lamella.errors import ModelCorrupt, NotFound
from lamella.recommenders import insight
from lamella.recommenders.looking import ModelEyes, biases, look_at, read_course
from lamella.services.insight import Wanted
from lamella.testing.models import MemoryVersionFiles


def permuted(model, order):
    return replace(
        model,
        item_ids=tuple(model.item_ids[row] for row in order),
        item_vectors=model.item_vectors[order],
        item_bias=model.item_bias[order],
    )


def test_two_pairs_on_a_line_are_two_clusters_by_hand():
    found = insight.cluster(np.array([[0.0], [10.0], [1.0], [12.0]]), 2, seed=0)
    assert found.labels[0] == found.labels[2] != found.labels[1] == found.labels[3]
    assert sorted(found.centres[:, 0].tolist()) == [0.5, 11.0]
    assert found.inertia == pytest.approx(0.5 + 2.0)
    assert found.distances.tolist() == [0.5, 1.0, 0.5, 1.0]


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_clusters_of_a_few_rows_are_as_tight_as_the_best_of_all_partitions(seed):
    rng = np.random.default_rng(seed)
    rows = np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], [3, 2, 2], axis=0) + rng.normal(size=(7, 2))

    def inertia(labels):
        groups = [rows[[at for at, own in enumerate(labels) if own == label]] for label in set(labels)]
        return sum(((group - group.mean(axis=0)) ** 2).sum() for group in groups)

    best = min(inertia(labels) for labels in itertools.product(range(3), repeat=7))
    assert insight.cluster(rows, 3, seed).inertia == pytest.approx(best)


def test_scipy_moves_no_centre_that_was_found_and_labels_alike():
    model = topical_model()
    found = insight.cluster(model.item_vectors, 6, seed=3)
    centres, labels = kmeans2(model.item_vectors.astype(np.float64), found.centres, minit="matrix", iter=5)
    assert centres == pytest.approx(found.centres)
    assert (labels == found.labels).all()


def test_the_largest_cluster_is_the_first_and_every_row_is_in_one(monkeypatch):
    rng = np.random.default_rng(0)
    rows = np.repeat([[0.0], [100.0], [200.0]], [20, 300, 80], axis=0) + rng.normal(size=(400, 1))
    monkeypatch.setattr(insight, "MOST_LEARNED", 100)
    found = insight.cluster(rows, 3, seed=0)
    assert np.bincount(found.labels).tolist() == [300, 80, 20]


@pytest.mark.parametrize(("rows", "clusters"), [(np.zeros((0, 3)), 0), (np.zeros((5, 3)), 1), (np.eye(3), 3)])
def test_there_are_no_more_clusters_than_different_rows(rows, clusters):
    found = insight.cluster(rows, 6, seed=0)
    assert len(found.centres) == clusters
    assert found.inertia == 0


def test_the_plane_is_that_of_the_eigenvectors_of_the_covariance():
    vectors = np.random.default_rng(5).normal(size=(60, 5)) @ np.diag([3, 2, 1, 0.5, 0.1])
    found = insight.principal_plane(vectors)
    values, axes = np.linalg.eigh(np.cov(vectors.T))
    assert found.shares == pytest.approx((values[-1] / values.sum(), values[-2] / values.sum()))
    for axis in (0, 1):
        assert abs(found.axes[axis] @ axes[:, -1 - axis]) == pytest.approx(1.0)
        assert found.points[:, axis].var(ddof=1) == pytest.approx(values[-1 - axis])
    assert found.points == pytest.approx((vectors - vectors.mean(axis=0)) @ found.axes.T)


def test_the_plane_is_that_of_the_singular_vectors_of_the_rows_themselves():
    vectors = topical_model().item_vectors
    _, spread, axes = np.linalg.svd(vectors - vectors.mean(axis=0, dtype=np.float64), full_matrices=False)
    found = insight.principal_plane(vectors)
    assert np.abs((found.axes * axes[:2]).sum(axis=1)) == pytest.approx(np.ones(2))
    assert found.shares == pytest.approx(tuple((spread**2 / (spread**2).sum())[:2]))


@pytest.mark.parametrize("vectors", [np.zeros((0, 0)), np.zeros((4, 2)), np.ones((1, 3))])
def test_what_does_not_vary_lies_on_one_spot(vectors):
    found = insight.principal_plane(vectors)
    assert (found.points == 0).all()
    assert found.shares == (0.0, 0.0)


def test_one_number_an_item_is_a_line():
    found = insight.principal_plane(np.array([[1.0], [3.0], [5.0]]))
    assert found.points.tolist() == [[-2.0, 0.0], [0.0, 0.0], [2.0, 0.0]]
    assert found.shares == (1.0, 0.0)


def test_neighbours_are_those_of_a_search_through_all_pairs():
    model = topical_model(items=60)
    space = insight.item_space(model)

    def cosine(one, other):
        a, b = (model.item_vectors[model.item_rows[key]].astype(float) for key in (one, other))
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    for item in space.keys[::7]:
        others = [(other, cosine(item, other)) for other in space.keys if other != item]
        best = sorted(others, key=lambda pair: (-pair[1], pair[0]))[:10]
        found = insight.neighbours(space, item, 10)
        assert [key for key, _ in found] == [key for key, _ in best]
        assert [value for _, value in found] == pytest.approx([value for _, value in best], abs=1e-6)


def test_of_equally_near_items_the_smaller_key_goes_first():
    space = insight.Space("item_vectors", ("a", "b", "c"), np.ones((3, 2), dtype=np.float32))
    assert insight.neighbours(space, "b", 5) == [("a", pytest.approx(1.0)), ("c", pytest.approx(1.0))]


@settings(max_examples=10)
@given(st.integers(0, 1_000))
def test_a_look_depends_on_the_seed_and_not_on_the_order_of_the_items(seed):
    model, wanted = topical_model(items=80), Wanted(points=20, seed=seed)
    other = permuted(model, np.random.default_rng(seed).permutation(80))
    looks = [look_at(each, insight.item_space(each), None, wanted) for each in (model, model, other)]
    assert looks[0] == looks[1] == replace(looks[2], item_biases=looks[0].item_biases)
    assert looks[2].item_biases.counts == looks[0].item_biases.counts
    assert looks[2].item_biases.top == looks[0].item_biases.top


def test_the_topics_that_the_vectors_were_drawn_for_are_found():
    model = topical_model()
    look = look_at(model, insight.item_space(model), None, Wanted(clusters=4, points=240))
    assert [one.size for one in look.clusters] == [60, 60, 60, 59]
    topics = {point.cluster: model.item_rows[point.item] % len(TOPICS) for point in look.points}
    assert all(topics[point.cluster] == model.item_rows[point.item] % len(TOPICS) for point in look.points)
    assert (look.items, look.placed, len(look.points)) == (240, 239, 239)


def test_biases_are_counted_in_bins_and_shown_at_both_ends():
    found = biases(["a", "b", "c", "d"], np.array([1, -2, 1, 0], dtype=np.float32), ends=2)
    assert (sum(found.counts), len(found.edges), found.edges[0], found.edges[-1]) == (4, 25, -2.0, 1.0)
    assert found.top == (("a", 1.0), ("c", 1.0))
    assert found.bottom == (("b", -2.0), ("d", 0.0))
    assert (found.mean, found.deviation) == (0.0, pytest.approx(1.5**0.5))
    assert found.quantiles["0.5"] == 0.5


def test_items_without_evidence_are_in_no_histogram():
    model = topical_model()
    assert insight.has_evidence(model).sum() == 239
    assert look_at(model, insight.item_space(model), None, Wanted()).item_biases.count == 239


def test_a_model_without_vectors_and_users_says_what_is_undefined():
    files = MemoryVersionFiles({"mf@3": flat_model()})
    look = ModelEyes(files).look(VERSION, Wanted())
    assert look.undefined.keys() == {"users", "map", "clusters", "curve"}
    assert (look.clusters, look.points, look.space, look.user_biases.count) == ((), (), None, 0)
    assert look.item_biases.top[0] == ("a", 0.5)
    assert "no vectors" in ModelEyes(files).neighbours(VERSION, "a", 3).undefined


def test_neighbours_of_an_unknown_item_are_not_found_and_of_an_unseen_one_undefined():
    eyes = ModelEyes(MemoryVersionFiles({"mf@3": topical_model()}))
    with pytest.raises(NotFound, match="nowhere"):
        eyes.neighbours(VERSION, "nowhere", 3)
    assert "zero vector" in eyes.neighbours(VERSION, "item/239", 3).undefined


def test_the_same_look_is_worked_out_once():
    files = MemoryVersionFiles({"mf@3": topical_model()}, {"mf@3": {"curve.json": PACKED_CURVE}})
    eyes = ModelEyes(files)
    first = eyes.look(VERSION, Wanted())
    files.models.clear()
    assert eyes.look(VERSION, Wanted()) is first
    assert first.course is not None
    assert first.course.best_epoch == 5


@pytest.mark.parametrize(
    "packed",
    [b"", b"[]", json.dumps({**CURVE, "training": []}).encode(), json.dumps({**CURVE, "best_epoch": "x"}).encode()],
)
def test_a_curve_that_is_none_is_refused(packed):
    with pytest.raises(ModelCorrupt, match="mf@3"):
        read_course(packed, source="mf@3: curve.json")
