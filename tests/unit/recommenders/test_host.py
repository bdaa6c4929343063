"""The models of a web process."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from lamella.errors import ModelCorrupt, ModelFailed, NotFound, StoreUnavailable
from lamella.recommenders.artifact import FactorModel, sigmoid
from lamella.recommenders.host import ModelHost
from lamella.recommenders.layers import Layer, Tail
from lamella.recommenders.shelf import Shelf
from lamella.recommenders.side import Placed
from lamella.services.model_ports import Composition, Item, ModelVersion, Reader, Recall
from lamella.testing.fakes import MemoryCatalogue, MemoryModelCatalogue

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def version(name: str, number: int) -> ModelVersion:
    return ModelVersion(
        name=name,
        number=number,
        kind=name,
        created_at=NOW + timedelta(hours=number),
        digest="",
        size_bytes=0,
        hyperparameters={},
        metrics={},
        stamp={},
    )


def model(bias: list[float], *, seed: int = 0) -> FactorModel:
    rng = np.random.default_rng(seed)
    return FactorModel(
        user_ids=("ann",),
        user_vectors=rng.normal(size=(1, 3)).astype(np.float32),
        user_bias=np.zeros(1, dtype=np.float32),
        item_ids=tuple(f"i{each}" for each in range(len(bias))),
        item_vectors=rng.normal(size=(len(bias), 3)).astype(np.float32),
        item_bias=np.array(bias, dtype=np.float32),
        intercept=-1.0,
        unknown_item_bias=-1.5,
        rank_bias=np.zeros(1, dtype=np.float32),
    )


class MemoryArtifacts:
    """Artifacts by reference; counts loads, raises what is put there instead of a model, waits where told to."""

    def __init__(self, **models: FactorModel | Exception) -> None:
        self.models = {name.replace("_", "@"): each for name, each in models.items()}
        self.loads: list[str] = []
        self.open = threading.Event()
        self.open.set()

    def load(self, wanted: ModelVersion) -> FactorModel:
        self.loads.append(wanted.reference)
        assert self.open.wait(10)
        found = self.models[wanted.reference]
        if isinstance(found, Exception):
            raise found
        return found

    def catalogue(self) -> MemoryModelCatalogue:
        named = (reference.split("@") for reference in self.models)
        return MemoryModelCatalogue([version(name, int(number)) for name, number in named])


class Ticks:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def host_of(artifacts: MemoryArtifacts, **options: float) -> ModelHost:
    return ModelHost(artifacts, artifacts.catalogue(), **options)  # type: ignore[arg-type]


def test_recall_is_the_order_of_the_scores_without_what_is_excluded() -> None:
    host = host_of(MemoryArtifacts(mf_1=model([0.0, 3.0, 1.0, 2.0])))
    found = host.recall("mf@1", "a stranger", Recall(count=2, exclude=frozenset({"i3", "unheard of"})))
    assert found.items == ["i1", "i2"]
    assert found.scores == pytest.approx([1 / (1 + np.exp(-2)), 0.5])
    assert (found.source, found.model) == ("recall:mf@1", "mf@1")


def test_recall_of_more_than_there_is_gives_what_there_is() -> None:
    host = host_of(MemoryArtifacts(mf_1=model([0.0, 3.0])))
    assert host.recall("mf@1", "ann", Recall(count=9, exclude=frozenset({"i0"}))).items == ["i1"]
    assert host.recall("mf@1", "ann", Recall(count=9, exclude=frozenset({"i0", "i1"}))).items == []


def test_rank_orders_the_given_items_and_places_an_unknown_one_by_its_stated_score() -> None:
    host = host_of(MemoryArtifacts(mf_1=model([0.0, -3.0, 1.0])))
    found = host.rank("mf", "a stranger", ["i1", "new", "i2", "i0"])
    assert found.items == ["i2", "i0", "new", "i1"]
    assert found.source == "rank:mf@1"
    assert host.rank("mf", "ann", []).items == []


def test_diversify_keeps_scores_and_uses_the_models_vectors() -> None:
    host = host_of(MemoryArtifacts(mf_1=model([0.0] * 30)))
    ranked = host.rank("mf", "ann", [f"i{each}" for each in range(30)])
    plain = host.compose("mf", ranked, Composition(count=5, now=NOW))
    diverse = host.compose("mf", ranked, Composition(count=5, now=NOW, diversity=0.8))
    assert plain.items == ranked.items[:5]
    assert diverse.items != plain.items
    score = dict(zip(ranked.items, ranked.scores, strict=True))
    assert [score[item] for item in diverse.items] == diverse.scores
    assert diverse.source == "rerank:mf@1"


def test_a_bare_name_is_its_newest_version_and_moves_when_the_list_is_read_again() -> None:
    artifacts = MemoryArtifacts(mf_1=model([0.0, 1.0]), mf_2=model([1.0, 0.0]))
    catalogue, ticks = MemoryModelCatalogue([version("mf", 1)]), Ticks()
    host = ModelHost(artifacts, catalogue, refresh_seconds=5, monotonic=ticks)
    assert host.recall("mf", "x", Recall(count=1)).model == "mf@1"
    catalogue.add(version("mf", 2))
    ticks.now += 4
    assert host.recall("mf", "x", Recall(count=1)).model == "mf@1"
    ticks.now += 2
    assert host.recall("mf", "x", Recall(count=1)).model == "mf@2"
    assert host.recall("mf@1", "x", Recall(count=1)).model == "mf@1"


def test_the_list_is_current_until_it_has_to_be_read_again() -> None:
    ticks = Ticks()
    host = ModelHost(MemoryArtifacts(), MemoryModelCatalogue(), refresh_seconds=5, monotonic=ticks)
    assert not host.is_current()
    host.refresh()
    ticks.now += 4.9
    assert host.is_current()
    ticks.now += 0.1
    assert not host.is_current()
    host.versions()
    assert host.is_current()


def test_a_model_with_a_long_catalogue_is_not_light(monkeypatch: pytest.MonkeyPatch) -> None:
    host = host_of(MemoryArtifacts(mf_1=model([0.0, 1.0, 2.0])))
    assert not host.is_light("mf@1")
    host.recall("mf@1", "x", Recall(count=1))
    monkeypatch.setattr("lamella.recommenders.host.LIGHT_ITEMS", 3)
    assert host.is_light("mf@1")
    monkeypatch.setattr("lamella.recommenders.host.LIGHT_ITEMS", 2)
    assert not host.is_light("mf@1")


def test_refresh_loads_the_new_version_of_a_used_name_before_a_request_asks() -> None:
    artifacts = MemoryArtifacts(mf_1=model([0.0]), mf_2=model([0.0]), other_1=model([0.0]))
    catalogue = MemoryModelCatalogue([version("mf", 1), version("other", 1)])
    host = ModelHost(artifacts, catalogue)
    host.recall("mf", "x", Recall(count=1))
    catalogue.add(version("mf", 2))
    assert not host.is_prompt("mf@2")
    host.refresh()
    assert artifacts.loads == ["mf@1", "mf@2"]
    assert host.is_prompt("mf")
    assert host.is_prompt("mf@2")


def test_a_model_published_a_moment_ago_is_found_without_waiting_for_the_next_reading() -> None:
    artifacts, catalogue, ticks = MemoryArtifacts(mf_1=model([0.0])), MemoryModelCatalogue(), Ticks()
    host = ModelHost(artifacts, catalogue, refresh_seconds=60, monotonic=ticks)
    with pytest.raises(NotFound, match="mf"):
        host.recall("mf", "x", Recall(count=1))
    catalogue.add(version("mf", 1))
    ticks.now += 1
    assert host.recall("mf", "x", Recall(count=1)).model == "mf@1"


def test_a_version_is_loaded_once_and_the_least_recently_used_leaves() -> None:
    artifacts = MemoryArtifacts(a_1=model([0.0]), b_1=model([0.0]), c_1=model([0.0]))
    host = host_of(artifacts, capacity=2)
    for name in ("a", "b", "a", "c", "a", "b"):
        host.recall(name, "x", Recall(count=1))
    assert artifacts.loads == ["a@1", "b@1", "c@1", "b@1"]
    for name in ("b", "a", "c", "b"):
        host.recall(name, "x", Recall(count=1))
    assert artifacts.loads == ["a@1", "b@1", "c@1", "b@1", "c@1", "b@1"]


def test_many_threads_that_want_the_same_version_load_it_once() -> None:
    artifacts = MemoryArtifacts(mf_1=model([0.0, 1.0]))
    artifacts.open.clear()
    host = host_of(artifacts)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(host.recall, "mf", "x", Recall(count=1)) for _ in range(8)]
        time.sleep(0.05)
        artifacts.open.set()
        assert {each.result().items[0] for each in waiting} == {"i1"}
    assert artifacts.loads == ["mf@1"]


def test_a_corrupt_version_is_refused_from_memory_and_tried_again_later() -> None:
    artifacts, ticks = MemoryArtifacts(mf_1=ModelCorrupt("mf@1: broken")), Ticks()
    host = ModelHost(artifacts, artifacts.catalogue(), retry_seconds=30, monotonic=ticks)
    for _ in range(3):
        with pytest.raises(ModelCorrupt, match="broken"):
            host.recall("mf", "x", Recall(count=1))
    assert len(artifacts.loads) == 1
    artifacts.models["mf@1"] = model([0.0])
    ticks.now += 31
    assert host.recall("mf", "x", Recall(count=1)).items == ["i0"]


def test_a_model_that_answers_nan_has_failed() -> None:
    host = host_of(MemoryArtifacts(mf_1=model([0.0, float("nan")])))
    with pytest.raises(ModelFailed, match="mf@1 answered with NaN"):
        host.recall("mf", "x", Recall(count=1))
    with pytest.raises(ModelFailed, match="NaN"):
        host.rank("mf", "x", ["i1"])


def test_while_the_catalogue_is_away_the_known_models_serve() -> None:
    class Away(MemoryModelCatalogue):
        is_away = False

        def all(self) -> list[ModelVersion]:
            if self.is_away:
                raise StoreUnavailable("the store is away")
            return list(super().all())

    artifacts, catalogue, ticks = MemoryArtifacts(mf_1=model([0.0])), Away([version("mf", 1)]), Ticks()
    host = ModelHost(artifacts, catalogue, monotonic=ticks)
    assert [each.reference for each in host.versions()] == ["mf@1"]
    catalogue.is_away = True
    ticks.now += 60
    assert host.recall("mf", "x", Recall(count=1)).items == ["i0"]
    with pytest.raises(StoreUnavailable):
        ModelHost(artifacts, catalogue).versions()


def test_warming_says_which_models_answered() -> None:
    host = host_of(MemoryArtifacts(mf_1=model([0.0]), bad_1=ModelCorrupt("bad")))
    assert host.warm(["mf", "bad", "unknown"]) == ["mf"]
    assert host.is_prompt("mf")
    assert not host.is_prompt("bad")


@pytest.mark.parametrize("has_tail", [False, True])
def test_recall_and_rank_score_and_order_as_one_would_by_hand(has_tail: bool) -> None:
    rng = np.random.default_rng(11)

    def made(m: int) -> FactorModel:
        some = model(rng.integers(-3, 3, m).astype(float).tolist(), seed=m)
        tail = Tail(
            # Quarters and whole numbers: nothing is rounded, in whichever order it is added.
            user_hidden=(rng.integers(-9, 10, (1, 4)) / 4).astype(np.float32),
            item_hidden=rng.integers(-2, 3, (m, 4)).astype(np.float32),
            stranger=np.zeros(4, dtype=np.float32),
            layers=(Layer((rng.integers(-9, 10, (4, 1)) / 4).astype(np.float32), np.ones(1, dtype=np.float32)),),
        )
        rare = np.zeros((m, 3), dtype=np.float32)
        rare[::3] = some.item_vectors[::3]
        return replace(some, item_vectors=rare, tail=tail if has_tail else None)

    def by_hand(factors: FactorModel, rows: list[int]) -> np.ndarray:
        bias = factors.item_bias[rows] + np.float32(factors.intercept + float(factors.user_bias[0]))
        logits = factors.item_vectors[rows] @ factors.user_vectors[0] + bias
        if factors.tail is not None:
            hidden = np.maximum(factors.tail.item_hidden[rows] + factors.tail.user_hidden[0], 0)
            logits = logits + (hidden @ factors.tail.layers[0].weights + factors.tail.layers[0].bias)[:, 0]
        return logits

    first, second = made(400), made(300)
    host = host_of(MemoryArtifacts(mf_1=first, net_1=second))
    recalled = host.recall("mf", "ann", Recall(count=400))
    logits = by_hand(first, list(range(400)))
    wanted = np.argsort(-logits, kind="stable").tolist()
    assert list(recalled.items) == [f"i{row}" for row in wanted]
    assert list(recalled.scores) == sigmoid(logits[wanted]).tolist()
    ranked = host.rank("net", "ann", recalled.items)
    known = [row for row in wanted if row < 300]
    scores = np.full(400, second.unknown_item_bias + second.intercept + float(second.user_bias[0]), dtype=np.float32)
    scores[[place for place, row in enumerate(wanted) if row < 300]] = by_hand(second, known)
    order = np.argsort(-scores, kind="stable").tolist()
    assert list(ranked.items) == [f"i{wanted[place]}" for place in order]
    assert list(ranked.scores) == sigmoid(scores[order]).tolist()
    assert list(ranked.scores[:10]) == list(ranked.scores)[:10]
    assert host.rank("net", "ann", list(recalled.items)) == ranked


@pytest.mark.parametrize("size", [1, 5, 10, 40, 100, 120])
def test_equal_scores_stay_in_the_order_of_recall_whatever_part_of_it_is_read(size: int) -> None:
    rng = np.random.default_rng(size)
    first, flat = model(rng.normal(size=120).tolist()), model(rng.integers(0, 4, 120).astype(float).tolist())
    host = host_of(MemoryArtifacts(mf_1=first, flat_1=flat))
    recalled = host.recall("mf", "a stranger", Recall(count=120))
    bias = dict(zip(flat.item_ids, flat.item_bias.tolist(), strict=True))
    wanted = sorted(recalled.items, key=lambda item: -bias[item])
    ranked = host.rank("flat", "a stranger", recalled.items)
    assert ranked.items[:size] == wanted[:size]
    assert list(ranked.scores[:size]) == sigmoid(np.array([bias[item] - 1 for item in wanted[:size]], "f4")).tolist()
    assert ranked.items == wanted
    again = host.rank("mf", "a stranger", ranked.items)
    assert (again.items, again.scores) == (recalled.items, recalled.scores)


def test_a_place_that_the_matrices_do_not_give_is_looked_at_for_what_is_no_number() -> None:
    class Far:
        def place(self, _: object) -> Placed:
            return Placed(np.full(3, np.inf, dtype=np.float32), np.zeros(0, dtype=np.float32), 0.0)

    host = host_of(MemoryArtifacts(mf_1=replace(model([0.0, 1.0]), side=Far())))
    given = Reader(attributes={"age": 3})
    assert host.recall("mf", "x", Recall(count=1)).items == ["i1"]
    with np.errstate(invalid="ignore"), pytest.raises(ModelFailed):
        host.recall("mf", "x", Recall(count=1), given)
    with np.errstate(invalid="ignore"), pytest.raises(ModelFailed):
        host.rank("mf", "x", ["i0"], given)


def test_logits_are_sound_however_large_and_refused_only_where_one_is_none() -> None:
    far = host_of(MemoryArtifacts(mf_1=model([1e30, -1e30, 2e38])))
    assert list(far.recall("mf", "x", Recall(count=3)).scores) == pytest.approx([1, 1, 0])
    for bad in (np.inf, -np.inf, np.nan):
        host = host_of(MemoryArtifacts(mf_1=model([0.0, bad, 1.0])))
        with pytest.raises(ModelFailed):
            host.recall("mf", "x", Recall(count=1))


def test_importing_the_host_imports_neither_tensorflow_nor_keras_nor_scipy_nor_pandas() -> None:
    code = (
        "import sys, lamella.recommenders.host, lamella.recommenders.registry, lamella.recommenders.trainer;"
        "print([name for name in ('tensorflow', 'keras', 'scipy', 'pandas') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def shelf() -> Shelf:
    catalogue = MemoryCatalogue()
    catalogue.put(
        [
            Item(key=f"i{each}", title="", published_at=NOW - timedelta(hours=each), attributes={"odd": each % 2 == 1})
            for each in range(4)
        ]
    )
    found = Shelf(catalogue)
    found.refresh()
    return found


def test_a_business_filter_leaves_items_out_before_they_are_counted() -> None:
    host = host_of(MemoryArtifacts(mf_1=model([0.0, 3.0, 1.0, 2.0])), shelf=shelf())
    odd = Recall(count=3, rule={"var": "odd"})
    assert host.recall("mf", "ann", odd).items == ["i1", "i3"]
    among = Recall(count=3, rule={"var": "odd"}, candidates=("i0", "i3", "i1", "unheard of"))
    assert host.recall("mf", "ann", among).items == ["i1", "i3"]


def test_candidates_are_chosen_from_and_unknown_ones_have_the_score_of_a_new_item() -> None:
    host = host_of(MemoryArtifacts(mf_1=model([0.0, 3.0, 1.0, 2.0])))
    wanted = Recall(count=2, candidates=("i3", "new", "i3", "i1"), exclude=frozenset({"i1"}))
    found = host.recall("mf", "ann", wanted)
    assert found.items == ["i3", "new"]
    assert found.source == "candidates:mf@1"
    assert host.recall("mf", "ann", Recall(count=2, candidates=())).items == []


def test_freshness_lifts_what_is_new() -> None:
    host = host_of(MemoryArtifacts(mf_1=model([0.0, 3.0, 1.0, 2.0])), shelf=shelf())
    recalled = host.recall("mf", "a stranger", Recall(count=4))
    assert recalled.items == ["i1", "i3", "i2", "i0"]
    strong = Composition(count=4, now=NOW, freshness=50.0, half_life_hours=1.0)
    fresh = host.compose("mf", recalled, strong)
    assert fresh.items == ["i0", "i1", "i2", "i3"]
    assert dict(zip(fresh.items, fresh.scores, strict=True)) == dict(zip(recalled.items, recalled.scores, strict=True))


def test_what_is_explored_has_its_chance_and_depends_on_the_seed() -> None:
    host = host_of(MemoryArtifacts(mf_1=model([0.0, 3.0, 1.0, 2.0])))
    recalled = host.recall("mf", "a stranger", Recall(count=4))

    def explored(seed: str) -> list[str]:
        found = host.compose("mf", recalled, Composition(count=2, now=NOW, epsilon=1.0, seed=seed))
        assert found.propensities == pytest.approx([1 / 4, 1 / 3])
        return list(found.items)

    assert explored("one") == explored("one")
    assert len({tuple(explored(str(seed))) for seed in range(20)}) > 1
