import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest

from lamella.adapters.clock import FileClock, SystemClock, set_clock
from lamella.errors import InvalidSettings

MOMENT = datetime(2026, 3, 2, 8, 0, 0, 250_000, tzinfo=UTC)


def test_the_system_clock_is_the_machines_and_aware():
    before = datetime.now(UTC)
    now = SystemClock().now()
    assert before <= now <= datetime.now(UTC)
    assert now.tzinfo is UTC


def test_every_clock_over_the_file_shows_what_was_set_last(tmp_path):
    path = tmp_path / "clock"
    set_clock(path, MOMENT)
    one, other = FileClock(path), FileClock(path)
    assert one.now() == other.now() == MOMENT
    set_clock(path, MOMENT + timedelta(days=14))
    assert one.now() == other.now() == MOMENT + timedelta(days=14)
    assert path.stat().st_size == 8


def test_a_moment_in_another_zone_is_shown_in_utc(tmp_path):
    path = tmp_path / "clock"
    set_clock(path, MOMENT.astimezone(timezone(timedelta(hours=8))))
    assert FileClock(path).now() == MOMENT
    assert FileClock(path).now().tzinfo is UTC


def test_a_clock_moves_when_another_process_sets_it(tmp_path):
    path = tmp_path / "clock"
    set_clock(path, MOMENT)
    clock = FileClock(path)
    code = (
        "import sys, pathlib, datetime; from lamella.adapters.clock import set_clock;"
        "set_clock(pathlib.Path(sys.argv[1]), datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC))"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert clock.now() == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_missing_or_a_short_file_is_a_setting_that_cannot_be_used(tmp_path):
    with pytest.raises(InvalidSettings, match="LAMELLA_CLOCK_FILE"):
        FileClock(tmp_path / "none")
    (tmp_path / "short").write_bytes(b"")
    with pytest.raises(InvalidSettings, match="LAMELLA_CLOCK_FILE"):
        FileClock(tmp_path / "short")
