"""One child process: started, watched, started again, stopped."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lamella.adapters import lifeline
from lamella.supervisor.log import LOG_BYTES, newest, rotate

_FIRST_DELAY_SECONDS: Final = 0.2
_LONGEST_DELAY_SECONDS: Final = 10.0
_STEADY_SECONDS: Final = 30.0
_TAIL_BYTES: Final = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a child runs. `is_ready` asks whether it does its work; `patience_seconds` bound its orderly end.

    A log of more than `log_bytes` is moved aside.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    is_ready: Callable[[], bool]
    patience_seconds: float = 5.0
    log_bytes: int = LOG_BYTES


@dataclass(slots=True)
class Child:
    """A program as a process of this one. Start it from a thread that lives as long as it (see `lifeline`)."""

    program: Program
    was_ready: bool = False
    restart_at: float | None = None
    _process: subprocess.Popen[bytes] | None = None
    _started: float = 0.0
    _failures: int = 0
    _log_offset: int = field(default=0)

    @property
    def pid(self) -> int | None:
        """The process id; None while it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> int:
        """Start the process; returns its pid."""
        program = self.program
        self._log_offset = program.log.stat().st_size if program.log.exists() else 0
        with program.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs
                lifeline.command(program.command),
                env={**os.environ, **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C goes to the supervisor alone, which then stops its children in order.
                start_new_session=True,
            )
        self._started, self.restart_at = time.monotonic(), None
        return self._process.pid

    def ended(self) -> str | None:
        """How the process ended ("exit code 1", "signal 9"); None while it runs."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def check_ready(self) -> bool:
        """Whether the program does its work; asked until it once said yes."""
        self.was_ready = self.was_ready or (self.pid is not None and self.program.is_ready())
        return self.was_ready

    def plan_restart(self) -> float:
        """The seconds until the next start: longer with each failure, short again after half a steady minute."""
        steady = time.monotonic() - self._started > _STEADY_SECONDS
        self._failures = 0 if steady else self._failures + 1
        delay: float = min(_FIRST_DELAY_SECONDS * 2 ** max(self._failures - 1, 0), _LONGEST_DELAY_SECONDS)
        self.restart_at = time.monotonic() + delay
        return delay

    def bound_log(self) -> None:
        """Move the log aside where it is large; one that cannot be moved stops nothing."""
        with suppress(OSError):
            self._log_offset -= rotate(self.program.log, limit_bytes=self.program.log_bytes)

    def complaint(self) -> str:
        """The sentence after `error:` in what the process logged since its start, or ""."""
        errors = [line.removeprefix("error:").strip() for line in self._tail() if line.startswith("error:")]
        return errors[-1] if errors else ""

    def last_words(self) -> str:
        """Its complaint, else the last line that it logged since its start, or ""."""
        return self.complaint() or "".join(self._tail()[-1:])

    def ask_to_stop(self) -> None:
        """Send SIGTERM; nothing where the process has ended."""
        self._signal(signal.SIGTERM)

    def wait(self) -> None:
        """Returns when the process has ended; it is killed when its patience is over."""
        if self._process is None:
            return
        try:
            self._process.wait(self.program.patience_seconds)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _tail(self) -> list[str]:
        """The newest lines that the process logged since its start, without empty ones."""
        text = newest(self.program.log, self._log_offset, _TAIL_BYTES).decode(errors="replace")
        return [line.strip() for line in text.splitlines() if line.strip()]

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
