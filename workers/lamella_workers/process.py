"""What a worker process holds: built in the child after the fork, at its first task."""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import structlog
from celery import signals

from lamella.adapters import lifeline
from lamella.bootstrap.worker import WorkerServices, worker_services
from lamella.config import Settings
from lamella.errors import LamellaError, Unavailable

Arguments = ParamSpec("Arguments")


class Work:
    """The use cases of this process; each forked child makes its own, so that no connection crosses a fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._owner = 0
        self._services: WorkerServices | None = None

    def services(self) -> WorkerServices:
        """The use cases; connected at the first call in a process."""
        if self._services is None or self._owner != os.getpid():
            self._services, self._owner = worker_services(self._settings), os.getpid()
        return self._services

    def task(
        self, body: Callable[Concatenate[WorkerServices, Arguments], object], *, is_retried: bool = False
    ) -> Callable[Arguments, None]:
        """`body` as a task: it gets this process's use cases, and a LamellaError is logged as one sentence.

        With `is_retried`, what is unavailable is raised, for Celery to try again; a task of the schedule need not, it
        comes again anyway. Anything else is a fault of ours and is raised for Celery to log in full.
        """

        @wraps(body)
        def carry_out(*arguments: Arguments.args, **options: Arguments.kwargs) -> None:
            log = structlog.get_logger("lamella.tasks").bind(task=body.__name__, arguments=arguments)
            try:
                body(self.services(), *arguments, **options)
            except Unavailable as error:
                log.warning("task failed", code=error.code, reason=str(error), is_retried=is_retried)
                if is_retried:
                    raise
            except LamellaError as error:
                log.error("task failed", code=error.code, reason=str(error))  # noqa: TRY400 - no fault of ours

        return carry_out


def tie_children() -> None:
    """From now on a pool child ends with its worker, also at kill -9, and is quiet about TensorFlow's start."""
    signals.worker_process_init.connect(_begin, weak=False, dispatch_uid="lamella.lifeline")


def _begin(**_: Any) -> None:
    lifeline.die_with_parent()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
