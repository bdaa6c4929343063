"""Which lists are made in a thread where others wait: those for which nothing has to be waited for."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

from lamella.errors import InvalidInput
from lamella.events.codec import decode
from lamella.experiments.model import Configuration, Json, Layer, Parameter, ParameterType
from lamella.experiments.snapshot import Snapshot, compile_snapshot
from lamella.services.canaries import Canaries
from lamella.services.cascade import Cascade, Models
from lamella.services.guarding import PROOFS
from lamella.services.histories import Histories
from lamella.services.recommending import Found, Recommending, Wish
from lamella.testing.fakes import FakeClock
from lamella.testing.recommender import FakeRecommender
from lamella.testing.record import MemoryRecord

ITEMS = [f"i{each:02d}" for each in range(40)]
Maker = Callable[..., "Bench"]
TYPES: Mapping[type, ParameterType] = {
    bool: ParameterType.BOOLEAN,
    str: ParameterType.STRING,
    int: ParameterType.INTEGER,
    float: ParameterType.FLOAT,
    dict: ParameterType.OBJECT,
}
ANN = Wish(unit="ann", context={})


class Published(FakeRecommender):
    """Models in memory, whose list may be old."""

    is_old = False

    def is_current(self) -> bool:
        return not self.is_old


class Bench:
    """A Recommending over fakes whose models have proved themselves."""

    def __init__(self, parameters: Mapping[str, Json]) -> None:
        self.models = Published(ITEMS, ["mf@1", "gru@1", "popularity@1"])
        self.record, self.asked = MemoryRecord(), 0
        owned = tuple(
            Parameter(key=key, type=TYPES[type(value)], default=value, layer="recall")
            for key, value in parameters.items()
        )
        layers = (Layer(key="recall", salt="a"),)
        self.snapshot = compile_snapshot(Configuration(version=1, layers=layers, parameters=owned))
        self.recommending = Recommending(
            snapshots=self,
            cascade=Cascade(self.models, deadline_seconds=30.0),
            journal=self.record,
            clock=FakeClock(),
            new_id=lambda: "request-1",
            histories=Histories(self),
        )

    def current(self) -> Snapshot:
        return self.snapshot

    def last_reads(self, unit: str, *, limit: int) -> Sequence[str]:  # noqa: ARG002 - the port has it
        self.asked += 1
        return ()

    def proved(self) -> "Bench":
        for _ in range(PROOFS):
            self.recommending.recommend(ANN)
        return self

    def found(self, wish: Wish) -> Found | None:
        plan = self.recommending.planned_at_once(wish)
        return None if plan is None else self.recommending.found_at_once(plan)

    def is_at_once(self, wish: Wish = ANN) -> bool:
        return self.found(wish) is not None


@pytest.fixture
def make() -> Iterator[Maker]:
    made: list[Bench] = []

    def make(**parameters: Json) -> Bench:
        named = {key.replace("_", ".", 1): value for key, value in parameters.items()}
        made.append(Bench({"recall.model": "mf@1", **named}))
        return made[-1]

    yield make
    for each in made:
        each.recommending.close()


def test_a_list_of_models_that_have_proved_themselves_is_made_and_recorded_by_the_caller(
    make: Maker,
) -> None:
    bench = make(rank_model="popularity@1", slate_size=3)
    assert not bench.is_at_once()
    bench.proved()
    waiting = len(bench.record.inbox)
    made = bench.recommending.made(bench.found(ANN))
    assert len(bench.record.inbox) == waiting
    (slate,), _ = decode(made.batch())
    answer = bench.recommending.answer(made)
    wanted = bench.recommending.recommend(ANN)
    assert answer == wanted
    assert [each.item for each in slate.impressions] == [each.item for each in wanted.items]


@pytest.mark.parametrize(
    "parameters",
    [
        {"recall_unread": True},
        {"rank_model": "gru@1"},
        {"recall_filter": {"==": [{"var": "item"}, "i01"]}},
        {"rerank_freshness": 0.5},
    ],
    ids=["unread", "history", "rule", "freshness"],
)
def test_what_asks_the_store_or_looks_at_every_item_waits_elsewhere(
    make: Maker, parameters: Mapping[str, Json]
) -> None:
    bench = make(**parameters).proved()
    asked = bench.asked
    assert not bench.is_at_once()
    assert bench.asked == asked


@pytest.mark.parametrize("parameters", [{"rerank_diversity": 0.5}, {"explore_epsilon": 0.5}, {"recall_filter": {}}])
def test_what_only_reckons_does_not(make: Maker, parameters: Mapping[str, Json]) -> None:
    assert make(**parameters).proved().is_at_once()


def test_a_preview_waits_elsewhere(make: Maker) -> None:
    assert not make().proved().is_at_once(ANN._replace(preview="token"))


def test_a_list_of_models_that_has_to_be_read_anew_is_waited_for_elsewhere(make: Maker) -> None:
    bench = make().proved()
    assert bench.is_at_once()
    bench.models.is_old = True
    assert not bench.is_at_once()


def test_variants_that_units_keep_are_asked_for_elsewhere(make: Maker) -> None:
    bench = make().proved()
    bench.snapshot.keeping = frozenset({1})
    assert not bench.is_at_once()


def test_a_long_catalogue_is_looked_through_elsewhere(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make().proved()
    monkeypatch.setattr(bench.models, "is_light", lambda model: model != "mf@1")
    assert not bench.is_at_once()


@pytest.mark.parametrize(
    ("parameters", "is_light"),
    [
        ({"recall_count": 1_000}, True),
        ({"recall_count": 1_001}, False),
        ({"recall_count": 1_000, "slate_size": 20, "rerank_diversity": 0.5}, True),
        ({"recall_count": 1_000, "slate_size": 21, "rerank_diversity": 0.5}, False),
        ({"recall_count": 1_000, "slate_size": 21}, True),
    ],
)
def test_much_work_is_done_elsewhere(make: Maker, parameters: dict[str, Json], is_light: bool) -> None:
    assert make(**parameters).proved().is_at_once() == is_light


class Counting(Canaries):
    """Counts what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, str]] = []

    def answered(self, reference: str, seconds: float) -> None:  # noqa: ARG002 - as its parent's
        self.told.append(("answered", reference))

    def failed(self, reference: str) -> None:
        self.told.append(("failed", reference))


@pytest.mark.parametrize("stage", ["recall", "rank", "compose"])
def test_a_model_that_fails_is_stood_in_for_elsewhere_and_counted_there(
    make: Maker, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    bench = make(rank_model="popularity@1", rerank_diversity=0.5).proved()
    counting = Counting()
    monkeypatch.setattr(bench.recommending._cascade, "_canaries", counting)
    monkeypatch.setattr(bench.models, stage, lambda *_: 1 / 0)
    assert not bench.is_at_once()
    assert "failed" not in dict(counting.told)
    assert not bench.recommending._cascade.is_prompt(Models("mf@1", "popularity@1")), "it has to prove itself anew"


def test_a_bad_wish_is_refused_at_once(make: Maker) -> None:
    with pytest.raises(InvalidInput):
        make().proved().recommending.planned_at_once(Wish(unit="", context={}))
