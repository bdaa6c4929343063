from datetime import UTC, date, datetime, timedelta
from itertools import chain, count, repeat

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamella.adapters.sql.bulk import bulk
from lamella.adapters.sql.columns import micros_at
from lamella.adapters.sql.digests import Digests
from lamella.adapters.sql.engine import create_engine, writing
from lamella.adapters.sql.inbox_reader import GROUP_BYTES, InboxReader
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.receipts import SqlReceipts
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.schema import event_receipt, inbox
from lamella.adapters.sql.types import UTCDateTime
from lamella.errors import StoreNotMigrated
from lamella.events.codec import encode
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW, click, slate

TABLE = sa.Table(
    "bulk_rows",
    sa.MetaData(),
    sa.Column("time", UTCDateTime),
    sa.Column("day", sa.Date),
    sa.Column("name", sa.Text),
    sa.Column("number", sa.Integer),
    sa.Column("large", sa.BigInteger),
    sa.Column("share", sa.Double),
    sa.Column("flag", sa.Boolean),
    sa.Column("small", sa.SmallInteger),
    sa.Column("body", sa.LargeBinary),
)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request):
    name = {"sqlite": "sqlite_database_url", "postgresql": "pg_database_url"}[request.param]
    made = create_engine(request.getfixturevalue(name))
    TABLE.create(made)
    yield made
    made.dispose()


