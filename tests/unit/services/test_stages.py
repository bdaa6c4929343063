"""What the parameters ask of the stages, blending, and who stands in for whom."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lamella.services.model_ports import ModelVersion, Scored
from lamella.services.stage_values import DEFAULTS, parameter_fault
from lamella.services.stages import StageReader, blend, read_stages, stand_ins, usual_model
from lamella.services.staging import Stage

DAY = datetime(2026, 3, 2, tzinfo=UTC)
RECALLED = Scored(items=["a", "b", "c"], scores=[0.9, 0.5, 0.2], source="recall:mf@1")
RANKED = Scored(items=["c", "b", "a"], scores=[0.8, 0.4, 0.1], source="rank:cnn@2")


def version(name: str, number: int, *, hours: int, kind: str | None = None) -> ModelVersion:
    return ModelVersion(
        name=name,
        number=number,
        kind=kind or name,
        created_at=DAY + timedelta(hours=hours),
        digest="",
        size_bytes=0,
        hyperparameters={},
        metrics={},
        stamp={},
    )


def test_where_no_layer_owns_anything_the_defaults_hold() -> None:
    stages = read_stages({}, k=None)
    assert (stages.recall_model, stages.recall.count, stages.rank_model) == ("", 300, "")
    assert (stages.slate_size, stages.composition, stages.unusable) == (10, None, ())


@pytest.mark.parametrize("value", ["rerank.diversity", "rerank.freshness", "explore.epsilon", "explore.temperature"])
def test_what_changes_the_order_of_the_slate_asks_for_a_composition(value: str) -> None:
    stages = read_stages({value: 0.5, "slate.size": 7, "rerank.half_life_hours": 6}, k=None)
    given = {name: getattr(stages.composition, name) for name in ("diversity", "freshness", "epsilon", "temperature")}
    asked = {name: 0.5 for name in given if value.endswith(name)}
    assert given == dict.fromkeys(given, 0.0) | asked
    assert stages.composition is not None
    assert (stages.composition.count, stages.composition.half_life_hours) == (7, 6.0)


@pytest.mark.parametrize(
    ("parameters", "k", "size"), [({}, None, 10), ({}, 25, 25), ({"slate.size": 8}, 25, 8), ({"slate.size": 8}, 3, 3)]
)
def test_the_slate_has_what_its_layer_says_and_at_most_what_the_caller_wants(
    parameters: dict[str, int], k: int | None, size: int
) -> None:
    assert read_stages(parameters, k=k).slate_size == size


def test_a_reader_reads_like_the_first_time_and_keeps_like_from_alike() -> None:
    reader = StageReader()
    alike = (1, True, 1.0, "1", None, {"==": [1, 1]}, {"==": [1, 1.0]}, [1], 0, False)
    combinations = [{key: value} for key in DEFAULTS for value in alike] + [{}]
    for _ in range(2):
        for parameters in combinations:
            for k in (None, 1, 12):
                assert repr(reader.read(parameters, k=k)) == repr(read_stages(parameters, k=k))


def test_a_reader_takes_no_value_for_one_that_is_gone() -> None:
    reader = StageReader()
    for number in range(3_000):
        assert reader.read({"recall.count": 1_000 + number}, k=None).recall.count == 1_000 + number


def test_recall_brings_at_least_what_the_slate_needs() -> None:
    assert read_stages({"recall.count": 5, "slate.size": 20}, k=None).recall.count == 20


def test_a_rank_weight_of_0_asks_no_ranker() -> None:
    assert read_stages({"rank.model": "mf", "rank.weight": 0}, k=None).rank_model == ""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("recall.model", ""),
        ("recall.model", 3),
        ("recall.count", 0),
        ("recall.count", 2.5),
        ("rank.model", None),
        ("rank.model", "mfr@"),
        ("rank.model", "@1"),
        ("rank.model", "mfr@1 "),
        ("rank.model", "mfr@1\n"),
        ("rank.model", "mfr@01"),
        ("rank.model", "mfr@0"),
        ("rank.model", "mfr@1@2"),
        ("recall.model", "MFR@1"),
        ("recall.model", "../up"),
        ("recall.model", "m" * 65),
        ("rank.weight", 1.5),
        ("rank.weight", math.nan),
        ("rerank.diversity", True),
        ("slate.size", 101),
    ],
)
def test_an_unusable_value_is_named_and_its_default_holds(key: str, value: object) -> None:
    assert key in str(parameter_fault(key, value))  # type: ignore[arg-type]
    stages = read_stages({key: value}, k=None)  # type: ignore[dict-item]
    assert stages == read_stages({}, k=None).__class__(
        **{name: getattr(read_stages({}, k=None), name) for name in stages.__dataclass_fields__ if name != "unusable"},
        unusable=(key,),
    )


def test_no_name_for_recall_is_nothing_that_an_experiment_could_compare() -> None:
    assert "is not the name of a model" in str(parameter_fault("recall.model", ""))


@pytest.mark.parametrize("value", ["mf", "mf@3", "7-days_old@120", "m" * 64])
def test_a_name_and_a_version_of_it_are_usable(value: str) -> None:
    assert [parameter_fault(key, value) for key in ("recall.model", "rank.model")] == [None, None]


def test_every_other_default_is_usable_and_other_parameters_are_none_of_our_business() -> None:
    usable = {key: value for key, value in DEFAULTS.items() if key != "recall.model"}
    assert [parameter_fault(key, value) for key, value in usable.items()] == [None] * len(usable)
    assert parameter_fault("banner.colour", "red") is None


def test_an_empty_filter_lets_every_item_in() -> None:
    stages = read_stages({"recall.filter": {}}, k=None)
    assert (stages.recall.rule, stages.unusable) == (None, ())


def test_a_weight_of_1_is_the_ranker_itself() -> None:
    assert blend(RECALLED, RANKED, 1.0) is RANKED


def test_a_weight_of_0_is_the_order_of_recall_and_minus_1_the_rankers_reversed() -> None:
    assert blend(RECALLED, RANKED, 0.0).items == ["a", "b", "c"]
    assert blend(RECALLED, RANKED, -1.0).items == ["a", "b", "c"]
    assert blend(RECALLED, Scored(items=["b", "a", "c"], scores=[0.8, 0.4, 0.1], source="rank:x@1"), -1.0).items == [
        "c",
        "a",
        "b",
    ]


def test_in_between_it_is_the_convex_blend_of_standardised_logits() -> None:
    def z(scores: list[float]) -> list[float]:
        logits = [math.log(score / (1 - score)) for score in scores]
        mean = sum(logits) / 3
        deviation = math.sqrt(sum((each - mean) ** 2 for each in logits) / 3)
        return [(each - mean) / deviation for each in logits]

    recall, rank = z([0.9, 0.5, 0.2]), z([0.1, 0.4, 0.8])
    wanted = {item: 0.7 * r + 0.3 * s for item, r, s in zip("abc", recall, rank, strict=True)}
    found = blend(RECALLED, RANKED, 0.3)
    assert found.items == sorted(wanted, key=lambda item: -wanted[item])
    assert found.scores == pytest.approx([1 / (1 + math.exp(-wanted[item])) for item in found.items])
    assert found.source == "rank:cnn@2"


def test_scores_that_are_all_equal_say_nothing() -> None:
    flat = Scored(items=["c", "a", "b"], scores=[0.5] * 3, source="rank:x@1")
    assert blend(RECALLED, flat, 0.5).items == ["a", "b", "c"]


VERSIONS = [
    version("cnn", 1, hours=9),
    version("mf", 3, hours=8),
    version("popular", 2, hours=7, kind="popularity"),
    version("mf", 2, hours=6),
    version("popular", 1, hours=5, kind="popularity"),
    version("mf", 1, hours=4),
]


@pytest.mark.parametrize(
    ("wanted", "order"),
    [
        ("mf", ["mf@2", "popular@2", "cnn@1"]),
        ("mf@3", ["mf@2", "popular@2", "cnn@1"]),
        ("mf@1", ["mf@3", "popular@2", "cnn@1"]),
        ("unheard-of", ["popular@2", "cnn@1"]),
        ("popular", ["popular@1", "cnn@1"]),
    ],
)
def test_the_same_name_stands_in_first_then_popularity_then_anybody(wanted: str, order: list[str]) -> None:
    assert stand_ins(wanted, VERSIONS) == order


def test_where_none_is_named_popularity_recalls_and_else_the_newest_live_version() -> None:
    newest, retired = version("newest", 1, hours=3), replace(version("cnn", 2, hours=9), stage=Stage.RETIRED)
    mf, own = version("mf", 1, hours=4), version("popular", 1, hours=2, kind="popularity")
    assert usual_model([]) == usual_model([retired]) == "popularity"
    assert usual_model([retired, newest]) == "newest"
    assert usual_model([retired, mf, newest]) == "mf"
    assert usual_model([retired, mf, newest, own]) == "popular"
    assert usual_model([mf, newest, own, version("popularity", 1, hours=1)]) == "popularity"


def test_the_only_version_has_no_stand_in() -> None:
    assert stand_ins("mf", [version("mf", 1, hours=1)]) == []
