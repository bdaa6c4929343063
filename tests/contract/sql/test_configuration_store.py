from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lamella.errors import ConfigurationMoved
from lamella.experiments.model import (
    AnalysisPlan,
    BucketRange,
    Configuration,
    Experiment,
    Guardrail,
    Layer,
    Parameter,
    ParameterType,
    Phase,
    Status,
    Variant,
)

AT = datetime(2026, 3, 2, 8, 0, 0, 123456, tzinfo=UTC)
EXPERIMENT = Experiment(
    key="ranker",
    layer="ranking",
    name="A ranker – 排序",
    hypothesis="Readers click more",
    variants=(
        Variant(key="control", weight=1, is_control=True, values={"rank.model": "mf@1"}),
        Variant(key="treatment", weight=1, values={"rank.model": "cnn@2", "rank.weight": 1.0}),
    ),
    plan=AnalysisPlan(primary_metric="ctr", guardrails=(Guardrail(metric="dwell_per_read", margin=0.02),)),
    ranges=(BucketRange(start=0, stop=5000),),
    rule={"==": [{"var": "device"}, "phone"]},
    forced={"reader-1": "treatment"},
    status=Status.RUNNING,
    phases=(Phase(id=4, number=1, salt="ranker:1", started_at=AT, weights={"control": 1, "treatment": 1}),),
    owner="ann",
)
CONFIGURATION = Configuration(
    layers=(Layer(key="ranking", salt="s1"), Layer(key="aa", salt="s2")),
    parameters=(Parameter(key="rank.weight", type=ParameterType.FLOAT, default=0.5, layer="ranking"),),
    experiments=(EXPERIMENT,),
)


def test_a_new_store_holds_an_empty_configuration_at_version_0(stores):
    assert stores.configuration.version() == 0
    assert stores.configuration.load() == Configuration()
    assert stores.configuration.revisions() == []


def test_what_is_committed_is_loaded_the_same_in_the_same_order_at_the_next_version(stores):
    stored = stores.configuration.commit(CONFIGURATION, author="ann", action="start", at=AT)
    assert stored == replace(CONFIGURATION, version=1)
    assert stores.configuration.load() == stored
    assert stores.configuration.version() == 1


def test_a_commit_over_a_configuration_that_moved_is_refused_and_changes_nothing(stores):
    stores.configuration.commit(CONFIGURATION, author="ann", action="start", at=AT)
    with pytest.raises(ConfigurationMoved) as refused:
        stores.configuration.commit(Configuration(killed=True), author="bob", action="kill", at=AT)
    assert (refused.value.expected, refused.value.found) == (0, 1)
    assert stores.configuration.load() == replace(CONFIGURATION, version=1)
    assert len(stores.configuration.revisions()) == 4


def test_only_what_differs_leaves_a_revision_with_before_and_after(stores):
    first = stores.configuration.commit(CONFIGURATION, author="ann", action="create", at=AT)
    paused = replace(EXPERIMENT, status=Status.PAUSED)
    stores.configuration.commit(replace(first, experiments=(paused,)), author="bob", action="pause", at=AT)
    (newest,) = stores.configuration.revisions(limit=1)
    assert (newest.version, newest.author, newest.action, newest.at) == (2, "bob", "pause", AT)
    assert (newest.kind, newest.key) == ("experiment", "ranker")
    assert (newest.before["status"], newest.after["status"]) == ("running", "paused")
    assert len(stores.configuration.revisions(kind="experiment", key="ranker")) == 2
    assert [each.before for each in stores.configuration.revisions(kind="layer")] == [None, None]


def test_what_is_removed_is_gone_and_leaves_a_revision_without_after(stores):
    first = stores.configuration.commit(CONFIGURATION, author="ann", action="create", at=AT)
    second = replace(first, experiments=(), layers=first.layers[1:])
    stored = stores.configuration.commit(second, author="ann", action="remove", at=AT)
    assert stores.configuration.load() == stored
    newest = stores.configuration.revisions(limit=2)
    assert {(each.kind, each.key) for each in newest} == {("layer", "ranking"), ("experiment", "ranker")}
    assert [each.after for each in newest] == [None, None]


def test_a_new_order_is_kept_and_leaves_no_revision(stores):
    first = stores.configuration.commit(CONFIGURATION, author="ann", action="create", at=AT)
    turned = replace(first, layers=first.layers[::-1])
    stores.configuration.commit(turned, author="ann", action="order", at=AT)
    assert stores.configuration.load().layers == turned.layers
    assert len(stores.configuration.revisions()) == 4


def test_the_kill_switch_is_kept_and_leaves_a_revision(stores):
    stores.configuration.commit(Configuration(killed=True), author="ann", action="kill", at=AT)
    assert stores.configuration.load().killed
    (revision,) = stores.configuration.revisions()
    assert (revision.kind, revision.key, revision.before, revision.after) == ("configuration", "killed", False, True)
