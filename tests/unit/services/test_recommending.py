"""The life of a request."""

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lamella.errors import InvalidInput, ModelCorrupt, ModelFailed, NotFound, Overloaded, Unavailable
from lamella.events.codec import decode
from lamella.events.contract import Exposed, Slate
from lamella.experiments.model import (
    AnalysisPlan,
    BucketRange,
    Configuration,
    Experiment,
    Json,
    Layer,
    Parameter,
    ParameterType,
    Phase,
    Status,
    Variant,
)
from lamella.experiments.snapshot import Snapshot, compile_snapshot
from lamella.services.ports import Scored
from lamella.services.recommending import Answer, Recommending
from lamella.testing.fakes import FakeClock, FakeRecommender
from lamella.testing.record import MemoryRecord

ITEMS = [f"i{each:02d}" for each in range(40)]
MODELS = ["mf@1", "mf@2", "popularity@1", "cnn@1"]
DAY = datetime(2026, 3, 1, tzinfo=UTC)
TYPES = {str: ParameterType.STRING, int: ParameterType.INTEGER, float: ParameterType.FLOAT}


class Held:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def current(self) -> Snapshot:
        return self._snapshot


def configuration(parameters: Mapping[str, Json]) -> Configuration:
    return Configuration(
        version=7,
        layers=(Layer(key="recall", salt="a"), Layer(key="ranking", salt="b")),
        parameters=tuple(
            Parameter(key=key, type=TYPES[type(value)], default=value, layer="recall")  # type: ignore[index]
            for key, value in parameters.items()
        ),
    )


class Bench:
    """A Recommending over fakes, and what it did."""

    def __init__(
        self, parameters: Mapping[str, Json] | None = None, recommender: FakeRecommender | None = None
    ) -> None:
        self.record = MemoryRecord()
        self.models = recommender or FakeRecommender(ITEMS, MODELS)
        self.use(configuration(parameters or {"recall.model": "mf@2"}))

    def use(self, wanted: Configuration, *, deadline_seconds: float = 0.2) -> None:
        ids = (f"request-{number}" for number in itertools.count(1))
        self.recommending = Recommending(
            snapshots=Held(compile_snapshot(wanted)),
            recommender=self.models,
            journal=self.record,
            clock=FakeClock(),
            new_id=lambda: next(ids),
            deadline_seconds=deadline_seconds,
        )

    def __call__(self, unit: str = "ann", **wanted: object) -> Answer:
        return self.recommending.recommend(unit, {}, **wanted)  # type: ignore[arg-type]

    def slates(self) -> list[Slate]:
        return [slate for batch in self.record.inbox for slate in decode(batch)[0] if isinstance(slate, Slate)]


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
    recalled = bench.models.recall("mf@2", "ann", count=12, exclude=frozenset())
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
        def rank(self, model: str, unit: str, items: Sequence[str]) -> Scored:
            raise ModelFailed(f"{model} ranks neither for {unit} nor the {len(items)} items")

        def recall(self, model: str, unit: str, *, count: int, exclude: frozenset[str]) -> Scored:
            chosen = [item for item in ITEMS if item not in exclude][:count]
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

    def recall(self, model: str, unit: str, *, count: int, exclude: frozenset[str]) -> Scored:
        if model.startswith("mf"):
            self.loaded.wait(10)
        return super().recall(model, unit, count=count, exclude=exclude)


def test_a_model_that_is_late_is_stood_in_for_and_serves_once_it_is_there() -> None:
    models = Loading(["mf@2", "popularity@1"])
    bench = Bench(recommender=models)
    bench.use(configuration({"recall.model": "mf@2"}), deadline_seconds=0.02)
    answer = bench()
    assert (answer.models, answer.fallbacks) == ({"recall": "popularity@1"}, {"recall": "late"})
    models.loaded.set()
    assert bench().models == {"recall": "mf@2"}


def test_a_late_model_without_a_stand_in_is_waited_for_ten_deadlines_and_no_longer() -> None:
    models = Loading(["mf@2"])
    bench = Bench(recommender=models)
    bench.use(configuration({"recall.model": "mf@2"}), deadline_seconds=0.02)
    with pytest.raises(Unavailable, match=r"'mf@2' did not answer within 0\.2 s"):
        bench()
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
        recommender=FakeRecommender(ITEMS, MODELS),
        journal=MemoryRecord(),
        clock=FakeClock(),
        new_id=lambda: "one",
        deadline_seconds=0.2,
        observer=told,
    ).recommend("ann", {})
    assert told.stages == ["recall", "rank", "rerank"]
