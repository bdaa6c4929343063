"""Lists for requests that one event loop carries: those of a moment take each step together.

First who answers each of them, when it arrives; then what the models find, for all that have come; then the slates, one
write to the journal for all of them, and the answers. What runs for many in a row finds its code and its data in the
processor's caches: of four lists, each takes a fifth less than one that is made by itself.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson
import structlog

from lamella.services.keys import require
from lamella.services.ports import GroupJournal
from lamella.services.recommending import Answer, Found, Plan
from lamella.web.api.recommendations import answer_document, count
from lamella.web.auth import bearer
from lamella.web.front import Reply
from lamella.web.parsing import parse_wish
from lamella.web.requests import read_object
from lamella.web.telemetry import Telemetry
from lamella.web.wiring import Services

MOST_TOGETHER: Final = 16
"""So many lists are finished without waiting for another."""

_log = structlog.get_logger("lamella.web")


class _Finished(NamedTuple):
    """A list that is to be recorded and answered."""

    reply: Reply
    batch: bytes
    answer: Answer
    document: bytes


class AtOnce:
    """Makes lists for which nothing has to be waited for, on the loop that is running.

    It goes on to the next step once the loop has gone round and nobody has come: whoever had arrived is in it, and
    nobody who is not there is waited for. The write holds the loop up: it is short, and all wait for it.
    """

    def __init__(self, services: Services, telemetry: Telemetry, journal: GroupJournal) -> None:
        self._services, self._telemetry, self._journal = services, telemetry, journal
        self._planned: list[tuple[Plan, Reply]] = []
        self._found: list[tuple[Found, Reply]] = []
        self._is_due = False

    def take(self, header: str, body: bytes, reply: Reply) -> bool:
        """Whether the list is made here, for the Authorization header that came with it; `reply` is told later.

        Raises what is wrong with the request.
        """
        caller = self._services.keys.remembered(bearer(header))
        if caller is None or not self._services.snapshots.is_loaded:
            return False
        require(caller, "client")
        plan = self._services.recommending.planned_at_once(parse_wish(read_object(body)))
        if plan is None:
            return False
        self._planned.append((plan, reply))
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._step)
        return True

    def _step(self) -> None:
        room = MOST_TOGETHER - len(self._found)
        try:
            if self._planned and room:
                planned, self._planned = self._planned[:room], self._planned[room:]
                self._find(planned)
            else:
                found, self._found = self._found, []
                self._finish(found)
        finally:
            self._is_due = bool(self._planned or self._found)
            if self._is_due:
                asyncio.get_running_loop().call_soon(self._step)

    def _find(self, planned: Sequence[tuple[Plan, Reply]]) -> None:
        for plan, reply in planned:
            try:
                found = self._services.recommending.found_at_once(plan)
            except Exception:  # noqa: BLE001 - whatever it is, it comes again where it is rendered, counted and logged
                found = None
            if found is None:
                _tell(reply, None)
            else:
                self._found.append((found, reply))

    def _finish(self, found: Sequence[tuple[Found, Reply]]) -> None:
        finished: list[_Finished] = []
        for each, reply in found:
            try:
                finished.append(self._finished(each, reply))
            except Exception:  # noqa: BLE001 - as above
                _tell(reply, None)
        if finished:
            self._record(finished)

    def _record(self, finished: Sequence[_Finished]) -> None:
        try:
            self._journal.append_all([each.batch for each in finished])
        except Exception:  # noqa: BLE001 - as above; what does not fit together may fit one by one
            for each in finished:
                _tell(each.reply, None)
            return
        for each in finished:
            try:
                self._telemetry.appended("slate")
                count(self._telemetry, each.answer)
            except Exception:  # noqa: BLE001 - it is recorded: whoever heard of a failure would have another one made
                _log.exception("not_counted")
            _tell(each.reply, each.document)

    def _finished(self, found: Found, reply: Reply) -> _Finished:
        """The whole of an answer before it is recorded: nothing is left then that can fail.

        No variant is remembered too early by this: for lists that are made at once there is none to remember.
        """
        made = self._services.recommending.made(found)
        answer = self._services.recommending.answer(made)
        return _Finished(reply, made.batch(), answer, orjson.dumps(answer_document(answer)))


def _tell(reply: Reply, document: bytes | None) -> None:
    try:
        reply(document)
    except Exception:  # noqa: BLE001 - the others are owed their answers
        _log.exception("not_answered")
