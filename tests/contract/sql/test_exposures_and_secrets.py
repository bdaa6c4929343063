"""What assignment and recommenders ask of the SQL store, on SQLite and PostgreSQL."""

from datetime import UTC, datetime

import sqlalchemy as sa

from lamella.adapters.sql.configuration import SqlConfigurationStore
from lamella.adapters.sql.exposures import SqlStickyStore
from lamella.adapters.sql.schema import exposure
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
