"""Which model recalls where no parameter names one."""

from collections.abc import Sequence

import pytest

from lamella.errors import ModelFailed, StoreUnavailable
from lamella.services.model_ports import NOBODY, ModelVersion, Reader, Recall, Scored
from lamella.testing.recommender import FakeRecommender
from recommending_bench import ITEMS, MODELS, Bench


@pytest.mark.parametrize(
    ("models", "usual"),
    [(["newest@1"], "newest@1"), (["cnn@3", "newest@1"], "cnn@3"), (MODELS, "popularity@1")],
)
def test_where_no_model_is_named_the_usual_one_answers_and_nothing_fell_back(models: list[str], usual: str) -> None:
    answer = Bench({"slate.size": 3}, FakeRecommender(ITEMS, models))()
    assert (answer.models, answer.fallbacks) == ({"recall": usual}, {})


def test_a_first_model_that_the_list_in_memory_does_not_have_yet_is_no_fallback_either() -> None:
    class Behind(FakeRecommender):
        """Knows the new version once something was missing."""

        is_behind = True

        def versions(self) -> Sequence[ModelVersion]:
            return () if self.is_behind else super().versions()

        def recall(self, model: str, unit: str, wanted: Recall, reader: Reader = NOBODY) -> Scored:
            self.is_behind = False
            return super().recall(model, unit, wanted, reader)

    bench = Bench({"slate.size": 3}, Behind(ITEMS, ["newest@1"]))
    assert (bench().models, bench.slates()[0].fallbacks) == ({"recall": "newest@1"}, {})


def test_a_usual_model_that_fails_is_stood_in_for_and_the_slate_says_so() -> None:
    failing: dict[str, Exception] = {"popularity@1": ModelFailed("x")}
    answer = Bench({"slate.size": 3}, FakeRecommender(ITEMS, MODELS, failing=failing))()
    assert (answer.models, answer.fallbacks) == ({"recall": "mf@2"}, {"recall": "failed"})


def test_who_names_a_model_that_is_missing_hears_of_it_though_the_usual_one_answers() -> None:
    answer = Bench({"recall.model": "popularity"}, FakeRecommender(ITEMS, ["newest@1"]))()
    assert (answer.models, answer.fallbacks) == ({"recall": "newest@1"}, {"recall": "missing"})


def test_where_no_model_is_named_and_the_list_cannot_be_read_popularity_is_asked() -> None:
    class Away(FakeRecommender):
        def versions(self) -> Sequence[ModelVersion]:
            raise StoreUnavailable("the store is away")

    assert Bench({"slate.size": 3}, Away(ITEMS, ["popularity"]))().models == {"recall": "popularity"}
