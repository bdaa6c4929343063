from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lamella.errors import Conflict, NotFound
from lamella.services.model_ports import Item, ModelVersion, TrainingRun

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
ITEM = Item(
    key="item-1", title="You won’t believe it – 标题", published_at=AT, attributes={"topic": "politics", "n": 1}
)
VERSION = ModelVersion(
    name="mf",
    number=1,
    kind="mf",
    created_at=AT,
    digest="ab" * 32,
    size_bytes=5_000_000_000,
    hyperparameters={"embedding_size": 50, "reg": 2e-5},
    metrics={"auc": 0.71},
    stamp={"rows": 1000, "seed": 7},
)
RUN = TrainingRun(
    id="run-1",
    kind="mf",
    name="mf",
    hyperparameters={"epochs": 3},
    seed=7,
    status="queued",
    progress=0.0,
    message="",
    requested_at=AT,
    requested_by="ann",
)


def test_items_are_replaced_by_key_and_come_by_key(stores):
    other = replace(ITEM, key="item-0", attributes={})
    assert stores.catalogue.put([]) == 0
    assert stores.catalogue.put([ITEM, other]) == 2
    assert stores.catalogue.put([replace(ITEM, title="new")]) == 1
    assert stores.catalogue.all() == [other, replace(ITEM, title="new")]


def test_items_are_found_by_key_however_many_are_asked_for(stores):
    stores.catalogue.put([replace(ITEM, key=f"item-{number}") for number in range(700)])
    asked = [f"item-{number}" for number in range(699, 900)] + [f"item-{number}" for number in range(550)]
    assert {each.key for each in stores.catalogue.find(asked)} == {f"item-{number}" for number in (699, *range(550))}
    assert stores.catalogue.find([]) == []


def test_a_version_is_found_by_its_reference_and_the_newest_by_its_name(stores):
    second = replace(VERSION, number=2, created_at=AT + timedelta(days=1))
    stores.models.add(VERSION)
    stores.models.add(second)
    retired = replace(VERSION, stage="retired")
    assert stores.models.find("mf@1") == retired
    assert stores.models.find("mf") == second
    assert stores.models.all() == [second, retired]


def test_a_name_means_its_live_version_and_has_one_at_most(stores):
    for number in (1, 2, 3):
        stores.models.add(replace(VERSION, number=number, stage="candidate"))
    assert stores.models.find("mf").number == 3
    assert stores.models.stage("mf@2", "live", share=0.0, at=AT).stage == "live"
    assert stores.models.stage("mf@3", "canary", share=0.25, at=AT).share == 0.25
    assert stores.models.find("mf").number == 2
    stores.models.stage("mf@1", "live", share=0.0, at=AT)
    assert [(each.number, each.stage) for each in stores.models.all()] == [(3, "canary"), (2, "retired"), (1, "live")]


@pytest.mark.parametrize("reference", ["mf@9", "cnn@1", "mf@x", "mf"])
def test_the_stage_of_what_is_not_there_is_not_found(stores, reference):
    stores.models.add(VERSION)
    with pytest.raises(NotFound):
        stores.models.stage(reference, "live", share=0.0, at=AT)
    assert stores.models.find("mf@1").stage == "live"


@pytest.mark.parametrize(
    "reference", ["mf@3", "cnn", "mf@", "mf@-1", "mf@x", "mf@01", "mf@1\n", "mf@99999999999999999999", "@", ""]
)
def test_a_reference_that_names_nothing_is_none(stores, reference):
    stores.models.add(VERSION)
    assert stores.models.find(reference) is None


def test_numbers_count_up_for_each_name_and_a_taken_one_is_a_conflict(stores):
    assert stores.models.next_number("mf") == 1
    stores.models.add(VERSION)
    assert (stores.models.next_number("mf"), stores.models.next_number("cnn")) == (2, 1)
    with pytest.raises(Conflict, match="mf@1"):
        stores.models.add(VERSION)


def test_a_run_is_replaced_by_its_id_and_runs_come_newest_first(stores):
    newer = replace(RUN, id="run-2", requested_at=AT + timedelta(hours=1))
    for run in (RUN, newer, replace(RUN, status="done", progress=1.0, reference="mf@1")):
        stores.runs.put(run)
    assert stores.runs.find("run-1") == replace(RUN, status="done", progress=1.0, reference="mf@1")
    assert [run.id for run in stores.runs.all()] == ["run-2", "run-1"]
    assert [run.id for run in stores.runs.all(limit=1)] == ["run-2"]
    assert stores.runs.find("run-3") is None
