"""The laws of every model kind. A new kind's test inherits KindLaws and names its kind."""

import functools
import importlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from lamella.errors import InvalidInput, ModelCorrupt, TrainingFault
from lamella.recommenders.artifact import COLD_QUANTILE, FactorModel, pack, unpack
from lamella.recommenders.dataset import Dataset, build
from lamella.recommenders.evaluation import evaluate
from lamella.recommenders.kind import Fitted
from lamella.recommenders.kinds import KINDS
from lamella.services.model_ports import Item, Reader, TrainingLog

USERS, ITEMS, SLATES, SHOWN = 80, 60, 2_400, 10
GOOD, BAD = ("amazing", "secret", "wonderful"), ("dull", "boring", "grey")
TOPICS = ("cats", "votes")
NEW_GOOD, NEW_BAD = "new-good", "new-bad"
DAY = datetime(2026, 3, 2, tzinfo=UTC)


class Planted:
    """Items whose words decide their appeal and topic, users who like one topic, and a log with position bias.

    Items with an even number in their group of four are mostly shown on top, the others mostly at the bottom.
    """

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        number = np.arange(ITEMS)
        self.is_good, self.topic, self.is_on_top = number % 2 == 0, number // 2 % 2, number // 4 % 2 == 0
        self.taste = np.arange(USERS) % 2
        self.keys = [f"item-{each:02d}" for each in number]
        plan = zip(self.is_good.tolist(), self.topic.tolist(), strict=True)
        titles = [self._title(good=good, topic=topic, rng=rng) for good, topic in plan]
        new = [
            (NEW_GOOD, self._title(good=True, topic=0, rng=rng)),
            (NEW_BAD, self._title(good=False, topic=0, rng=rng)),
        ]
        self.items = [
            Item(key=key, title=title, published_at=DAY, attributes={})
            for key, title in [*zip(self.keys, titles, strict=True), *new]
        ]
        self.log = self._log(rng)

    def _title(self, *, good: bool, topic: int, rng: np.random.Generator) -> str:
        words = [*rng.choice(GOOD if good else BAD, 2, replace=False), TOPICS[topic], f"filler{rng.integers(9)}"]
        return " ".join(str(word) for word in rng.permutation(words))

    def _log(self, rng: np.random.Generator) -> TrainingLog:
        units, items, ranks, clicked = [], [], [], []
        for _ in range(SLATES):
            user = int(rng.integers(USERS))
            shown = rng.choice(ITEMS, SHOWN, replace=False)
            shown = shown[np.argsort(rng.random(SHOWN) * 1.5 - self.is_on_top[shown])]
            chance = self.chance(user, shown) / np.sqrt(np.arange(1, SHOWN + 1))
            units += [f"user-{user:02d}"] * SHOWN
            items += [self.keys[item] for item in shown]
            ranks += list(range(1, SHOWN + 1))
            clicked += (rng.random(SHOWN) < chance).tolist()
        known = {
            f"user-{user:02d}": {"interests": [TOPICS[self.taste[user]]], "age": 20 + user % 40}
            for user in range(USERS)
        }
        return TrainingLog(units=units, items=items, ranks=ranks, clicked=clicked, since=DAY, until=DAY, contexts=known)

    def chance(self, user: int, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """The true chance of a click at the first rank."""
        appeal = np.where(self.is_good[items], 0.45, 0.12)
        return appeal * np.where(self.topic[items] == self.taste[user], 1.5, 0.5)


@functools.cache
def planted() -> Planted:
    return Planted()


@functools.cache
def planted_dataset() -> Dataset:
    return build(planted().log, planted().items)


class Trained(NamedTuple):
    """A fitted model and the progress that was told meanwhile."""

    fitted: Fitted
    told: list[tuple[float, str]]


def train(kind: str, hyperparameters: Mapping[str, float]) -> Trained:
    told: list[tuple[float, str]] = []
    fitted = KINDS[kind].train(
        planted_dataset(), hyperparameters, seed=3, progress=lambda share, line: told.append((share, line))
    )
    return Trained(fitted, told)


@functools.cache
def trained_once(kind: str, hyperparameters: tuple[tuple[str, float], ...]) -> Trained:
    return train(kind, dict(hyperparameters))


class KindLaws:
    """What holds for every kind; `hyperparameters` make it train in seconds."""

    kind: ClassVar[str]
    hyperparameters: ClassVar[Mapping[str, float]] = {}
    stranger_is_the_mean: ClassVar[bool] = True

    @pytest.fixture
    def fitted(self) -> Fitted:
        return trained_once(self.kind, tuple(self.hyperparameters.items())).fitted

    @pytest.fixture
    def factors(self, fitted: Fitted) -> FactorModel:
        return fitted.factors

    def test_it_learns_which_items_appeal_to_the_average_reader(self, factors: FactorModel) -> None:
        world = planted()
        scores = factors.score("a stranger", world.keys)
        assert scores[world.is_good].min() > scores[~world.is_good].max()

    def test_it_learns_appeal_and_not_the_position_where_items_were_shown(self, factors: FactorModel) -> None:
        world = planted()
        scores = factors.score("a stranger", world.keys)
        on_top, below = scores[world.is_good & world.is_on_top].mean(), scores[world.is_good & ~world.is_on_top].mean()
        assert 0.8 < on_top / below < 1.25

    def test_its_scores_are_near_the_true_chances_at_the_first_rank(self, factors: FactorModel) -> None:
        world = planted()
        assert abs(factors.score("a stranger", world.keys)[world.is_good].mean() - 0.45) < 0.1

    def test_it_predicts_held_out_clicks_better_than_the_click_rate_does(self, factors: FactorModel) -> None:
        metrics = evaluate(factors, factors, planted_dataset(), seed=0)
        assert metrics["log_loss"] < metrics["constant_log_loss"]
        assert metrics["auc"] > 0.6

    def test_the_same_seed_and_data_give_the_same_model(self, factors: FactorModel) -> None:
        assert pack(train(self.kind, self.hyperparameters).fitted.factors) == pack(factors)

    def test_an_unknown_user_is_the_average_reader(self, factors: FactorModel) -> None:
        world = planted()
        average = np.mean([factors.logits_of(user, world.keys) for user in factors.user_ids or ["anybody"]], axis=0)
        logits = factors.logits_of("a stranger", world.keys)
        if self.stranger_is_the_mean:
            assert logits == pytest.approx(average, abs=1e-3)
        else:
            assert np.corrcoef(logits, average)[0, 1] > 0.97
            assert abs(float(np.mean(logits - average))) < 0.3

    def test_an_unknown_item_scores_like_the_quarter_point_of_the_known_ones(self, factors: FactorModel) -> None:
        (score,) = factors.score("a stranger", ["never heard of"])
        share_below = float((factors.score("a stranger", planted().keys) < score).mean())
        assert share_below == pytest.approx(COLD_QUANTILE, abs=0.05)

    def test_an_item_of_the_catalogue_that_nobody_was_shown_has_a_defined_score(self, factors: FactorModel) -> None:
        assert {NEW_GOOD, NEW_BAD} <= factors.item_rows.keys()
        assert np.isfinite(factors.score("user-01", [NEW_GOOD, NEW_BAD])).all()

    def test_every_score_is_finite_and_a_chance(self, factors: FactorModel) -> None:
        assert not factors.faults()
        for user in ("a stranger", *factors.user_ids):
            scores = factors.score(user, [*factors.item_ids, "never heard of"])
            assert ((scores > 0) & (scores < 1)).all()

    def test_the_matrices_say_what_the_network_says(self, fitted: Fitted) -> None:
        assert fitted.probe_error < 1e-5

    def test_packed_and_unpacked_it_scores_the_same(self, factors: FactorModel) -> None:
        again = unpack(pack(factors), source="test")
        for user in ("a stranger", "user-00"):
            for reader in (Reader(), Reader(attributes={"interests": ["cats"]}), Reader(history=planted().keys[:3])):
                assert (again.logits(user, reader) == factors.logits(user, reader)).all()
        assert again.item_ids == factors.item_ids
        assert again.unknown_item_bias == factors.unknown_item_bias

    def test_a_truncated_artifact_is_corrupt(self, factors: FactorModel) -> None:
        packed = pack(factors)
        with pytest.raises(ModelCorrupt, match="mf@1"):
            unpack(packed[: len(packed) // 2], source="mf@1")

    def test_progress_rises_and_says_something_each_time(self) -> None:
        told = trained_once(self.kind, tuple(self.hyperparameters.items())).told
        shares = [share for share, _ in told]
        assert shares == sorted(shares)
        assert 0 <= shares[0] <= shares[-1] <= 1
        assert all(line for _, line in told)

    def test_every_bad_hyperparameter_is_named_in_one_refusal(self) -> None:
        name = next(iter(KINDS[self.kind].complete({})))
        with pytest.raises(InvalidInput) as refusal:
            KINDS[self.kind].complete({name: -1, "momentum": 3})
        assert len(refusal.value.faults) == 2
        assert f"{name}=-1" in str(refusal.value)
        assert "'momentum'" in str(refusal.value)

    def test_a_log_without_a_click_teaches_nothing(self) -> None:
        log = planted().log
        silent = TrainingLog(
            units=log.units, items=log.items, ranks=log.ranks, clicked=[False] * len(log.units), since=DAY, until=DAY
        )
        with pytest.raises(TrainingFault, match="0 of"):
            build(silent, planted().items)


class PersonalKindLaws(KindLaws):
    """What holds beside that for a kind that scores differently for each user."""

    user_table: ClassVar[str] = "user_bias"

    def test_it_learns_whose_taste_is_what(self, factors: FactorModel) -> None:
        world = planted()
        is_liked = [
            factors.score(f"user-{user:02d}", world.keys)[world.is_good & (world.topic == world.taste[user])].mean()
            > factors.score(f"user-{user:02d}", world.keys)[world.is_good & (world.topic != world.taste[user])].mean()
            for user in range(USERS)
        ]
        assert np.mean(is_liked) > 0.85

    def test_the_saved_network_opens_without_our_code_and_has_the_same_users(
        self, fitted: Fitted, tmp_path: Path
    ) -> None:
        path = tmp_path / "model.keras"
        path.write_bytes(fitted.files["model.keras"])
        keras = importlib.import_module("keras")
        network = keras.models.load_model(path, safe_mode=True)
        rows = next(each.shape[0] for each in network.weights if self.user_table in each.path)
        assert rows - len(planted_dataset().users) in (0, 1)


class HistoryKindLaws(PersonalKindLaws):
    """What holds beside that for a kind that reads a user's history."""

    stranger_is_the_mean: ClassVar[bool] = False

    def test_a_stranger_is_known_by_what_was_read(self, factors: FactorModel) -> None:
        world = planted()
        for topic in (0, 1):
            liked = [key for key, its_topic in zip(world.keys, world.topic, strict=True) if its_topic == topic]
            scores = factors.score("a stranger", world.keys, Reader(history=liked[:6]))
            assert scores[world.topic == topic].mean() > 1.3 * scores[world.topic != topic].mean()

    def test_reads_of_unknown_items_leave_the_stranger_a_stranger(self, factors: FactorModel) -> None:
        read = factors.logits("a stranger", Reader(history=["never heard of", NEW_GOOD]))
        assert (read == factors.logits("a stranger")).all()

    def test_only_the_last_reads_count(self, factors: FactorModel) -> None:
        last = planted().keys[:8]
        assert (
            factors.logits("a stranger", Reader(history=[*planted().keys[20:40], *last]))
            == factors.logits("a stranger", Reader(history=last))
        ).all()


class SidedKindLaws(PersonalKindLaws):
    """What holds beside that for a kind with attributes of users and items."""

    stranger_is_the_mean: ClassVar[bool] = False

    def test_a_stranger_is_placed_by_attributes(self, factors: FactorModel) -> None:
        world = planted()
        for topic, interest in enumerate(TOPICS):
            scores = factors.score("a stranger", world.keys, Reader(attributes={"interests": [interest], "age": 33}))
            assert scores[world.topic == topic].mean() > 1.3 * scores[world.topic != topic].mean()

    def test_attributes_that_it_never_saw_leave_the_stranger_a_stranger(self, factors: FactorModel) -> None:
        odd = Reader(attributes={"interests": ["chess"], "age": "old", "shoe": 44})
        assert factors.logits("a stranger", odd) == pytest.approx(factors.logits("a stranger"), abs=1e-5)

    def test_a_new_item_is_placed_by_its_title(self, factors: FactorModel) -> None:
        good, bad = factors.score("a stranger", [NEW_GOOD, NEW_BAD])
        assert good > 1.3 * bad
