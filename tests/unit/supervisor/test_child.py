"""One child: it ends with its parent, says why it failed, and waits longer after each failure."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lamella.supervisor.child import Child, Program
from lamella.supervisor.log import older


def program(
    log: Path, *command: str, patience_seconds: float = 60.0, is_ready: Callable[[], bool] = lambda: True
) -> Program:
    return Program(
        name="probe",
        command=command,
        environment={},
        log=log,
        is_ready=is_ready,
        patience_seconds=patience_seconds,
    )


def python(log: Path, code: str, *, patience_seconds: float = 60.0) -> Child:
    return Child(program(log, sys.executable, "-c", code, patience_seconds=patience_seconds))


def wait_until(claim: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_child_runs_its_program_under_the_pid_that_it_tells(tmp_path: Path) -> None:
    child = python(tmp_path / "log", "import os; print(os.getpid())")
    pid = child.start()
    child.wait()
    assert (tmp_path / "log").read_text() == f"{pid}\n"
    assert child.ended() == "exit code 0"


def test_a_child_that_ignores_sigterm_is_killed_when_its_patience_is_over(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    child = python(tmp_path / "log", code, patience_seconds=0.2)
    child.start()
    wait_until(lambda: "up" in (tmp_path / "log").read_text())
    child.ask_to_stop()
    child.wait()
    assert child.ended() == "signal 9"
    assert child.pid is None


def test_the_last_words_are_the_error_of_this_start_and_not_of_an_earlier_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("error: an old sorrow\n")
    child = python(log, "import sys; print('error: the store is away', file=sys.stderr); print('bye'); sys.exit(1)")
    child.start()
    wait_until(child.ended)
    assert child.ended() == "exit code 1"
    assert child.complaint() == child.last_words() == "the store is away"


def test_a_child_that_did_not_complain_has_its_last_line_as_its_last_words(tmp_path: Path) -> None:
    child = python(tmp_path / "log", "print('busy'); print()")
    child.start()
    child.wait()
    assert (child.complaint(), child.last_words()) == ("", "busy")


def test_what_a_child_complained_of_is_found_after_its_log_was_moved_aside(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("error: an old sorrow\n")
    child = Child(replace(program(log, sys.executable, "-c", "print('error: the store is away')"), log_bytes=10))
    child.start()
    child.wait()
    child.bound_log()
    assert log.read_text() == ""
    assert child.complaint() == child.last_words() == "the store is away"
    child.start()
    child.wait()
    assert child.complaint() == "the store is away"


def test_the_sorrow_of_an_earlier_start_stays_unsaid_after_its_log_was_moved_aside(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("error: an old sorrow\n")
    child = Child(replace(program(log, sys.executable, "-c", ""), log_bytes=10))
    child.start()
    child.wait()
    child.bound_log()
    assert older(log).read_text() == "error: an old sorrow\n"
    assert (child.complaint(), child.last_words()) == ("", "")


def test_delays_double_from_a_fifth_of_a_second_up_to_ten(tmp_path: Path) -> None:
    child = python(tmp_path / "log", "")
    child.start()
    child.wait()
    delays = [child.plan_restart() for _ in range(8)]
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_a_child_is_ready_only_while_it_runs(tmp_path: Path) -> None:
    child = python(tmp_path / "log", "")
    child.start()
    child.wait()
    assert not child.check_ready()


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent_code = (
        "import subprocess, sys, time\n"
        "from lamella.adapters import lifeline\n"
        "child = subprocess.Popen(lifeline.command([sys.executable, '-c', 'import time; time.sleep(60)']))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    wait_until(lambda: "sleep(60)" in _command_line(pid) and "lifeline" not in _command_line(pid))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not _is_running(pid))


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _is_running(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits for its new parent to notice does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
