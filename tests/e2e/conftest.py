"""Free ports, processes, and patience."""

import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def free_ports() -> tuple[int, int]:
    """Two ports of 127.0.0.1 on which nobody listens."""
    with socket.socket() as one, socket.socket() as other:
        for listener in (one, other):
            listener.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


@pytest.fixture
def free_port(free_ports: tuple[int, int]) -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    return free_ports[0]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No LAMELLA_* variable of the person who runs the tests reaches the processes that they start."""
    for name in [name for name in os.environ if name.startswith("LAMELLA_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def wait_until() -> Callable[[Callable[[], object], float], float]:
    """Waits for a claim to hold, at most so many seconds; returns how long it took."""

    def wait(claim: Callable[[], object], seconds: float) -> float:
        began = time.monotonic()
        while not claim():
            assert time.monotonic() - began < seconds, "waited in vain"
            time.sleep(0.05)
        return time.monotonic() - began

    return wait


@pytest.fixture
def status_of() -> Callable[[str], int]:
    """The status with which a URL answers; 0 where nobody does."""

    def status(url: str) -> int:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return 0

    return status


@pytest.fixture
def is_running() -> Callable[[int], bool]:
    """Whether a process runs; one that has ended and was not yet waited for does not."""

    def running(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    return running
