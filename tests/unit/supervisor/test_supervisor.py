"""The supervisor goes on where telling about it, or a start, fails."""

import errno
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

import pytest

from lamella.config import Settings
from lamella.supervisor.child import Child, Program
from lamella.supervisor.log import KEPT, newest, older
from lamella.supervisor.supervisor import Supervisor


def full_disk(_line: str) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


def ended_child(folder: Path) -> Child:
    child = Child(Program(name="web", command=["true"], environment={}, log=folder / "log", is_ready=lambda: True))
    child.start()
    child.wait()
    return child


def supervisor(folder: Path, report) -> Supervisor:
    watching = Supervisor(Settings(data_dir=folder, redis_url="redis://127.0.0.1:1/0"), report=report)
    watching._ready.set()
    return watching


def test_a_log_that_takes_nothing_stops_no_process(tmp_path: Path) -> None:
    child, watching = ended_child(tmp_path), supervisor(tmp_path, full_disk)
    watching._watch(child)
    assert child.restart_at is not None
    child.restart_at = 0.0
    watching._watch(child)
    assert child.restart_at is None, "it was started again"
    child.wait()


def test_a_child_that_cannot_be_started_is_tried_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    child, watching = ended_child(tmp_path), supervisor(tmp_path, lines.append)
    child.restart_at = 0.0

    def no_memory(_child: Child) -> NoReturn:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    with monkeypatch.context() as patched:
        patched.setattr(Child, "start", no_memory)
        watching._watch(child)
    assert child.restart_at is not None
    assert child.restart_at > 0.0
    assert lines == ["web: cannot be started (Cannot allocate memory); tried again in 0.2 s"]


def test_a_log_that_grows_large_is_moved_aside_while_its_process_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A line at a time, the next where the one before was moved away.
    code = """
import pathlib, sys, time
for number in range(8):
    print("line", number, flush=True)
    while pathlib.Path(sys.argv[1]).stat().st_size:
        time.sleep(0.01)
time.sleep(600)
"""
    log = tmp_path / "web.log"
    command = [sys.executable, "-c", code, str(log)]
    child = Child(Program(name="web", command=command, environment={}, log=log, is_ready=lambda: True, log_bytes=1))
    child.start()
    watching = supervisor(tmp_path, lambda _line: None)
    watching._children.append(child)
    monkeypatch.setattr(watching, "_start_children", lambda: None)
    loop = threading.Thread(target=watching._run)
    loop.start()
    deadline = time.monotonic() + 60.0
    try:
        while newest(older(log), 0, 100) != b"line 7\n" or log.stat().st_size:
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)
        assert child.pid is not None
    finally:
        watching.stop()
        loop.join()
    assert len(list(tmp_path.glob("web.log*"))) == KEPT + 1
