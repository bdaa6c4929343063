"""The traffic as a whole, whatever units were assigned: the fakes, SQLite and PostgreSQL agree."""

import random
from datetime import timedelta

import numpy as np
import pytest

from lamella.errors import InvalidInput
from lamella.events.codec import encode
from lamella.testing.analysis import MemoryAnalysisStore
from lamella.testing.record import MemoryRecord
from lamella.testing.traffic import NOW, click, slate, traffic

COLUMNS = ("clicks", "impressions", "read_seconds", "completion", "clicked")


def test_without_traffic_there_is_nothing(stores):
    assert stores.analysis.recent_totals(COLUMNS, since=NOW - timedelta(days=28)) is None


def test_units_are_counted_once_over_all_days_and_arms(stores):
    first, second = slate("r1", items=["i1"]), slate("r2", time=NOW - timedelta(days=1), items=["i1", "i2"])
    stores.take([first, second, click(of=first), slate("r3", unit="reader-2", items=["i1"])])
    found = stores.analysis.recent_totals(["clicks", "impressions"], since=NOW - timedelta(days=28))
    assert (found.moments.n, found.began_at) == (2, second.time)
    np.testing.assert_allclose(found.moments.mean, [0.5, 2.0])
    np.testing.assert_allclose(found.moments.cross, [[0.5, 1.0], [1.0, 2.0]])


def test_what_is_older_is_left_out_by_whole_days(stores):
    stores.take([slate("r1"), slate("r2", unit="reader-2", time=NOW - timedelta(days=9))])
    found = stores.analysis.recent_totals(["slates"], since=NOW - timedelta(days=8))
    assert (found.moments.n, found.began_at) == (1, NOW)
    assert stores.analysis.recent_totals(["slates"], since=NOW - timedelta(days=9)).moments.n == 2


def test_an_unknown_column_is_refused(stores):
    with pytest.raises(InvalidInput, match="clocks"):
        stores.analysis.recent_totals(["clocks"], since=NOW)


def test_the_totals_equal_a_recount_from_every_fact(stores):
    records = traffic(random.Random(5), slates=200)
    stores.take(records[:150], records[150:])
    recount = MemoryRecord()
    recount.append(encode(records))
    recount.ingest(limit=1, now=NOW)
    since = NOW - timedelta(days=20)
    expected = MemoryAnalysisStore(recount).recent_totals(COLUMNS, since=since)
    found = stores.analysis.recent_totals(COLUMNS, since=since)
    assert (found.moments.n, found.began_at) == (expected.moments.n, expected.began_at)
    np.testing.assert_allclose(found.moments.mean, expected.moments.mean, rtol=1e-9)
    np.testing.assert_allclose(found.moments.cross, expected.moments.cross, rtol=1e-9, atol=1e-6)
