from dataclasses import replace
from datetime import timedelta

import pytest

from lamella.errors import BrokerUnavailable, ConfigurationMoved, Conflict, NotFound
from lamella.experiments.model import Configuration, Layer
from lamella.services.model_ports import ModelVersion, Recall, TrainingRun
from lamella.testing.configurations import MemoryConfigurationStore
from lamella.testing.fakes import START, FakeClock, MemoryModelCatalogue, MemoryTaskQueue, MemoryTrainingRuns
from lamella.testing.recommender import FakeRecommender


def version(name: str, number: int) -> ModelVersion:
    return ModelVersion(
        name=name,
        number=number,
        kind="mf",
        created_at=START + timedelta(hours=number),
        digest="0" * 64,
        size_bytes=1,
        hyperparameters={},
        metrics={},
        stamp={},
    )


def test_a_clock_stands_until_it_is_moved():
    clock = FakeClock()
    assert clock.now() == clock.now() == START
    clock.move(timedelta(days=1))
    assert clock.now() == START + timedelta(days=1)


def test_a_commit_from_an_old_version_changes_nothing():
    store = MemoryConfigurationStore()
    layer = Layer(key="ranking", salt="ranking")
    store.commit(replace(Configuration(), layers=(layer,)), author="ann", action="add", at=START)
    with pytest.raises(ConfigurationMoved):
        store.commit(Configuration(), author="bob", action="drop", at=START)
    assert store.load().layers == (layer,)
    assert len(store.revisions()) == 1


def test_a_revision_is_written_for_each_thing_that_differs():
    store = MemoryConfigurationStore()
    first = store.commit(
        replace(Configuration(), layers=(Layer(key="a", salt="a"), Layer(key="b", salt="b"))),
        author="ann",
        action="add",
        at=START,
    )
    changed = (replace(first.layers[0], description="now described"), first.layers[1])
    store.commit(replace(first, layers=changed, killed=True), author="bob", action="describe", at=START)
    newest = store.revisions()
    assert [(each.version, each.kind, each.key) for each in newest[:2]] == [
        (2, "layer", "a"),
        (2, "configuration", "killed"),
    ]
    assert newest[2].before is None
    assert [each.key for each in store.revisions(kind="layer", key="b")] == ["b"]


def test_a_fake_model_answers_the_same_and_bounded_scores_best_first():
    recommender = FakeRecommender([f"item-{i}" for i in range(50)], ["mf@1"])
    scored = recommender.recall("mf@1", "ann", Recall(count=10, exclude=frozenset({"item-1"})))
    again = recommender.recall("mf@1", "ann", Recall(count=10, exclude=frozenset({"item-1"})))
    assert scored == again
    assert list(scored.scores) == sorted(scored.scores, reverse=True)
    assert all(0 <= score < 1 for score in scored.scores)
    assert "item-1" not in scored.items


def test_an_unknown_model_is_not_found():
    with pytest.raises(NotFound, match="'mf@2'"):
        FakeRecommender(["a"], ["mf@1"]).rank("mf@2", "ann", ["a"])


def test_a_name_alone_finds_its_newest_version():
    catalogue = MemoryModelCatalogue([version("mf", 1), version("mf", 2), version("pop", 1)])
    assert catalogue.next_number("mf") == 3
    newest = catalogue.find("mf")
    assert newest is not None
    assert newest.reference == "mf@2"
    assert catalogue.find("cnn") is None
    with pytest.raises(Conflict):
        catalogue.add(version("mf", 2))


def test_training_runs_come_newest_first():
    runs = MemoryTrainingRuns()
    for i in range(3):
        runs.put(
            TrainingRun(
                id=str(i),
                kind="mf",
                name="mf",
                hyperparameters={},
                seed=0,
                status="queued",
                progress=0.0,
                message="",
                requested_at=START + timedelta(minutes=i),
                requested_by="ann",
            )
        )
    assert [run.id for run in runs.all(limit=2)] == ["2", "1"]


def test_a_queue_that_is_down_remembers_nothing():
    queue = MemoryTaskQueue()
    queue.analyse("exp")
    queue.down = True
    with pytest.raises(BrokerUnavailable):
        queue.train("1")
    assert queue.asked == [("analyse", "exp")]
