"""How processes share the cores of a machine: who answers requests goes before who works behind them."""

import os
import time
from pathlib import Path
from typing import Final

import structlog

_SESSION: Final = Path("/proc/self/autogroup")
_TRIES: Final = 5
_PAUSE_SECONDS: Final = 0.12
"""Linux takes one such wish of ordinary users a tenth of a second, and tells others to try again."""


def be_nice(more: int) -> None:
    """This thread, and threads and children that it starts, are nicer to others by so much, of 40 steps in all.

    Who is less nice (below 0) goes first; 0 changes nothing. Linux shares a core among sessions first (autogroups, see
    sched(7)) and goes by the nice value only within one: who leads a session speaks for it as well. Below 0 needs root
    or CAP_SYS_NICE; where the system refuses, all stays as it is and the log says so.
    """
    if not more:
        return
    try:
        os.nice(more)
        if _SESSION.exists() and os.getsid(0) == os.getpid():
            _ask_for_session(more)
    except OSError:
        structlog.get_logger("lamella.nice").warning("nice_refused", nice=more)


def _ask_for_session(nice: int) -> None:
    for _ in range(_TRIES):
        try:
            _SESSION.write_text(str(nice))
        except BlockingIOError:
            time.sleep(_PAUSE_SECONDS)
        else:
            return
