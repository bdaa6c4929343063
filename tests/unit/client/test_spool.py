"""The spool of exposures: told once, bounded, and shared by processes."""

import sqlite3
from datetime import UTC, datetime

import pytest

from lamella.client.spool import Spool, exposure_id

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


@pytest.fixture
def spool(tmp_path):
    made = Spool(tmp_path, limit=5)
    yield made
    made.close()


def put(spool, unit, variant="a", phase=1, *, counted=True):
    return spool.put(phase, unit, variant, counted=counted, at=NOW)


def test_a_unit_waits_once_for_each_phase_and_variant(spool):
    assert [put(spool, "u"), put(spool, "u"), put(spool, "u", "b"), put(spool, "u", phase=2)] == [
        True,
        False,
        True,
        True,
    ]
    assert [(one.phase, one.unit, one.variant) for one in spool.next(9)] == [
        (1, "u", "a"),
        (1, "u", "b"),
        (2, "u", "a"),
    ]


def test_what_was_sent_waits_no_more_and_is_not_told_again(spool, tmp_path):
    put(spool, "u")
    spool.sent(spool.next(9))
    assert (spool.waiting, spool.next(9), put(spool, "u")) == (0, [], False)
    again = Spool(tmp_path, limit=5)
    assert (put(again, "u"), again.waiting) == (False, 0)
    again.close()


def test_a_full_spool_drops_what_is_new(spool):
    assert [put(spool, f"u{i}") for i in range(7)] == [True] * 5 + [False] * 2
    assert (spool.waiting, spool.dropped) == (5, 2)
    spool.sent(spool.next(2))
    assert put(spool, "u9")


def test_the_file_stays_bounded(spool, tmp_path):
    for i in range(100):
        put(spool, f"u{i}")
        spool.sent(spool.next(9))
    with sqlite3.connect(tmp_path / "exposures.db") as connection:
        assert connection.execute("SELECT count(*) FROM exposure").fetchone()[0] <= 11
    connection.close()


def test_processes_share_a_spool(spool, tmp_path):
    other = Spool(tmp_path, limit=5)
    put(spool, "u")
    put(other, "u")
    put(other, "v")
    assert [one.unit for one in spool.next(9)] == ["u", "v"]
    other.sent(other.next(9))
    assert spool.next(9) == []
    assert spool.waiting == 0
    other.close()


def test_the_id_follows_from_phase_unit_and_variant(spool):
    put(spool, "读者")
    (told,) = spool.next(1)
    assert told.document()["exposure_id"] == exposure_id(1, "读者", "a")
    assert (
        len({exposure_id(1, "x", "a"), exposure_id(2, "x", "a"), exposure_id(1, "y", "a"), exposure_id(1, "x", "b")})
        == 4
    )


def test_the_first_variant_of_a_phase_is_remembered(spool):
    put(spool, "u", "a")
    put(spool, "u", "b")
    put(spool, "u", "forced", 2, counted=False)
    assert spool.variants("u", [1, 2, 3]) == {1: "a"}
    assert spool.variants("u", [2]) == {}


def test_a_file_that_cannot_be_written_costs_the_exposure_and_nothing_else(tmp_path):
    spool = Spool(tmp_path, limit=5)
    spool.close()
    assert not put(spool, "u")
    assert spool.dropped == 1
