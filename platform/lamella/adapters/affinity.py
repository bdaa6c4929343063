"""Web processes that fill a machine each keep to a CPU of their own.

Threads of a Python process hand its one lock (the GIL) to each other many times in a request. Where they wake up on
different CPUs, each hand-over costs an interrupt between them and cold caches: scoring by four threads took 1,230 µs of
CPU a request on two CPUs, 500 µs on one (470 µs by a single thread).
"""

import os
import socket
import sys
from typing import Final

_ON_LINUX: Final = bool(sys.platform == "linux")
_held: Final[list[socket.socket]] = []
"""The places of this process: given back by the kernel when it ends, however it ends."""


def settle(processes: int, *, always: bool = False, group: int | None = None) -> int | None:
    """The CPU that this process keeps to from now on, with all its threads to come; None where it keeps to none.

    `processes` like this one run in `group` (the parent's pid). Unless `always`, they settle only where they are as
    many as the CPUs they may use: fewer could share one with another program while others idle. Call it before the
    process has further threads. Does nothing where the system is not Linux.
    """
    if not _ON_LINUX:
        return None
    cpus = sorted(os.sched_getaffinity(0))
    if processes < len(cpus) and not always:
        return None
    place = _place(os.getppid() if group is None else group, processes)
    if place is None:
        return None
    cpu = cpus[place % len(cpus)]
    os.sched_setaffinity(0, {cpu})
    return cpu


def _place(group: int, processes: int) -> int | None:
    """The first place that no living process of the group has; None where there is none."""
    for place in range(processes):
        # An abstract name: taken by one process at a time, and no file that could be left behind.
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            holder.bind(f"\0lamella-place-{group}-{place}")
        except OSError:
            holder.close()
        else:
            _held.append(holder)
            return place
    return None
