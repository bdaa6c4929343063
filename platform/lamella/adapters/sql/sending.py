"""Statements that a connection of PostgreSQL works on while the caller makes the next one."""

from collections.abc import Iterable
from itertools import chain, islice
from typing import Any, Final

import psycopg
from psycopg import generators
from psycopg.copy import LibpqWriter
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus

_READY: Final = 2
"""Parts of a COPY that are made while the server works on what was before."""


class Sender:
    """What one connection was told and has not confirmed: one statement at most, whose error comes with `settle`."""

    def __init__(self, driver: "psycopg.Connection[Any]") -> None:
        self._driver = driver
        self._is_waiting = False

    def copy(self, statement: str, parts: Iterable[Any]) -> None:
        """Sends a COPY and all its bytes, once the statement before has ended; the first of them are made before."""
        rest = iter(parts)
        first = list(islice(rest, _READY))
        self.settle()
        cursor = self._driver.cursor()
        with cursor, cursor.copy(statement, writer=_Leaving(cursor)) as copy:
            for part in chain(first, rest):
                copy.write(part)
        self._is_waiting = True

    def send(self, statement: str, *numbers: int) -> None:
        """Sends a statement with a number for each `?`, once the statement before has ended."""
        self.settle()
        if self._driver.info.transaction_status == TransactionStatus.IDLE:
            self._driver.execute(";")  # psycopg begins a transaction before it
        self._driver.pgconn.send_query(statement.replace("?", "{:d}").format(*numbers).encode())
        self._driver.wait(generators.send(self._driver.pgconn))
        self._is_waiting = True

    def settle(self) -> None:
        """Waits until nothing is under way. Raises the driver's error if what was under way failed."""
        if not self._is_waiting:
            return
        self._is_waiting = False
        for result in self._driver.wait(generators.fetch_many(self._driver.pgconn)):
            if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
                raise error_from_result(result, encoding=self._driver.info.encoding)


class _Leaving(LibpqWriter):
    """Leaves once everything is sent: the server's answer is read later."""

    def finish(self, exc: BaseException | None = None) -> None:
        """Ends the COPY; one that failed here is undone, which is waited for."""
        if exc is not None:
            super().finish(exc)
            return
        pgconn = self.connection.pgconn
        while pgconn.put_copy_end(None) == 0:
            self.connection.wait(generators.send(pgconn))
        self.connection.wait(generators.send(pgconn))
