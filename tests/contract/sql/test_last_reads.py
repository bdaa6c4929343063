"""What a unit read last, on both stores, is what its reads and clicks say."""

import random
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from lamella.adapters.sql import migrations
from lamella.adapters.sql.engine import create_engine, is_postgresql, writing
from lamella.adapters.sql.erasure import SqlUnitRecords
from lamella.adapters.sql.histories import SqlHistoryStore
from lamella.adapters.sql.reading import chain_anew
from lamella.adapters.sql.receipts import SqlReceipts
from lamella.adapters.sql.recompute import SqlRecomputing
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.retention import SqlOldFacts
from lamella.adapters.sql.schema import click as click_table
from lamella.adapters.sql.schema import inbox
from lamella.adapters.sql.schema import read as read_table
from lamella.events.codec import Record, encode
from lamella.events.contract import Click, Read, Slate
from lamella.services.archive_ports import ArchivedFile
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW, click, interaction, read, slate

ITEMS = ("a", "b", "c", "d", 'é "quoted" \\ item', "文章")
UNITS = ("ann", "bob", "读者")


def take(engine: sa.Engine, *batches: Iterable[Record]) -> None:
    """Each batch is an ingest of its own."""
    store = SqlRecordStore(engine)
    for batch in batches:
        with writing(engine) as connection:
            connection.execute(sa.insert(inbox).values(received_at=NOW, body=encode(list(batch))))
        store.ingest(limit=10, now=NOW)


def read_of(unit: str, item: str, minutes: float, *, kind: str = "read") -> Click | Read:
    """An event on the slate of its unit."""
    shown = shown_to(unit)
    event = {"event_id": f"{kind}-{unit}-{item}-{minutes}", "request_id": shown.request_id, "unit": unit, "item": item}
    time = shown.time + timedelta(minutes=minutes)
    return Click(**event, time=time) if kind == "click" else Read(**event, time=time, read_seconds=1.0)


def shown_to(unit: str) -> Slate:
    return slate(f"request-{unit}", unit=unit, items=ITEMS, time=NOW - timedelta(days=20))


def expected(events: Iterable[Click | Read], unit: str, limit: int) -> list[str]:
    """The last items, from the events themselves."""
    last: dict[str, float] = {}
    for each in events:
        if each.unit == unit:
            last[each.item] = max(last.get(each.item, 0.0), each.time.timestamp())
    return sorted(last, key=lambda item: (-last[item], item))[:limit][::-1]


def test_a_history_holds_the_last_different_items_oldest_first(engine: sa.Engine) -> None:
    reads = [("ann", "a", 1), ("ann", "b", 2), ("ann", "a", 3), ("bob", "d", 4), ("ann", "d", 6)]
    clicks = [("ann", "c", 5), ("ann", "b", 0)]
    shown = shown_to("ann")
    other = interaction(of=shown)
    events = [read_of(*each) for each in reads] + [read_of(*each, kind="click") for each in clicks]
    take(engine, [shown, shown_to("bob"), *events, other])
    store = SqlHistoryStore(engine)
    assert store.last_reads("ann", limit=50) == ["b", "a", "c", "d"]
    assert store.last_reads("ann", limit=2) == ["c", "d"]
    assert store.last_reads("读者", limit=5) == []


@pytest.mark.parametrize("seed", range(3))
def test_in_whatever_order_events_come_the_last_ones_are_found(engine: sa.Engine, seed: int) -> None:
    rng = random.Random(seed)
    events = [
        read_of(rng.choice(UNITS), rng.choice(ITEMS), rng.randrange(20_000) / 10, kind=rng.choice(("read", "click")))
        for _ in range(150)
    ]
    batches, rest = [list(map(shown_to, UNITS))], events
    while rest:
        size = rng.randrange(1, 12)
        # What came before is sent again now and then, and changes nothing.
        batches.append(rest[:size] + rng.sample(events[: len(events) - len(rest)], min(2, len(events) - len(rest))))
        rest = rest[size:]
    take(engine, *batches)
    store = SqlHistoryStore(engine)
    for unit in (*UNITS, "nobody"):
        for limit in (1, 2, 3, 50):
            assert store.last_reads(unit, limit=limit) == expected(events, unit, limit)


def test_a_history_reaches_over_many_ingests(engine: sa.Engine) -> None:
    first = [[read_of("ann", "b", 0), read_of("ann", "c", 1)]]
    again = [[read_of("ann", "a", 2 + number)] for number in range(110)]
    take(engine, [shown_to("ann")], *first, *again)
    assert SqlHistoryStore(engine).last_reads("ann", limit=12) == ["b", "c", "a"]


def test_feedback_that_waited_for_its_slate_is_in_the_history(engine: sa.Engine) -> None:
    take(engine, [read_of("ann", "a", 1)], [shown_to("ann")])
    assert SqlHistoryStore(engine).last_reads("ann", limit=3) == ["a"]


