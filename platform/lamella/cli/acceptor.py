"""Who accepts a connection: of the workers that wait at one listening socket, one that has the fewest."""

import asyncio
import mmap
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

LOOK_AGAIN_SECONDS: Final = 0.001
"""The clock of uvloop's timers goes by milliseconds."""
PATIENCE: Final = 5
"""So many looks a worker that has more leaves a connection to one that has fewer: it may be at work, or held up."""
ABSENT: Final = 10
ABSENT_SECONDS: Final = 0.1
"""After so many times in vain nobody waits for so long, unless that number changes: somebody hangs, or was stopped."""
RETRY_SECONDS: Final = 1.0
"""So long nothing is accepted after the system could not, for want of files or memory."""
LEEWAY: Final = 8
"""One more for so many connections that the others have is no reason to leave one to them."""
SHORT_SECONDS: Final = 0.1
HURRY: Final = 4
"""Nothing is left to others while so many connections end in that time that lasted no longer: where each brings one
request, no worker has many for long."""
HASTE: Final = 8
"""So many that wait are accepted then, before those that are there have their turn."""
_NOBODY: Final = 2**32 - 1

Protocols = Callable[[], asyncio.Protocol]


class Seats:
    """How many connections each of up to `count` workers has, in memory that processes share after a fork.

    A worker writes its own number, its parent that it has ended, and nobody waits for anybody: what others read is some
    microseconds old.
    """

    def __init__(self, count: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, 4 * count)).cast("I")
        for seat in range(count):
            self.leave(seat)

    def __len__(self) -> int:
        return len(self._counts)

    def note(self, seat: int, connections: int) -> None:
        """The worker on this seat has so many."""
        self._counts[seat] = connections

    def leave(self, seat: int) -> None:
        """Nobody is there who would accept one."""
        self._counts[seat] = _NOBODY

    def fewest_of_others(self, seat: int) -> int:
        """The fewest that one of the other workers has; a number beyond all where there are no others."""
        return min((found for other, found in enumerate(self._counts) if other != seat), default=_NOBODY)


class Acceptor:
    """Accepts connections from `listener` for one worker, which is what an asyncio.Server does for a process alone.

    The kernel wakes every worker that waits at a socket, and one that has nothing to do takes all that have come, of
    eight connections six or more; a socket for each (SO_REUSEPORT) splits them by chance, 5 to 3 or worse two times of
    three. Here a worker that has more than another one looks away for some milliseconds. `make` makes the protocol of
    a new connection, whose end is told by `lost`.
    """

    def __init__(self, listener: socket.socket, seats: Seats, seat: int | None, make: Protocols) -> None:
        self._listener, self._seats, self._seat, self._make = listener, seats, seat, make
        self._loop = asyncio.get_running_loop()
        self._count = 0
        self._short_ends: deque[float] = deque(maxlen=HURRY)
        self._coming: set[asyncio.Task[object]] = set()
        self._looks = 0
        self._passed, self._times, self._absent_until = _NOBODY, 0, 0.0
        self._later: asyncio.TimerHandle | None = None
        self._log = structlog.get_logger("lamella.web")

    def start(self) -> None:
        """Accept from now on."""
        self._listener.settimeout(0.0)
        self._watch()

    def lost(self, seconds: float) -> None:
        """A connection has ended that lasted so long."""
        if seconds < SHORT_SECONDS:
            self._short_ends.append(self._loop.time())
        self._count -= 1
        self._note()

    def close(self) -> None:
        """Accept none any more; those that are there go on."""
        if self._listener.fileno() < 0:
            return
        if self._seat is not None:
            self._seats.leave(self._seat)
            self._seat = None
        if self._later is not None:
            self._later.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    async def wait_closed(self) -> None:
        """There is nothing to wait for."""

    async def settle(self) -> None:
        """Returns once those that were accepted are connections, whom the end of the server can be told."""
        if self._coming:
            await asyncio.wait(self._coming)

    def _note(self) -> None:
        """Tells the others how many connections this worker has."""
        if self._seat is not None:
            self._seats.note(self._seat, self._count)

    def _watch(self) -> None:
        self._looks, self._later = 0, None
        self._note()
        self._loop.add_reader(self._listener, self._accept)

    def _look_away(self, seconds: float, then: Callable[[], None]) -> None:
        if self._later is None:
            self._loop.remove_reader(self._listener)
        self._later = self._loop.call_later(seconds, then)

    def _accept(self) -> None:
        if self._looks < PATIENCE and not self._is_ours():
            self._looks += 1
            self._look_away(LOOK_AGAIN_SECONDS, self._accept)
            return
        try:
            self._accept_some()
        except OSError as error:
            self._log.error("cannot_accept", reason=str(error))
            if self._seat is not None:
                self._seats.leave(self._seat)
            self._look_away(RETRY_SECONDS, self._watch)
            return
        if self._later is not None:
            self._watch()

    def _accept_some(self) -> None:
        """Accepts one, or those that wait where there is a hurry. Raises OSError where the system cannot."""
        for _ in range(HASTE if self._is_in_a_hurry() else 1):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return  # another was faster, or the client has gone
            self._learn()
            self._take(connection)

    def _is_ours(self) -> bool:
        if self._seat is None or self._is_in_a_hurry():
            return True
        fewest = self._seats.fewest_of_others(self._seat)
        is_absent = fewest == self._passed and self._times >= ABSENT and self._loop.time() < self._absent_until
        return is_absent or self._count <= fewest + fewest // LEEWAY

    def _learn(self) -> None:
        """Counts how often one with the same number of connections was waited for in vain."""
        if self._seat is None or self._looks < PATIENCE:
            return
        fewest = self._seats.fewest_of_others(self._seat)
        self._times = self._times + 1 if fewest == self._passed else 1
        self._passed, self._absent_until = fewest, self._loop.time() + ABSENT_SECONDS

    def _is_in_a_hurry(self) -> bool:
        return len(self._short_ends) == HURRY and self._loop.time() - self._short_ends[0] < SHORT_SECONDS

    def _take(self, connection: socket.socket) -> None:
        self._count += 1
        self._note()
        task: asyncio.Task[object] = self._loop.create_task(self._loop.connect_accepted_socket(self._make, connection))
        self._coming.add(task)
        task.add_done_callback(partial(self._taken, connection))

    def _taken(self, connection: socket.socket, task: "asyncio.Task[object]") -> None:
        self._coming.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log.warning("connection_failed", reason=str(error))
        if error is not None or task.cancelled():
            connection.close()
            self.lost(0.0)
