"""Statements that a connection of PostgreSQL works on while the caller makes the next one, or does something else."""

import select
from collections.abc import Callable, Generator, Iterable
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import psycopg
from psycopg import generators
from psycopg.copy import LibpqWriter
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format, TransactionStatus
from psycopg.waiting import Wait

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

Result = TypeVar("Result")
Work: TypeAlias = Callable[[], bool]
"""Does a little of something else, some milliseconds at most, and says whether anything is left to do."""

_READY: Final = 2
"""Parts of a COPY that are made while the server works on what was before."""
_EVENTS: Final = {
    Wait.R: select.POLLIN,
    Wait.W: select.POLLOUT,
    Wait.RW: select.POLLIN | select.POLLOUT,
}


class Sender:
    """What one connection was told and has not confirmed: one statement at most, whose error comes with `settle`.

    While the server lets the caller wait for something long, `work` is done in its thread: a thread of its own would
    take turns with this one at Python's lock, and both would take half as long again.
    """

    def __init__(self, driver: "psycopg.Connection[Any]", work: Work | None = None) -> None:
        self._driver = driver
        self._work = work or _nothing
        self._is_waiting = self._is_brief = False

    def copy(self, statement: str, parts: Iterable[Any]) -> None:
        """Sends a COPY and all its bytes, once the statement before has ended; the first of them are made before."""
        rest = iter(parts)
        first = list(islice(rest, _READY))
        self.settle()
        cursor = self._driver.cursor()
        with cursor, cursor.copy(statement, writer=_Leaving(cursor, self)) as copy:
            for part in chain(first, rest):
                copy.write(part)
        self._is_waiting = True

    def send(self, statement: str, *numbers: int, is_brief: bool = False) -> None:
        """Sends a statement with a number for each `?`, once the statement before has ended.

        One that `is_brief` has ended sooner than a step of work would: nothing is done meanwhile.
        """
        self._begin()
        self._driver.pgconn.send_query(statement.replace("?", "{:d}").format(*numbers).encode())
        self._driver.wait(generators.send(self._driver.pgconn))
        self._is_waiting, self._is_brief = True, is_brief

    def ask(self, statement: str, value: bytes, oid: int) -> "PGresult":
        """The answer to a statement with one parameter, which has the type `oid`; both are in the binary format."""
        self._begin()
        binary = Format.BINARY
        self._driver.pgconn.send_query_params(
            statement.encode(), [value], param_types=[oid], param_formats=[binary], result_format=binary
        )
        self._driver.wait(generators.send(self._driver.pgconn))
        (result,) = self._answers()
        return result

    def commit(self) -> None:
        """Ends the transaction: whoever does it once more finds none."""
        self.send("COMMIT")
        self.settle()

    def settle(self) -> None:
        """Waits until nothing is under way. Raises the driver's error if what was under way failed."""
        if self._is_waiting:
            is_brief = self._is_brief
            self._is_waiting = self._is_brief = False
            self._answers(is_brief=is_brief)

    def _begin(self) -> None:
        self.settle()
        if not self._driver.autocommit and self._driver.info.transaction_status == TransactionStatus.IDLE:
            self._driver.execute(";")  # psycopg begins a transaction before it

    def _answers(self, *, is_brief: bool = False) -> "list[PGresult]":
        wait = self._driver.wait if is_brief else self.wait
        results: list[PGresult] = wait(generators.fetch_many(self._driver.pgconn))
        for result in results:
            if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
                raise error_from_result(result, encoding=self._driver.info.encoding)
        return results

    def wait(self, talking: "Generator[Any, Any, Result]") -> Result:
        """What a generator of the driver returns; where it has to wait for the server, work is done."""
        return self._driver.wait(self._meanwhile(talking))

    def _meanwhile(self, talking: "Generator[Any, Any, Result]") -> "Generator[Any, Any, Result]":
        try:
            wanted = next(talking)
            while True:
                poll = select.poll()
                poll.register(self._driver.fileno(), _EVENTS[wanted])
                while not poll.poll(0) and self._work():
                    pass
                wanted = talking.send((yield wanted))
        except StopIteration as end:
            found: Result = end.value
            return found


class _Leaving(LibpqWriter):
    """Leaves once everything is sent: the server's answer is read later."""

    def __init__(self, cursor: "psycopg.Cursor[Any]", sender: Sender) -> None:
        super().__init__(cursor)
        self._sender = sender

    def write(self, data: Any) -> None:
        """Hands over the bytes."""
        self._sender.wait(generators.copy_to(self.connection.pgconn, data, flush=True))

    def finish(self, exc: BaseException | None = None) -> None:
        """Ends the COPY; one that failed here is undone, which is waited for."""
        if exc is not None:
            super().finish(exc)
            return
        pgconn = self.connection.pgconn
        while pgconn.put_copy_end(None) == 0:
            self._sender.wait(generators.send(pgconn))
        self._sender.wait(generators.send(pgconn))


def _nothing() -> bool:
    return False
