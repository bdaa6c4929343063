"""Processes that end with their parent, also when the parent is killed with -9.

Run as a script (`python lifeline.py PARENT_PID PROGRAM ARGUMENT…`) it ties itself to the parent and then becomes
the program: no code runs between fork and exec, which would be unsafe in a process that has threads. It imports
the standard library only, so that it starts in some milliseconds.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

PR_SET_PDEATHSIG: Final = 1
# Through a name: a type checker takes sys.platform itself for a constant of its own machine.
_ON_LINUX: Final = bool(sys.platform == "linux")
_POLL_SECONDS: Final = 0.5


def command(program: Sequence[str]) -> list[str]:
    """The command that runs `program` as a child which ends with this process.

    On Linux the kernel counts the *thread* that starts the child as the parent: start it from a thread that lives
    as long as the child is wanted.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *program]


def die_with_parent(parent: int | None = None) -> None:
    """Tie this process to its parent; ends it at once where `parent` is no longer the one.

    The kernel does it on Linux (SIGKILL: there is nobody left to stop in order for). Elsewhere a thread looks
    twice a second.
    """
    parent = os.getppid() if parent is None else parent
    if _ON_LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), name="lifeline", daemon=True).start()
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _become(parent: int, program: Sequence[str]) -> int:
    """Never returns on Linux; elsewhere the exit code of the program, which this process watches over."""
    if _ON_LINUX:
        die_with_parent(parent)
        os.execvp(program[0], list(program))  # noqa: S606 - our own programs
    child = subprocess.Popen(program)  # noqa: S603 - our own programs
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: child.send_signal(received))
    while (code := child.poll()) is None:
        if os.getppid() != parent:
            child.kill()
        time.sleep(_POLL_SECONDS)
    return code


if __name__ == "__main__":
    sys.exit(_become(int(sys.argv[1]), sys.argv[2:]))
