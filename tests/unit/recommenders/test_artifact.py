"""The serving matrices and the one formula."""

import io
import math
from dataclasses import fields, replace

import numpy as np
import pytest

from lamella.errors import ModelCorrupt
from lamella.recommenders.artifact import FactorModel, centred, pack, sigmoid, unpack
from lamella.recommenders.layers import Layer, Picks, Tail, peak
from lamella.recommenders.side import Placed
from lamella.services.model_ports import Reader


def small_model() -> FactorModel:
    return FactorModel(
        user_ids=("ann", "böb"),
        user_vectors=np.array([[1, 0], [0, 2]], dtype=np.float32),
        user_bias=np.array([0.5, 0], dtype=np.float32),
        item_ids=("x", "y", "文章"),
        item_vectors=np.array([[1, 1], [0, 1], [2, 0]], dtype=np.float32),
        item_bias=np.array([0, -1, 1], dtype=np.float32),
        intercept=-0.5,
        unknown_item_bias=-2.0,
        rank_bias=np.array([0, -0.3], dtype=np.float32),
    )


def test_a_score_is_the_sigmoid_of_intercept_biases_and_dot_product() -> None:
    (score,) = small_model().score("böb", ["y"])
    assert score == pytest.approx(1 / (1 + math.exp(-(-0.5 + 0 - 1 + 2))))


def test_scores_of_some_items_are_those_of_all() -> None:
    model = small_model()
    for user in ("ann", "böb", "a stranger"):
        assert model.logits_of(user, ["文章", "x"]) == pytest.approx(model.logits(user)[[2, 0]])


def test_an_unknown_user_has_neither_bias_nor_taste_and_an_unknown_item_its_stated_bias() -> None:
    model = small_model()
    assert model.logits_of("a stranger", ["x", "?"]).tolist() == [-0.5, -2.5]
    assert model.logits_of("ann", ["?"]).tolist() == [-2.0]


def test_centring_changes_no_score_and_makes_zero_the_average_user() -> None:
    rng = np.random.default_rng(1)
    p, q = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    b_u, b_i, rank = rng.normal(size=5), rng.normal(size=4), np.array([-2.0, -3.0], dtype=np.float32)
    model = centred(
        users=tuple("abcde"),
        user_vectors=p,
        user_bias=b_u.astype(np.float32),
        is_active=np.ones(5, dtype=bool),
        items=tuple("wxyz"),
        item_vectors=q,
        item_bias=b_i.astype(np.float32),
        has_evidence=np.ones(4, dtype=bool),
        rank_bias=rank,
    )
    wanted = b_u[:, None] + b_i + p @ q.T - 2.0
    found = np.array([model.logits(user) for user in "abcde"])
    assert found == pytest.approx(wanted, abs=1e-5)
    assert model.logits("a stranger") == pytest.approx(found.mean(axis=0), abs=1e-5)
    assert model.rank_bias.tolist() == [0.0, -1.0]


def test_the_same_model_packs_to_the_same_bytes_and_back() -> None:
    packed = pack(small_model())
    assert pack(small_model()) == packed
    again = unpack(packed, source="test")
    assert (again.user_ids, again.item_ids) == (("ann", "böb"), ("x", "y", "文章"))
    assert pack(again) == packed


def test_a_model_without_users_or_items_survives_packing() -> None:
    model = small_model()
    empty = FactorModel(
        user_ids=(),
        user_vectors=np.zeros((0, 2), dtype=np.float32),
        user_bias=np.zeros(0, dtype=np.float32),
        item_ids=(),
        item_vectors=np.zeros((0, 2), dtype=np.float32),
        item_bias=np.zeros(0, dtype=np.float32),
        intercept=model.intercept,
        unknown_item_bias=0.0,
        rank_bias=model.rank_bias,
    )
    assert unpack(pack(empty), source="test").logits("ann").shape == (0,)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"user_vectors": np.zeros((2, 3), dtype=np.float32)}, "user_vectors has shape"),
        ({"item_bias": np.array([0, np.nan, 1], dtype=np.float32)}, "item_bias holds NaN"),
        ({"intercept": math.inf}, "intercept holds NaN or infinity"),
        ({"item_ids": ("x", "x", "y")}, "item_ids holds a key twice"),
    ],
)
def test_what_cannot_serve_is_named_and_corrupt_when_read(change: dict[str, object], sentence: str) -> None:
    given = {each.name: getattr(small_model(), each.name) for each in fields(FactorModel) if each.init}
    broken = FactorModel(**{**given, **change})
    assert sentence in broken.faults()[0]
    with pytest.raises(ModelCorrupt, match=r"mf@2: .*publish the model again"):
        unpack(pack(broken), source="mf@2")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut"])
