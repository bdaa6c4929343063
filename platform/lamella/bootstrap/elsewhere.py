"""Statistics on demand in a process of their own: a web process never holds SciPy in its memory."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Final

import orjson

from lamella.config import PREFIX, Settings
from lamella.errors import InvalidInput, Overloaded, Unavailable
from lamella.experiments.model import Json

_SECONDS: Final = 120.0
_AT_ONCE: Final = 2
_REFUSED: Final = 2


class SegmentsElsewhere:
    """`lamella segments` as a child, at most two at once in this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._room = threading.BoundedSemaphore(_AT_ONCE)

    def __call__(self, key: str, by: Sequence[str], metrics: Sequence[str]) -> dict[str, Json]:
        """The document that `slicing.segments_of` makes.

        Raises Overloaded while others are at work, InvalidInput for what the child refuses, Unavailable where it fails.
        """
        if not self._room.acquire(blocking=False):
            raise Overloaded("the room for analyses on demand")
        try:
            return self._run(key, by, metrics)
        finally:
            self._room.release()

    def _run(self, key: str, by: Sequence[str], metrics: Sequence[str]) -> dict[str, Json]:
        options = [*(f"--by={each}" for each in by), *(f"--metric={each}" for each in metrics), "--json", "--", key]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        try:
            done = subprocess.run(  # noqa: S603 - our own command, no shell; what comes from outside is one argument each
                [sys.executable, "-m", "lamella", "segments", *options],
                env=environment | self._settings.to_environment(),
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"the analysis took more than {_SECONDS:g} s; ask for fewer metrics") from None
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().removeprefix("error: ")
            if done.returncode == _REFUSED:
                raise InvalidInput(said)
            raise Unavailable(f"the analysis failed: {said.splitlines()[-1][:300] if said else done.returncode}")
        document: dict[str, Json] = orjson.loads(done.stdout)
        return document
