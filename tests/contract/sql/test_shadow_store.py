"""The sums of shadows, over all processes."""

from dataclasses import replace

import pytest

from lamella.adapters.sql.engine import create_engine
from lamella.adapters.sql.shadows import SqlShadowStore
from lamella.services.shadow_ports import ShadowRecord, ShadowTotal
from lamella.testing.shadows import MemoryShadowStore

TOTAL = ShadowTotal(
    shadow="mf@2",
    live="mf@1",
    stage="recall",
    requests=3,
    compared=2,
    correlated=1,
    errors=1,
    items=40,
    overlap=1.5,
    correlation=-0.25,
    live_seconds=0.5,
    shadow_seconds=0.25,
)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request):
    if request.param == "memory":
        yield MemoryShadowStore()
        return
    names = {"sqlite": "sqlite_database_url", "postgresql": "pg_database_url"}
    engine = create_engine(request.getfixturevalue(names[request.param]))
    yield SqlShadowStore(engine)
    engine.dispose()


def test_totals_of_a_shadow_beside_a_version_in_a_stage_are_added(store):
    store.add([TOTAL], [])
    store.add([replace(TOTAL, dropped=2, items=30), replace(TOTAL, stage="rank"), replace(TOTAL, live="mf@0")], [])
    record = store.read("mf@2")
    assert [(each.live, each.stage) for each in record.totals] == [
        ("mf@0", "recall"),
        ("mf@1", "rank"),
        ("mf@1", "recall"),
    ]
    assert record.totals[2] == ShadowTotal(
        shadow="mf@2",
        live="mf@1",
        stage="recall",
        requests=6,
        compared=4,
        correlated=2,
        errors=2,
        dropped=2,
        items=40,
        overlap=3.0,
        correlation=-0.5,
        live_seconds=1.0,
        shadow_seconds=0.5,
    )


def test_an_item_counts_once_whoever_shows_it(store):
    store.add([], [("mf@2", "a"), ("mf@2", "b"), ("mf@2", "a")])
    store.add([TOTAL], [("mf@2", "b"), ("mf@2", "c"), ("cnn@1", "a")])
    assert store.read("mf@2").shown == 3


def test_of_a_shadow_that_was_never_asked_nothing_is_known(store):
    store.add([], [])
    assert store.read("mf@9") == ShadowRecord(totals=[], shown=0)
