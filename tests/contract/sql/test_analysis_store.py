import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from lamella.errors import InvalidInput
from lamella.events.codec import encode
from lamella.events.contract import Exposed
from lamella.testing.analysis import MemoryAnalysisStore
from lamella.testing.record import MemoryRecord
from lamella.testing.traffic import NOW, click, interaction, read, slate, traffic

COLUMNS = (
    "slates", "impressions", "clicks", "reads", "read_seconds", "completion", "completion_reads", "comments", "shares",
    "interactions", "clicked", "pre_clicks", "pre_impressions", "pre_read_seconds", "pre_clicked", "has_pre",
)  # fmt: skip
A, B = Exposed(phase=1, variant="a"), Exposed(phase=1, variant="b")


def test_a_phase_without_traffic_has_no_arms(stores):
    assert list(stores.analysis.arm_totals(1, COLUMNS)) == []


def test_an_unknown_column_is_refused_by_name(stores):
    with pytest.raises(InvalidInput, match="pre_clocks"):
        stores.analysis.arm_totals(1, ["clicks", "pre_clocks"])


def test_the_totals_of_two_readers_are_those_counted_by_hand(stores):
    one = slate("r1", unit="reader-1", exposures=[A], items=["i1", "i2"])
    two = slate("r2", unit="reader-2", exposures=[A], items=["i1", "i2", "i3", "i4"], fallbacks={"rank": "late"})
    stores.take(
        [one, two, click("c1", of=one), click("c2", of=one)],
        [read("d1", of=one, read_seconds=10.5, completion=None), read("d2", of=one, read_seconds=1.25, completion=1.0)],
        [interaction("e1", of=one, action="share"), interaction("e2", of=one, action="like")],
    )
    columns = COLUMNS[:11]
    (arm,) = stores.analysis.arm_totals(1, columns)
    rows = [[1, 2, 2, 2, 11.75, 1.0, 1, 0, 1, 2, 1], [1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]]
    assert (arm.variant, arm.moments.n, arm.crossed, arm.slates, arm.fallback_slates) == ("a", 2, 0, 2, 1)
    np.testing.assert_allclose(arm.moments.mean, np.mean(rows, axis=0), rtol=1e-12)
    np.testing.assert_allclose(arm.moments.cross, np.cov(np.transpose(rows), ddof=0) * 2, atol=1e-12)


def test_readers_without_a_click_are_counted(stores):
    stores.take([slate(f"r{n}", unit=f"reader-{n}", exposures=[A]) for n in range(5)])
    (arm,) = stores.analysis.arm_totals(1, ["clicks"])
    assert (arm.moments.n, arm.moments.mean_of("clicks")) == (5, 0)


def test_a_reader_in_two_variants_is_out_of_both_and_counted_with_the_first(stores):
    later = slate("r2", time=NOW + timedelta(hours=1), exposures=[A])
    stores.take([later])
    stores.take([slate("r1", exposures=[B]), slate("r3", unit="reader-2", exposures=[A])])
    arms = {arm.variant: arm for arm in stores.analysis.arm_totals(1, ["slates"])}
    assert (arms["b"].moments.n, arms["b"].crossed) == (0, 1)
    assert (arms["a"].moments.n, arms["a"].crossed) == (1, 0)


def test_a_forced_reader_is_out_of_the_analysis(stores):
    stores.take([slate("r1", exposures=[replace(A, counted=False)]), slate("r2", unit="reader-2", exposures=[A])])
    (arm,) = stores.analysis.arm_totals(1, ["slates"])
    assert (arm.moments.n, arm.slates) == (1, 1)


def test_one_slate_counts_for_the_experiments_of_every_layer(stores):
    shown = slate(exposures=[A, Exposed(phase=2, variant="x")])
    stores.take([shown, click(of=shown)])
    for phase, variant in ((1, "a"), (2, "x")):
        (arm,) = stores.analysis.arm_totals(phase, ["clicks"])
        assert (arm.variant, arm.moments.mean_of("clicks")) == (variant, 1)


