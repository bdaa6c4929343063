"""Real processes: what the system says of them afterwards."""

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import ctypes, json, os, sys, threading
from pathlib import Path
from lamella.adapters.niceness import be_nice
if len(sys.argv) > 2:
    os.setgroups([])
    os.setuid(int(sys.argv[2]))
    # As after exec: what was root has no access to its own files in /proc.
    ctypes.CDLL(None).prctl(4, 1)
be_nice(int(sys.argv[1]))
session, seen = Path("/proc/self/autogroup"), []
thread = threading.Thread(target=lambda: seen.append(os.getpriority(os.PRIO_PROCESS, 0)))
thread.start()
thread.join()
said = session.read_text().split() if session.exists() else []
print(json.dumps([os.getpriority(os.PRIO_PROCESS, 0), seen[0], said[-1] if said else None]))
"""
NOBODY = ["65534"] if os.getuid() == 0 else []
"""Makes of root an ordinary user."""
OWN = os.getpriority(os.PRIO_PROCESS, 0)
MOST = 19


def start(nice: int, *user: str, leads: bool = True) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM, str(nice), *user]
    return subprocess.Popen(command, start_new_session=leads, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def found_by(process: "subprocess.Popen[str]") -> tuple[list[object], str]:
    """The nice values of a process, of a thread that it started and of its session; and what it logged."""
    said, errors = process.communicate()
    assert process.returncode == 0, errors
    *log, found = said.splitlines()
    return json.loads(found), "\n".join([*log, errors])


def session_of(nice: int) -> str | None:
    """What a session that was started here says, where the system keeps such values."""
    return str(nice) if Path("/proc/self/autogroup").exists() else None


def test_a_process_its_threads_and_the_session_that_it_leads_have_it():
    assert found_by(start(7)) == ([min(OWN + 7, MOST), min(OWN + 7, MOST), session_of(7)], "")


def test_the_session_of_others_keeps_its_own():
    session = Path("/proc/self/autogroup")
    # Nothing where nobody has led a session since the machine began.
    said = session.read_text().split() if session.exists() else []
    own = said[-1] if said else None
    assert found_by(start(7, leads=False)) == ([min(OWN + 7, MOST), min(OWN + 7, MOST), own], "")


def test_0_changes_nothing():
    assert found_by(start(0)) == ([OWN, OWN, session_of(0)], "")


def test_several_at_once_get_what_they_ask_for_also_as_ordinary_users():
    started = [start(3, *NOBODY) for _ in range(3)]
    assert [found_by(each) for each in started] == [([min(OWN + 3, MOST), min(OWN + 3, MOST), session_of(3)], "")] * 3


def test_who_may_not_go_first_hears_of_it_and_goes_on():
    found, said = found_by(start(-5, *NOBODY))
    assert found == [OWN, OWN, session_of(0)]
    assert "nice_refused" in said
