"""How processes share the cores of a machine: who answers requests goes before who works behind them."""

import os
import random
import time
from pathlib import Path
from typing import Final

import structlog

_SESSION: Final = Path("/proc/self/autogroup")
_TRIES: Final = 20
_LONGEST_PAUSE_SECONDS: Final = 0.25
"""Linux takes one wish of ordinary users a tenth of a second, of all on the machine together; others try again."""


def be_nice(more: int) -> None:
    """This thread, and threads and children that it starts, are nicer to others by so much, of 40 steps in all.

    Who is less nice (below 0) goes first; 0 changes nothing. Linux shares a core among sessions first (autogroups, see
    sched(7)) and goes by the nice value only within one: who leads a session speaks for it as well. Below 0 needs root
    or CAP_SYS_NICE. What the system refuses stays as it is, and the log says which.
    """
    if not more:
        return
    log = structlog.get_logger("lamella.nice")
    try:
        os.nice(more)
    except OSError as error:
        log.warning("nice_refused", nice=more, reason=str(error))
        return
    if _SESSION.exists() and os.getsid(0) == os.getpid():
        try:
            _ask_for_session(more)
        except OSError as error:
            log.warning("session_nice_refused", nice=more, reason=str(error))


def _ask_for_session(nice: int) -> None:
    for left in reversed(range(_TRIES)):
        try:
            _SESSION.write_text(str(nice))
        except BlockingIOError:
            if not left:
                raise
            # Not in step with others, who were told to try again at the same moment.
            time.sleep(random.uniform(0.0, _LONGEST_PAUSE_SECONDS))  # noqa: S311 - no secret
        else:
            return
