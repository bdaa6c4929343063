"""The life of a request."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from lamella.errors import (
    InvalidInput,
    ModelCorrupt,
    ModelFailed,
    NotFound,
    Overloaded,
    StoreUnavailable,
    Unavailable,
)
from lamella.events.contract import Exposed
from lamella.experiments.model import (
    AnalysisPlan,
    BucketRange,
    Experiment,
    Phase,
    Status,
    Variant,
)
from lamella.experiments.snapshot import compile_snapshot
from lamella.services.cascade import Cascade
from lamella.services.model_ports import NOBODY, Composition, Reader, Recall, Scored
from lamella.services.recommending import Answer, Recommending, Wish
from lamella.testing.fakes import FakeClock
from lamella.testing.recommender import FakeRecommender
from lamella.testing.record import MemoryRecord
from recommending_bench import AMPLE, DAY, ITEMS, MODELS, Bench, Held, configuration


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.recommending.close()


def test_what_is_answered_is_what_was_recorded(bench: Bench) -> None:
    answer = bench(k=5)
    (slate,) = bench.slates()
    assert (slate.request_id, slate.unit, slate.snapshot) == ("request-1", "ann", 7)
    assert slate.impressions == answer.items
    assert [each.rank for each in answer.items] == [1, 2, 3, 4, 5]
    assert {each.source for each in answer.items} == {"recall:mf@2"}
    assert slate.models == answer.models == {"recall": "mf@2"}
    assert slate.fallbacks == answer.fallbacks == {}
    assert answer.parameters == {"recall.model": "mf@2"}


def test_excluded_items_are_not_shown_and_nothing_left_is_an_empty_slate(bench: Bench) -> None:
    assert not {"i03", "i04"} & {each.item for each in bench(k=40, exclude=frozenset({"i03", "i04"})).items}
    assert bench(exclude=frozenset(ITEMS)).items == ()
    assert len(bench.slates()) == 2


def test_the_ranker_orders_what_recall_found() -> None:
    bench = Bench({"recall.model": "mf@2", "recall.count": 12, "rank.model": "cnn@1", "slate.size": 12})
    answer = bench()
    recalled = bench.models.recall("mf@2", "ann", Recall(count=12))
    assert [each.item for each in answer.items] == bench.models.rank("cnn@1", "ann", recalled.items).items
    assert answer.models == {"recall": "mf@2", "rank": "cnn@1"}
    assert {each.source for each in answer.items} == {"recall:mf@2"}


def test_without_weight_the_order_of_recall_stands() -> None:
    with_weight_0 = Bench({"recall.model": "mf@2", "rank.model": "cnn@1", "rank.weight": 0.0})()
    assert [each.item for each in with_weight_0.items] == [
        each.item for each in Bench({"recall.model": "mf@2"})().items
    ]
    assert "rank" not in with_weight_0.models


def test_diversity_is_asked_of_the_ranker_or_else_of_recall() -> None:
    ranked = Bench({"recall.model": "mf@2", "rank.model": "cnn@1", "rerank.diversity": 0.5})()
    assert ranked.models["rerank"] == "cnn@1"
    assert Bench({"recall.model": "mf@2", "rerank.diversity": 0.5})().models["rerank"] == "mf@2"
    assert len(ranked.items) == 10


@pytest.mark.parametrize(
    ("broken", "reason"),
    [(ModelCorrupt("x"), "corrupt"), (ModelFailed("x"), "failed"), (ValueError("shape"), "failed"), (None, "missing")],
)
def test_a_model_that_cannot_answer_is_stood_in_for_and_the_slate_says_so(
    broken: Exception | None, reason: str
) -> None:
    wanted = "mf@9" if broken is None else "mf@2"
    failing = {} if broken is None else {wanted: broken}
    bench = Bench({"recall.model": wanted}, FakeRecommender(ITEMS, MODELS, failing=failing))
    answer = bench()
    assert answer.models == {"recall": "mf@2" if broken is None else "mf@1"}
    assert answer.fallbacks == {"recall": reason}
    assert bench.slates()[0].fallbacks == {"recall": reason}
    assert len(answer.items) == 10


def test_popularity_stands_in_where_every_version_of_the_name_is_broken_and_anybody_after_it() -> None:
    failing: dict[str, Exception] = {"mf@1": ModelFailed("x"), "mf@2": ModelCorrupt("x")}
    assert Bench({"recall.model": "mf@2"}, FakeRecommender(ITEMS, MODELS, failing=failing))().models == {
        "recall": "popularity@1"
    }
    failing["popularity@1"] = ModelFailed("x")
    assert Bench({"recall.model": "mf@2"}, FakeRecommender(ITEMS, MODELS, failing=failing))().models == {
        "recall": "cnn@1"
    }


def test_where_no_model_answers_the_error_of_the_wanted_one_comes_out_and_nothing_is_recorded() -> None:
    failing: dict[str, Exception] = {each: ModelFailed(f"{each} is broken") for each in MODELS}
    bench = Bench({"recall.model": "mf@2"}, FakeRecommender(ITEMS, MODELS, failing=failing))
    with pytest.raises(ModelFailed, match="mf@2 is broken"):
        bench()
    assert not bench.slates()


def test_where_no_ranker_answers_the_order_of_recall_stands() -> None:
    class OnlyRecall(FakeRecommender):
        def rank(self, model: str, unit: str, items: Sequence[str], reader: Reader = NOBODY) -> Scored:  # noqa: ARG002
            raise ModelFailed(f"{model} ranks neither for {unit} nor the {len(items)} items")

        def recall(self, model: str, unit: str, wanted: Recall, reader: Reader = NOBODY) -> Scored:  # noqa: ARG002
            chosen = [item for item in ITEMS if item not in wanted.exclude][: wanted.count]
            return Scored(items=chosen, scores=[len(unit) / 10] * len(chosen), source=f"recall:{model}")

    answer = Bench({"recall.model": "mf@2", "rank.model": "cnn@1"}, OnlyRecall(ITEMS, MODELS))()
    assert [each.item for each in answer.items] == ITEMS[:10]
    assert answer.fallbacks == {"rank": "failed"}
    assert answer.models == {"recall": "mf@2"}


def test_where_nothing_is_published_the_answer_says_how_to_train() -> None:
    with pytest.raises(NotFound, match="no model version 'mf@2'; train one: `lamella train popularity`"):
        Bench({"recall.model": "mf@2"}, FakeRecommender(ITEMS, []))()


class Loading(FakeRecommender):
    """A recommender whose `mf` models are not in memory and answer once `loaded` is set."""

    def __init__(self, models: list[str]) -> None:
        super().__init__(ITEMS, models)
        self.loaded = threading.Event()

    def is_prompt(self, model: str) -> bool:
        return not model.startswith("mf")

    def recall(self, model: str, unit: str, wanted: Recall, reader: Reader = NOBODY) -> Scored:
        if model.startswith("mf"):
            self.loaded.wait(2 * AMPLE)
        return super().recall(model, unit, wanted, reader)


def test_a_model_that_is_late_is_stood_in_for_and_serves_once_it_is_there() -> None:
    models = Loading(["mf@2", "popularity@1"])
    bench = Bench(recommender=models)
    bench.use(configuration({"recall.model": "mf@2"}), deadline_seconds=0.02)
    bench.guard._trusted.add("popularity@1")  # in the caller's thread, where nothing is late
    answer = bench()
    assert (answer.models, answer.fallbacks) == ({"recall": "popularity@1"}, {"recall": "late"})
    models.loaded.set()
    bench.guard._deadline_seconds = AMPLE
    assert bench().models == {"recall": "mf@2"}


def test_a_late_model_without_a_stand_in_is_waited_for_ten_deadlines_and_no_longer() -> None:
    models = Loading(["mf@2"])
    bench = Bench(recommender=models)
    bench.use(configuration({"recall.model": "mf@2"}), deadline_seconds=0.02)
    with pytest.raises(Unavailable, match=r"'mf@2' did not answer within 0\.2 s"):
        bench()
    bench.guard._deadline_seconds = AMPLE
    timer = threading.Timer(0.05, models.loaded.set)
    timer.start()
    assert bench().models == {"recall": "mf@2"}
    timer.join()


def test_an_unusable_parameter_is_named_on_the_slate_and_its_default_serves() -> None:
    bench = Bench({"recall.model": "mf@2", "slate.size": -3})
    answer = bench()
    assert answer.fallbacks == {"slate.size": "unusable"}
    assert len(answer.items) == 10


def test_an_experiment_gives_its_parameters_and_its_exposure() -> None:
    bench = Bench()
    experiment = Experiment(
        key="ranker",
        layer="ranking",
        name="ranker",
        hypothesis="",
        variants=(
            Variant(key="old", weight=1, is_control=True),
            Variant(key="new", weight=1, values={"rank.model": "cnn@1"}),
        ),
        plan=AnalysisPlan(primary_metric="ctr"),
        ranges=(BucketRange(start=0, stop=10_000),),
        forced={"tester": "new"},
        status=Status.RUNNING,
        phases=(Phase(id=5, number=1, salt="s", started_at=DAY, weights={"old": 1, "new": 1}),),
    )
    base = configuration({"recall.model": "mf@2", "rank.model": ""})
    bench.use(replace(base, experiments=(experiment,)))
    seen = {}
    for number in range(20):
        answer = bench(f"unit-{number}")
        (assignment,) = [each for each in answer.assignments if each.experiment == "ranker"]
        seen[assignment.variant] = answer.models.get("rank")
        assert bench.slates()[-1].exposures == (Exposed(phase=5, variant=str(assignment.variant), counted=True),)
    assert seen == {"old": None, "new": "cnn@1"}
    bench("tester")
    assert bench.slates()[-1].exposures == (Exposed(phase=5, variant="new", counted=False),)


def test_a_repeated_request_keeps_its_id(bench: Bench) -> None:
    assert bench(request_id="mine").request_id == "mine"
    assert bench().request_id == "request-1"


def test_nothing_is_answered_that_is_not_durable(bench: Bench) -> None:
    bench.record.down = Overloaded("the inbox")
    with pytest.raises(Overloaded):
        bench()


@pytest.mark.parametrize("unit", ["", "x" * 257, "a\x00b"])
def test_a_bad_unit_is_refused_before_anything_runs(bench: Bench, unit: str) -> None:
    with pytest.raises(InvalidInput):
        bench(unit)
    assert not bench.slates()


def test_the_time_of_each_stage_that_ran_is_told() -> None:
    class Told:
        def __init__(self) -> None:
            self.stages: list[str] = []

        def took(self, stage: str, seconds: float) -> None:
            assert seconds >= 0
            self.stages.append(stage)

    told = Told()
    Recommending(
        snapshots=Held(compile_snapshot(configuration({"rank.model": "cnn@1", "rerank.diversity": 0.1}))),
        cascade=Cascade(FakeRecommender(ITEMS, MODELS), deadline_seconds=AMPLE, observer=told),
        journal=MemoryRecord(),
        clock=FakeClock(),
        new_id=lambda: "one",
    ).recommend(Wish(unit="ann", context={}))
    assert told.stages == ["recall", "rank", "rerank"]


def test_the_parameters_reach_recall_and_the_reader_is_the_context() -> None:
    bench = Bench({"recall.count": 30, "recall.damping": 0.5, "recall.model": "mf@2"})
    bench.recommending.recommend(Wish(unit="ann", context={"country": "CN"}, exclude=frozenset({"i01"})))
    ((wanted, reader),) = bench.models.asked
    assert wanted == Recall(count=30, exclude=frozenset({"i01"}), damping=0.5)
    assert reader == Reader(attributes={"country": "CN"})


def test_what_was_read_is_not_recommended_again_where_the_layer_says_so() -> None:
    bench = Bench({"recall.unread": True, "recall.model": "mf@2"})
    bench.reads["ann"] = ["i03", "i04"]
    shown = {each.item for each in bench("ann", k=100).items}
    assert shown == set(ITEMS) - {"i03", "i04"}
    assert {each.item for each in bench("bob", k=100).items} == set(ITEMS)


def test_only_models_that_look_at_reads_cause_them_to_be_looked_up() -> None:
    models = FakeRecommender(ITEMS, ["gru@1", "mf@2"])
    for model, expected in (("mf@2", ()), ("gru@1", ("i03", "i04"))):
        bench = Bench({"recall.model": model}, models)
        bench.reads["ann"] = ["i03", "i04"]
        bench("ann")
        assert models.asked[-1][1].history == expected


def test_without_the_store_a_list_is_still_owed_and_it_is_counted() -> None:
    class Away(Bench):
        def last_reads(self, unit: str, *, limit: int) -> Sequence[str]:
            raise StoreUnavailable(f"no {limit} reads of {unit}")

    answer = Away({"recall.unread": True, "recall.model": "mf@2"})()
    assert len(answer.items) == 10
    assert answer.fallbacks == {"history": "unavailable"}


def test_candidates_of_the_caller_stand_in_for_recall(bench: Bench) -> None:
    answer = bench(candidates=("i05", "i07", "new"), exclude=frozenset({"i07"}))
    assert {each.item for each in answer.items} == {"i05", "new"}


def test_many_are_recorded_in_one_batch_and_a_bad_one_sinks_no_other(bench: Bench) -> None:
    wishes = [Wish(unit=unit, context={}) for unit in ("ann", "", "bob")]
    first, bad, second = bench.recommending.recommend_many(wishes)
    assert isinstance(bad, InvalidInput)
    assert [each.unit for each in (first, second) if isinstance(each, Answer)] == ["ann", "bob"]
    assert len(bench.record.inbox) == 1
    assert [slate.unit for slate in bench.slates()] == ["ann", "bob"]
    assert bench.recommending.recommend_many([Wish(unit="", context={})])[0]
    assert len(bench.record.inbox) == 1


def test_where_nothing_is_drawn_every_propensity_is_1(bench: Bench) -> None:
    assert {each.propensity for each in bench().items} == {1.0}


def test_what_was_drawn_is_recorded_with_its_chance() -> None:
    class Drawing(FakeRecommender):
        def compose(self, model: str, scored: Scored, composition: Composition) -> Scored:
            assert (composition.epsilon, composition.seed) == (0.25, "request-1")
            chosen = super().compose(model, scored, composition)
            return chosen._replace(propensities=[0.5] * len(chosen.items))

    bench = Bench({"recall.model": "mf@2", "explore.epsilon": 0.25}, Drawing(ITEMS, MODELS))
    bench()
    assert {each.propensity for each in bench.slates()[0].impressions} == {0.5}
