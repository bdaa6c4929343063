"""The journal for requests that one event loop carries: what is ready in one moment is written together."""

import asyncio
from typing import Final, TypeAlias

from lamella.errors import Overloaded
from lamella.services.ports import GroupJournal

_Waiting: TypeAlias = "list[tuple[bytes, asyncio.Future[None]]]"

MOST: Final = 16
"""So many batches are written without waiting for another."""
ROUNDS: Final = 3
"""From the socket to here a request takes as many rounds of the loop: it is read, its task begins, its list is made."""


class Gathering:
    """Appends batches to `journal`, for the coroutines of one event loop.

    It writes once the loop has gone round some times and nobody has come: until then requests that had arrived are
    still being worked off, and their batches come into the same write. It waits for nobody who is not there, so a
    request alone pays those rounds. The write itself holds the loop up: it is short, and all wait for it.
    """

    def __init__(self, journal: GroupJournal) -> None:
        self._journal = journal
        self._waiting: _Waiting = []

    async def append(self, batch: bytes) -> None:
        """Returns once `batch` is durable. Raises as `Journal.append`; nothing was kept then."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((batch, done))
        if len(self._waiting) == 1:
            loop.call_soon(self._look, loop, 1, ROUNDS)
        await done

    def _look(self, loop: asyncio.AbstractEventLoop, seen: int, rounds: int) -> None:
        count = len(self._waiting)
        if count > seen:
            rounds = ROUNDS
        if rounds > 1 and count < MOST:
            loop.call_soon(self._look, loop, count, rounds - 1)
            return
        waiting, self._waiting = self._waiting, []
        try:
            self._append(waiting)
        except BaseException as error:
            _tell(waiting, error)
            if not isinstance(error, Exception):
                raise
        else:
            _tell(waiting, None)

    def _append(self, waiting: _Waiting) -> None:
        try:
            self._journal.append_all([batch for batch, _ in waiting])
        except Overloaded:
            if len(waiting) == 1:
                raise
            # What does not fit together may fit in part.
            for each in waiting:
                try:
                    self._journal.append_all([each[0]])
                except Overloaded as error:
                    _tell([each], error)
                else:
                    _tell([each], None)


def _tell(waiting: _Waiting, error: BaseException | None) -> None:
    for _, done in waiting:
        if done.done():  # it was told already, or its request was given up, and the batch stays
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
