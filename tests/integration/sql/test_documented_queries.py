import random
import re
from pathlib import Path

import pytest

from lamella.adapters.sql.analysis import SqlAnalysisStore
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.record import SqlRecordStore
from lamella.events.codec import encode
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW, traffic

PAGE = Path(__file__).parents[3] / "docs" / "record.md"
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def recorded(engine):
    journal = SqlJournal(engine, FakeClock(NOW), limit=10)
    journal.append(encode(traffic(random.Random(1), slates=300)))
    journal.close()
    SqlRecordStore(engine).ingest(limit=10, now=NOW)
    return engine


def test_every_query_of_the_page_runs(recorded):
    assert len(QUERIES) == 3
    with recorded.connect() as connection:
        for query in QUERIES:
            connection.exec_driver_sql(query).all()


def test_the_documented_click_rate_and_its_variance_are_those_of_the_sufficient_statistics(recorded):
    with recorded.connect() as connection:
        rows = connection.exec_driver_sql(QUERIES[0]).all()
    arms = SqlAnalysisStore(recorded).arm_totals(7, ["clicks", "impressions"])
    assert [row.variant for row in rows] == [arm.variant for arm in arms] == ["a", "b"]
    for row, arm in zip(rows, arms, strict=True):
        of = arm.moments
        rate = of.mean_of("clicks") / of.mean_of("impressions")
        spread = (
            of.covariance_of("clicks", "clicks")
            - 2 * rate * of.covariance_of("clicks", "impressions")
            + rate**2 * of.covariance_of("impressions", "impressions")
        )
        assert row.readers == of.n
        assert float(row.ctr) == pytest.approx(rate, rel=1e-9)
        variance = spread / of.mean_of("impressions") ** 2 / of.n
        assert float(row.variance_of_ctr) == pytest.approx(variance, rel=1e-6)