def test_what_is_no_archive_is_corrupt(content: bytes) -> None:
    with pytest.raises(ModelCorrupt, match="mf@2"):
        unpack(content, source="mf@2")


def test_a_pickle_in_the_archive_is_never_loaded() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, scalars=np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    with pytest.raises(ModelCorrupt, match="pickle"):
        unpack(buffer.getvalue(), source="mf@2")


def test_the_sigmoid_neither_overflows_nor_leaves_0_to_1() -> None:
    assert sigmoid(np.array([-1e9, 0, 1e9], dtype=np.float32)).tolist() == pytest.approx([0, 0.5, 1])


def test_damping_favours_items_in_proportion_to_how_few_liked_them() -> None:
    model = replace(small_model(), item_idf=np.array([1, 0, -1], dtype=np.float32))
    logits = model.logits("ann")
    assert (model.damped(logits, slice(None), 0.5) - logits).tolist() == pytest.approx([0.5, 0.0, -0.5])
    assert (model.damped(logits, slice(None), 0.0) == logits).all()
    assert (unpack(pack(model), source="test").item_idf == model.item_idf).all()
    assert (small_model().damped(logits, slice(None), 1.0) == logits).all()


def test_a_tail_is_added_for_known_items_and_counted_among_the_faults() -> None:
    """By hand: relu(user part + item part) · (1, -1) + 0.5."""
    layers = (Layer(np.array([[1], [-1]], dtype=np.float32), np.array([0.5], dtype=np.float32)),)
    tail = Tail(
        user_hidden=np.array([[1, 0], [0, 1]], dtype=np.float32),
        item_hidden=np.array([[1, -1], [-2, 3], [0, 0]], dtype=np.float32),
        stranger=np.array([0.5, 0.5], dtype=np.float32),
        layers=layers,
    )
    flat, model = small_model(), replace(small_model(), tail=tail)
    assert (model.logits("ann") - flat.logits("ann")).tolist() == pytest.approx([2.5, -2.5, 1.5])
    assert (model.logits("who") - flat.logits("who")).tolist() == pytest.approx([2.0, -3.0, 0.5])
    assert model.logits_of("ann", ["?", "y"])[0] == flat.logits_of("ann", ["?"])[0]
    rows = np.array([0, -1, 1, 0]), np.array([0, 1, -1, 2])
    wanted = [model.logits("ann")[0], model.logits("who")[1], model.logits_of("böb", ["?"])[0], model.logits("ann")[2]]
    assert model.pair_logits(*rows) == pytest.approx(wanted, abs=1e-6)
    assert not model.faults()
    assert (
        "user_hidden has shape (1, 2), not (2, 2)"
        in replace(model, tail=replace(tail, user_hidden=tail.stranger[None])).faults()
    )