ROW = st.tuples(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40) | st.none(),
    st.integers(-(2**31), 2**31 - 1) | st.none(),
    st.integers(-(2**63), 2**63 - 1),
    # SQLite knows no negative zero.
    st.floats(allow_nan=False).map(lambda value: value + 0.0) | st.none(),
    st.booleans(),
    st.integers(-(2**15), 2**15 - 1),
    st.binary(max_size=20),
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROW, min_size=1, max_size=40), moment=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)))  # noqa: DTZ001
def test_what_was_written_is_read_back(engine, rows, moment):
    moment = moment.replace(tzinfo=UTC, fold=0)
    micros = np.array([micros_at(moment)] * len(rows), dtype=np.int64)
    names = ("name", "number", "large", "share", "flag", "small", "body")
    with writing(engine) as connection:
        ways = bulk(connection)
        columns = {"time": ways.moments(micros), "day": ways.days(micros // 86_400_000_000)}
        ways.append(TABLE, {**columns, **dict(zip(names, zip(*rows, strict=True), strict=True))})
        found = ways.idle().execute(sa.select(TABLE)).all()
        connection.rollback()
    expected = [repr((moment, moment.date(), *row)) for row in rows]
    assert sorted(map(repr, found)) == sorted(expected)


def test_long_values_are_whole(engine):
    with writing(engine) as connection:
        ways = bulk(connection)
        ways.append(TABLE, {"name": ["é" * 5_000, ""], "body": [b"x" * 70_000, b""]})
        found = ways.idle().execute(sa.select(TABLE.c.name, TABLE.c.body)).all()
        connection.rollback()
    assert sorted(found) == [("", b""), ("é" * 5_000, b"x" * 70_000)]


def test_each_shared_row_stands_before_its_own_ones(engine):
    with writing(engine) as connection:
        ways = bulk(connection)
        shared = {"name": ["a", "b", "c"], "number": [1, None, 3]}
        ways.append(TABLE, {"small": list(range(5_000))}, of=shared, counts=[4_998, 0, 2])
        found = ways.idle().execute(sa.select(TABLE.c.name, TABLE.c.number, TABLE.c.small)).all()
        ways.append(TABLE, {"small": []}, of={"name": []}, counts=[])
        connection.rollback()
    assert sorted(found) == [*(("a", 1, each) for each in range(4_998)), ("c", 3, 4_998), ("c", 3, 4_999)]


@pytest.mark.parametrize("number", [1, 9, 445, 4_001])
def test_none_of_many_rows_is_missing_or_twice(engine, number):
    heights = [height % 5 for height in range(number)]
    with writing(engine) as connection:
        ways = bulk(connection)
        ways.append(TABLE, {"number": list(range(number)), "name": ["a"] * number})
        alone = ways.idle().execute(sa.select(TABLE.c.number)).scalars().all()
        connection.execute(sa.delete(TABLE))
        ways.append(TABLE, {"large": list(range(sum(heights)))}, of={"number": list(range(number))}, counts=heights)
        found = ways.idle().execute(sa.select(TABLE.c.number, TABLE.c.large).order_by(TABLE.c.large)).all()
        connection.rollback()
    assert sorted(alone) == list(range(number))
    assert found == list(zip(chain.from_iterable(map(repeat, range(number), heights)), count(), strict=False))


def test_rows_are_claimed_all_or_none(engine):
    digests = [bytes([each]) * 16 for each in range(50)]
    with writing(engine) as connection:
        ways = bulk(connection)
        assert ways.claim(event_receipt, {"digest": digests[:30]})
        assert not ways.claim(event_receipt, {"digest": digests[20:]})
        assert ways.claim(event_receipt, {"digest": digests[30:40]})
        found = ways.idle().execute(sa.select(event_receipt.c.digest)).scalars().all()
        connection.rollback()
    assert sorted(map(bytes, found)) == digests[:40]


def test_a_look_up_in_a_file_without_schema_says_so(tmp_path):
    made = create_engine(f"sqlite:///{tmp_path / 'new.db'}")
    with pytest.raises(StoreNotMigrated, match="no such table: event_receipt"):
        SqlReceipts(made).known(["click-1"])
    made.dispose()


def test_values_are_found_and_removed_by_number_and_by_bytes(engine):
    names, numbers = [bytes([each]) * 16 for each in range(50)], list(range(-5, 45))
    with writing(engine) as connection:
        ways = bulk(connection)
        ways.append(TABLE, {"body": names, "large": numbers})
        wanted = [*names[3:6], b"\xff" * 16]
        assert sorted(bytes(body) for (body,) in ways.find(TABLE.c.body, wanted, [TABLE.c.body])) == names[3:6]
        assert ways.remove(TABLE.c.large, [-5, 44, 2**62]) == 2
        assert ways.remove(TABLE.c.large, [7, 8, 9]) == 3
        assert ways.remove(TABLE.c.large, [9, 10, 11]) == 2
        assert ways.remove(TABLE.c.body, [*names[3:6], b"\xff" * 16]) == 3
        assert list(ways.find(TABLE.c.body, wanted, [TABLE.c.body])) == []
        assert list(ways.find(TABLE.c.body, [], [TABLE.c.body])) == []
        assert connection.execute(sa.select(sa.func.count()).select_from(TABLE)).scalar() == 40
        connection.rollback()


def test_moments_and_days_are_those_of_the_column_types(engine):
    moments = [NOW, NOW + timedelta(microseconds=1), datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)]
    micros = np.array([micros_at(each) for each in moments], dtype=np.int64)
    with writing(engine) as connection:
        ways = bulk(connection)
        ways.append(TABLE, {"time": ways.moments(micros), "day": ways.days(micros // 86_400_000_000)})
        ways.idle()
    with engine.connect() as connection:
        found = connection.execute(sa.select(TABLE.c.time, TABLE.c.day).order_by(TABLE.c.time)).all()
    assert found == [(each, each.date()) for each in sorted(moments)]
    assert found[0][1] == date(1969, 12, 31)


def test_a_group_of_batches_is_bounded_by_its_bytes_and_none_is_left_out(engine, monkeypatch):
    monkeypatch.setitem(GROUP_BYTES, engine.dialect.name, 1_000)
    journal = SqlJournal(engine, FakeClock(NOW), limit=100)
    for size in (100, 30, 200, 60, 2_000, 300, 300, 300, 50, 60, 900, 20):
        journal.append(b" " * (size - 2) + b"[]")
    journal.close()
    reader, store = InboxReader(engine), SqlRecordStore(engine)
    # PostgreSQL: an eighth of the bytes at first, then twice as many each time: 125, 250, 500, 1,000.
    expected = {"postgresql": [2, 2, 1, 5, 2, 0], "sqlite": [5, 5, 2, 0]}[engine.dialect.name]
    sizes = [len(reader.take(100).batches) for _ in range(3)]
    assert sizes == expected[:3]
    reader.forget()
    assert [store.ingest(limit=100, now=NOW).batches for _ in expected] == expected


def test_batches_that_another_ingest_took_meanwhile_are_taken_once(engine):
    journal = SqlJournal(engine, FakeClock(NOW), limit=100)
    for number in range(9):
        shown = slate(f"request-{number}")
        journal.append(encode([shown, click(f"click-{number}", of=shown)]))
    journal.close()
    one, other = SqlRecordStore(engine), SqlRecordStore(engine)
    assert one.ingest(limit=3, now=NOW).batches == 3
    assert other.ingest(limit=4, now=NOW).batches == 4
    assert [one.ingest(limit=3, now=NOW).batches for _ in range(2)] == [2, 0]
    counts = one.counts()
    assert (counts["slate"], counts["click"], counts["quarantine"], counts["inbox"]) == (9, 9, 0, 0)


def test_groups_are_read_while_the_caller_waits_and_come_in_their_order(pg_database_url, monkeypatch):
    engine = create_engine(pg_database_url)
    monkeypatch.setitem(GROUP_BYTES, "postgresql", 800)
    journal = SqlJournal(engine, FakeClock(NOW), limit=100)
    for _ in range(10):
        journal.append(b" " * 198 + b"[]")
    journal.close()
    reader = InboxReader(engine)
    assert not reader.work()
    groups = [reader.take(100)]
    while reader.work():
        pass
    with engine.begin() as connection:
        waiting = connection.execute(sa.select(inbox.c.id).order_by(inbox.c.id)).scalars().all()
        # Two groups are there already, whatever becomes of the table; what is behind them is not.
        connection.execute(sa.delete(inbox))
    while (group := reader.take(100)).batches:
        groups.append(group)
    assert [list(group.batches) for group in groups] == [waiting[:1], waiting[1:2], waiting[2:4]]
    assert not reader.is_ahead()
    engine.dispose()


def test_digests_that_begin_alike_are_in_order_and_repeats_come_later():
    names = [b"same-8-b" + bytes([number] * 8) for number in (3, 1, 3, 2, 1)] + [b"other-8-" + b"x" * 8]
    digests = Digests.made(b"".join(names))
    assert [names[row] for row in digests.order] == sorted(names)
    assert digests.is_first.tolist() == [True, True, False, True, False, True]
    distinct = Digests.made(b"".join(names[1:3]))
    assert (distinct.order.tolist(), distinct.is_first.tolist()) == ([0, 1], [True, True])
    assert Digests.made(b"").order.size == 0