def test_an_erased_unit_has_no_history_and_the_others_keep_theirs(engine: sa.Engine) -> None:
    take(engine, list(map(shown_to, UNITS)), [read_of(unit, "a", 1) for unit in UNITS])
    SqlUnitRecords(engine, FakeClock(NOW)).erase("bob")
    again = slate("request-again", unit="bob", time=NOW)
    take(engine, [again, read(of=again)], [read_of("ann", "b", 2)])
    store = SqlHistoryStore(engine)
    assert [store.last_reads(unit, limit=5) for unit in UNITS] == [["a", "b"], ["item-1"], ["a"]]


def test_reads_of_archived_months_leave_the_history(engine: sa.Engine) -> None:
    old = slate("request-old", unit="ann", time=NOW - timedelta(days=60))
    shown = shown_to("ann")
    take(
        engine,
        [old, shown, shown_to("bob")],
        [read("old", of=old), click("older", of=old, item="item-2")],
        [read_of("ann", "a", 1), read_of("bob", "c", 1)],
    )
    facts = SqlOldFacts(engine)
    for month in facts.months(until=NOW - timedelta(days=25)):
        path, rows = f"{month.fact}-{month.since:%Y-%m}", sum(len(part[0]) for part in facts.batches(month))
        assert facts.release(ArchivedFile(month=month, path=path, rows=rows, digest=""), at=NOW)
    take(engine, [read_of("ann", "b", 2)])
    store = SqlHistoryStore(engine)
    assert store.last_reads("ann", limit=5) == ["a", "b"]
    assert store.last_reads("bob", limit=5) == ["c"]


def test_histories_made_anew_are_those_that_were_kept(engine: sa.Engine) -> None:
    rng = random.Random(5)
    events = [read_of(rng.choice(UNITS), rng.choice(ITEMS), rng.randrange(90_000) / 60) for _ in range(300)]
    take(engine, list(map(shown_to, UNITS)), events[:150], events[150:])
    if not is_postgresql(engine):
        with writing(engine) as connection:
            connection.exec_driver_sql("DELETE FROM history")
    SqlRecomputing(engine).recompute(NOW)
    take(engine, [read_of("ann", "a", 2_000)])
    store, events = SqlHistoryStore(engine), [*events, read_of("ann", "a", 2_000)]
    for unit in UNITS:
        assert store.last_reads(unit, limit=4) == expected(events, unit, 4)


def test_a_chain_that_is_made_anew_has_rows_of_few_events(sqlite_database_url: str) -> None:
    engine = create_engine(sqlite_database_url)
    take(engine, [shown_to("ann")], [read_of("ann", "a", number / 10) for number in range(120)])
    with writing(engine) as connection:
        chain_anew(connection)
        found = connection.exec_driver_sql("SELECT id, previous, json_array_length(events) FROM history").all()
    engine.dispose()
    assert [tuple(row) for row in found] == [(1, None, 100), (2, 1, 100), (3, 2, 40)]


def test_an_older_store_keeps_its_histories_and_what_it_knows(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    migrations.upgrade(url, "0013")
    rng, engine = random.Random(8), create_engine(url)
    events = [read_of(rng.choice(UNITS), rng.choice(ITEMS), rng.randrange(90_000) / 60) for _ in range(200)]
    events += [read_of("ann", "d", 1_600, kind="click")]
    names = ("time", "request_id", "unit", "event_id", "item")
    with writing(engine) as connection:
        for table, kind, extra in ((read_table, Read, {"read_seconds": 1.0}), (click_table, Click, {})):
            rows = [
                {name: getattr(each, name) for name in names} | {"arm": 1, **extra}
                for each in events
                if type(each) is kind
            ]
            connection.execute(sa.insert(table), rows)
        digest = "X'8c4ca2d9b8a4bd3dcbc4ef0dd1d5ba11'"
        connection.exec_driver_sql(f"INSERT INTO event_receipt VALUES ({digest}, '2026-03-02 08:00:00.000000')")
    assert migrations.upgrade(url) == migrations.head()
    take(engine, list(map(shown_to, UNITS)), [read_of("bob", "c", 2_000)])
    store, events = SqlHistoryStore(engine), [*events, read_of("bob", "c", 2_000)]
    for unit in UNITS:
        for limit in (2, 50):
            assert store.last_reads(unit, limit=limit) == expected(events, unit, limit)
    assert SqlReceipts(engine).known(["read-bob-c-2000"]) == {"read-bob-c-2000"}
    with engine.connect() as connection:
        assert connection.exec_driver_sql(f"SELECT count(*) FROM event_receipt WHERE digest = {digest}").scalar() == 1
    migrations.downgrade(url, "0013")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM event_receipt WHERE time > '2026'").scalar() == 2
        plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN SELECT item FROM read WHERE unit = 'ann'").all()
    engine.dispose()
    assert "ix_read_unit_time" in str(plan)
    assert migrations.upgrade(url) == migrations.head()