def test_a_model_of_small_numbers_answers_within_its_bound_and_of_no_other_it_is_said() -> None:
    rng = np.random.default_rng(9)
    for scale in (1.0, 1e6, 1e9):
        tail = Tail(
            user_hidden=(scale * rng.normal(size=(2, 5))).astype(np.float32),
            item_hidden=(scale * rng.normal(size=(3, 5))).astype(np.float32),
            stranger=(scale * rng.normal(size=5)).astype(np.float32),
            layers=(Layer((scale * rng.normal(size=(5, 1))).astype(np.float32), np.ones(1, dtype=np.float32)),),
        )
        for model in (small_model(), replace(small_model(), tail=tail)):
            for user in ("ann", "a stranger"):
                assert model.is_bounded(user)
                assert np.isfinite(model.logits(user)).all()
        assert np.abs(tail.logits(tail.stranger, None)).max() <= tail.bound()
    huge = np.full((2, 2), 1e20, dtype=np.float32)
    changes = (
        {"item_bias": np.array([0, np.nan, 1], dtype=np.float32)},
        {"user_bias": np.array([0, -np.inf], dtype=np.float32)},
        {"intercept": math.nan},
        {"unknown_item_bias": 1e300},
        {"user_vectors": huge, "item_vectors": np.concatenate((huge, huge[:1]))},
        {"tail": replace(tail, stranger=np.full(5, np.inf, dtype=np.float32))},
        {"tail": replace(tail, layers=(Layer(np.full((5, 1), 1e30, dtype=np.float32), np.ones(1, dtype=np.float32)),))},
    )
    for change in changes:
        assert not replace(small_model(), **change).is_bounded("ann")


def test_only_somebody_whose_place_the_matrices_give_is_within_the_bound() -> None:
    class Far:
        def place(self, _: object) -> Placed:
            return Placed(np.full(2, 3e38, dtype=np.float32), np.zeros(0, dtype=np.float32), 0.0)

    aside, reading = replace(small_model(), side=Far()), replace(small_model(), encoder=object())
    given, read = Reader(attributes={"age": 3}), Reader(history=["x"])
    assert [aside.is_bounded("ann", given), aside.is_bounded("new"), aside.is_bounded("new", given)] == [1, 1, 0]
    assert [reading.is_bounded("ann"), reading.is_bounded("ann", read)] == [1, 0]
    assert small_model().is_bounded("new", Reader(attributes={"age": 3}, history=["x"]))


def test_attributes_place_somebody_in_a_model_without_vectors_by_the_tail_alone() -> None:
    class Near:
        def place(self, _: object) -> Placed:
            return Placed(np.ones(2, dtype=np.float32), np.ones(2, dtype=np.float32), 0.25)

    nothing = {"user_vectors": np.zeros((2, 0), dtype=np.float32), "item_vectors": np.zeros((3, 0), dtype=np.float32)}
    tail = Tail(
        user_hidden=np.zeros((2, 2), dtype=np.float32),
        item_hidden=np.array([[1, 2], [-5, 0], [0, 0]], dtype=np.float32),
        stranger=np.zeros(2, dtype=np.float32),
        layers=(Layer(np.ones((2, 1), dtype=np.float32), np.zeros(1, dtype=np.float32)),),
    )
    given = Reader(attributes={"age": 3})
    model = replace(small_model(), **nothing, tail=tail, side=Near())
    assert model.logits("new", given).tolist() == [4.75, -0.25, 2.75]
    assert model.logits_of("new", ["文章", "y"], given).tolist() == [2.75, -0.25]


def test_what_a_model_answered_is_the_callers_to_change() -> None:
    for model in (small_model(), replace(small_model(), user_vectors=np.zeros((2, 2), dtype=np.float32))):
        for user in ("böb", "a stranger"):
            before = model.logits(user).tolist()
            model.logits(user)[:] = 9
            assert model.logits(user).tolist() == before
            assert model.logits_at(user, model.all_rows, are_known=True).tolist() == before


@pytest.mark.parametrize("shape", [(9, 4), (9, 0), (0, 3), (700, 33)])
def test_picked_rows_are_those_that_are_taken(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    for each in (matrix, np.asfortranarray(matrix), matrix[::2]):
        rows = np.arange(len(each))[::-1].copy()
        for chosen in (rows, rows[:2], rows[:0]):
            picked = Picks(each).at(chosen)
            assert (picked.shape, picked.tolist()) == ((len(chosen), shape[1]), each[chosen].tolist())
            picked[:] = 7
        assert not (each == 7).any()


def test_a_peak_is_the_greatest_absolute_value() -> None:
    assert peak(np.array([1, -3, 2], dtype=np.float32)) == 3
    assert peak(np.array([[-1, -2]], dtype=np.float32)) == 2
    assert peak(np.zeros((4, 0), dtype=np.float32)) == 0
    assert math.isnan(peak(np.array([1, np.nan], dtype=np.float32)))
