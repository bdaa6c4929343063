"""What assignment and recommenders ask of the SQL store, on SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from lamella.adapters.sql.configuration import SqlConfigurationStore
from lamella.adapters.sql.exposures import SqlStickyStore
from lamella.adapters.sql.histories import SqlHistoryStore
from lamella.adapters.sql.schema import click, exposure, read
from lamella.adapters.sql.secrets import SqlSecretStore
from lamella.experiments.model import BucketRange, Configuration, Domain, Holdout, Layer

AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def test_only_counted_exposures_of_the_unit_and_the_phases_are_told(engine: sa.Engine) -> None:
    rows = [(1, "a", "control", True), (2, "a", "b", False), (3, "a", "c", True), (1, "读者", "treatment", True)]
    with engine.begin() as connection:
        connection.execute(
            sa.insert(exposure),
            [
                {"phase": phase, "unit": unit, "variant": variant, "first_at": AT, "first_day": AT.date(),
                 "counted": counted, "crossed": False}
                for phase, unit, variant, counted in rows
            ],
        )  # fmt: skip
    store = SqlStickyStore(engine)
    assert store.variants("a", [1, 2]) == {1: "control"}
    assert store.variants("读者", [1, 2, 3]) == {1: "treatment"}
    assert store.variants("nobody", [1]) == {}


def test_a_secret_is_made_once_and_is_the_same_for_everybody(engine: sa.Engine) -> None:
    first = SqlSecretStore(engine).secret("preview")
    assert len(first) == 32
    assert SqlSecretStore(engine).secret("preview") == first
    assert SqlSecretStore(engine).secret("other") != first


def test_domains_and_holdouts_are_stored_with_their_revisions(engine: sa.Engine) -> None:
    ranges = (BucketRange(start=0, stop=500),)
    wanted = Configuration(
        layers=(Layer(key="home", salt="home", domain="half"),),
        domains=(Domain(key="half", ranges=ranges, is_overlapping=False),),
        holdouts=(Holdout(key="quarter", salt="quarter", ranges=ranges, starts_at=AT),),
    )
    store = SqlConfigurationStore(engine)
    stored = store.commit(wanted, author="ann", action="create", at=AT)
    assert store.load() == stored
    assert {(one.kind, one.key) for one in store.revisions()} == {
        ("layer", "home"),
        ("domain", "half"),
        ("holdout", "quarter"),
    }


def test_a_history_holds_the_last_different_items_oldest_first(engine: sa.Engine) -> None:
    reads = [("ann", "a", 1), ("ann", "b", 2), ("ann", "a", 3), ("bob", "z", 4), ("ann", "d", 6)]
    clicks = [("ann", "c", 5), ("ann", "b", 0)]
    with engine.begin() as connection:
        for fact, rows, extra in ((read, reads, {"read_seconds": 1.0}), (click, clicks, {})):
            connection.execute(
                sa.insert(fact),
                [
                    {"time": AT + timedelta(minutes=minute), "request_id": "r", "unit": unit, "arm": 1,
                     "event_id": f"{unit}-{item}-{minute}", "item": item, **extra}
                    for unit, item, minute in rows
                ],
            )  # fmt: skip
    store = SqlHistoryStore(engine)
    assert store.last_reads("ann", limit=50) == ["b", "a", "c", "d"]
    assert store.last_reads("ann", limit=2) == ["c", "d"]
    assert store.last_reads("读者", limit=5) == []
