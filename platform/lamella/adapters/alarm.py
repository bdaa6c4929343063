"""A limit on the time for which an upload is built, so that a file that makes its reader hang ends with a reason."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import FrameType
from typing import Final

from lamella.errors import TrainingFault
from lamella.services.model_ports import ModelVersion, TrainingRun
from lamella.services.training import PUBLISHING, Builder, Progress

BUILD_SECONDS: Final = 600.0


class TimedBuilder:
    """A builder that is interrupted after `seconds`.

    A signal does it, which only the main thread of a process gets, where the workers do their tasks; in another
    thread there is no limit.
    """

    def __init__(self, inner: Builder, *, seconds: float = BUILD_SECONDS) -> None:
        self._inner, self._seconds = inner, seconds

    def build(self, run: TrainingRun, *, at: datetime, progress: Progress) -> ModelVersion:
        """The version that the inner builder published. Raises what that raises, and TrainingFault when time is up.

        What has begun to be published is not interrupted.
        """
        if threading.current_thread() is not threading.main_thread():
            return self._inner.build(run, at=at, progress=progress)

        def tell(share: float, message: str) -> None:
            if share >= PUBLISHING:
                signal.setitimer(signal.ITIMER_REAL, 0)
            progress(share, message)

        with _interrupted_after(self._seconds):
            return self._inner.build(run, at=at, progress=tell)

    def discard(self, upload: str) -> None:
        """Removes what was uploaded; nothing where that is gone."""
        self._inner.discard(upload)


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TrainingFault(
            f"the upload was not built within {seconds:g} seconds and was given up; is it what its kind expects?"
        )

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
