"""The data folder: private, and one supervisor's at a time."""

import os
from pathlib import Path

import pytest

from lamella.errors import Conflict, InvalidSettings
from lamella.supervisor.folder import DataFolder


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "deep" / "data")
    folder.acquire()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    folder.release()


def test_a_second_supervisor_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path), DataFolder(tmp_path)
    first.acquire()
    with pytest.raises(Conflict, match=rf"pid {os.getpid()}; stop it or choose another --data-dir"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(InvalidSettings, match=r"LAMELLA_DATA_DIR='.*data': is not a folder"):
        DataFolder(tmp_path / "data").acquire()


def test_a_large_log_is_moved_aside(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.acquire()
    log = folder.log("web")
    with log.open("wb") as file:
        file.truncate(30_000_000)
    assert not folder.log("web").exists()
    assert (tmp_path / "logs" / "web.log.1").stat().st_size == 30_000_000
    folder.release()