def test_what_a_reader_did_before_the_phase_is_a_covariate_and_no_outcome(stores):
    before = slate("r0", time=NOW - timedelta(days=2))
    long_before = slate("r1", time=NOW - timedelta(days=20))
    same_day = slate("r2", time=NOW - timedelta(hours=2))
    during = slate("r3", exposures=[A])
    slates = (before, long_before, same_day, during)
    stores.take([*slates, *(click(f"c{n}", of=each) for n, each in enumerate(slates))])
    stores.take([slate("r4", unit="reader-2", exposures=[A])])
    columns = ["clicks", "pre_clicks", "has_pre"]
    (arm,) = stores.analysis.arm_totals(1, columns, covariate_since=NOW - timedelta(days=7))
    assert list(arm.moments.mean * 2) == [1, 1, 1]
    (arm,) = stores.analysis.arm_totals(1, columns)
    assert list(arm.moments.mean * 2) == [1, 2, 1]


def test_until_is_exact_to_the_microsecond_within_a_day(stores):
    shown = slate(exposures=[A], time=NOW - timedelta(days=1))
    moment = timedelta(hours=25)
    stores.take(
        [shown, click("c1", of=shown, after=moment), click("c2", of=shown), slate("r9", unit="late", exposures=[A])]
    )
    for until, clicks in ((shown.time + moment, 1), (shown.time + moment + timedelta(microseconds=1), 2)):
        arms = stores.analysis.arm_totals(1, ["clicks"], until=until)
        assert [arm.moments.mean_of("clicks") * arm.moments.n for arm in arms] == [clicks]
    assert list(stores.analysis.arm_totals(1, ["clicks"], until=shown.time)) == []


@pytest.mark.parametrize(
    "window",
    [
        {},
        {"until": NOW + timedelta(days=1)},
        {"until": NOW - timedelta(days=2, hours=3)},
        {"until": datetime(2026, 3, 19, tzinfo=UTC)},
        {"covariate_since": NOW - timedelta(days=9)},
    ],
)
def test_running_totals_equal_a_recount_from_every_fact(stores, window):
    records = traffic(random.Random(11), slates=400)
    batches = [records[i : i + 50] for i in range(0, len(records), 50)]
    for start in range(0, len(batches), 5):
        stores.take(*batches[start : start + 5])
    recount = MemoryRecord()
    recount.append(encode(records))
    recount.ingest(limit=1, now=NOW)
    expected = MemoryAnalysisStore(recount).arm_totals(7, COLUMNS, **window)
    found = stores.analysis.arm_totals(7, COLUMNS, **window)
    assert [arm.variant for arm in found] == [arm.variant for arm in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.moments.n == theirs.moments.n > 10
        assert (ours.crossed, ours.slates, ours.fallback_slates) == (
            theirs.crossed,
            theirs.slates,
            theirs.fallback_slates,
        )
        np.testing.assert_allclose(ours.moments.mean, theirs.moments.mean, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(ours.moments.cross, theirs.moments.cross, rtol=1e-9, atol=1e-6)


def test_a_small_spread_around_a_large_mean_survives(stores):
    readers = [slate(f"r{n}", unit=f"reader-{n}", exposures=[A]) for n in range(3)]
    stores.take(readers)
    reads = [
        read(f"d{n}-{k}", of=shown, read_seconds=86_400.0 if k else 80_000.0 + n)
        for n, shown in enumerate(readers)
        for k in range(300)
    ]
    stores.take(*(reads[i : i + 100] for i in range(0, len(reads), 100)))
    (arm,) = stores.analysis.arm_totals(1, ["read_seconds"])
    assert arm.moments.covariance_of("read_seconds", "read_seconds") == pytest.approx(1.0, rel=1e-6)


def test_reports_are_kept_in_order_and_numbered_within_their_phase(stores):
    save = stores.analysis.save_report
    assert stores.analysis.latest_report("e") is None
    assert [save("e", 1, NOW, {"look": look, "p": None}) for look in (1, 2)] == [1, 2]
    assert save("e", 2, NOW, {"look": 3}) == 1
    assert save("other", 1, NOW, {"look": 4}) == 1
    assert stores.analysis.reports("e", 1) == [{"look": 1, "p": None}, {"look": 2, "p": None}]
    assert stores.analysis.latest_report("e") == {"look": 3}
    assert stores.analysis.reports("nobody", 1) == []
