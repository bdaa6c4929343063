"""Logs stay small while their writers go on."""

import errno
from pathlib import Path
from typing import NoReturn

import pytest

from lamella.supervisor import log as logs
from lamella.supervisor.log import KEPT, newest, older, rotate, set_aside


def test_a_log_that_is_not_large_stays(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_bytes(b"0123456789")
    assert rotate(path, limit_bytes=10) == 0
    assert rotate(tmp_path / "never.log", limit_bytes=0) == 0
    assert [each.name for each in tmp_path.iterdir()] == ["web.log"]


def test_a_writer_goes_on_at_the_beginning_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"one\ntwo\n")
        assert rotate(path, limit_bytes=7) == 8
        writer.write(b"three\n")
    assert older(path).read_bytes() == b"one\ntwo\n"
    assert path.read_bytes() == b"three\n"


def test_the_oldest_of_several_files_goes(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    with path.open("ab", buffering=0) as writer:
        for number in range(KEPT + 3):
            writer.write(b"line %d\n" % number)
            rotate(path, limit_bytes=1)
    assert path.read_bytes() == b""
    kept = [older(path, number).read_bytes() for number in range(1, KEPT + 1)]
    assert kept == [b"line 6\n", b"line 5\n", b"line 4\n", b"line 3\n"]
    assert len(list(tmp_path.iterdir())) == KEPT + 1


def test_a_log_without_a_writer_keeps_the_older_ones_too(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    for text in ("first", "second"):
        path.write_text(text)
        set_aside(path, limit_bytes=4)
    assert not path.exists()
    assert [older(path, number).read_text() for number in (1, 2)] == ["second", "first"]


def test_where_the_disk_is_full_the_lines_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_source: int, target: Path) -> NoReturn:
        target.write_bytes(b"a part")
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "web.log"
    path.write_bytes(b"0123456789")
    monkeypatch.setattr(logs, "_copy", full)
    assert rotate(path, limit_bytes=5) == 10
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"web.log": b""}


@pytest.mark.parametrize(
    ("since", "most", "found"),
    [
        (0, 100, b"new"),
        (1, 100, b"ew"),
        (3, 100, b""),
        (-2, 100, b"ldnew"),
        (-100, 100, b"oldnew"),
        (-100, 4, b"dnew"),
        (-100, 2, b"ew"),
        (99, 100, b"new"),
    ],
)
def test_the_newest_bytes_reach_back_into_the_older_file(tmp_path: Path, since: int, most: int, found: bytes) -> None:
    path = tmp_path / "web.log"
    older(path).write_bytes(b"old")
    path.write_bytes(b"new")
    assert newest(path, since, most) == found


def test_there_is_nothing_new_without_a_file(tmp_path: Path) -> None:
    assert newest(tmp_path / "web.log", -5, 100) == b""
