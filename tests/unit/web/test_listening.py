"""The listener's thread: it hears, and it survives whatever is listened to."""

import threading
import time
from collections.abc import Callable

import pytest

from lamella.errors import BrokerUnavailable
from lamella.web import listening
from lamella.web.listening import Listener


class Broken:
    """Announces once at each connection, then breaks as it is told to."""

    def __init__(self, error: Exception) -> None:
        self.error, self.connections = error, 0

    def listen(self, heard: Callable[[], None], stop: threading.Event) -> None:
        self.connections += 1
        if self.connections > 4:
            stop.wait(120)
            return
        if self.connections % 2:
            heard()
        raise self.error


def until(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("error", [BrokerUnavailable("the broker is away"), ArithmeticError("a fault of ours")])
def test_a_connection_that_is_lost_is_made_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "FIRST_WAIT", 0.01)
    announcements, heard = Broken(error), []
    listener = Listener(announcements, lambda: heard.append(1))
    listener.start()
    until(lambda: announcements.connections == 5)
    assert len(heard) == 2
    listener.stop()


def test_a_listener_is_started_once_and_stops_at_once() -> None:
    announcements = Broken(BrokerUnavailable("away"))
    announcements.connections = 4
    listener = Listener(announcements, lambda: None)
    listener.start()
    listener.start()
    until(lambda: announcements.connections == 5)
    began = time.monotonic()
    listener.stop()
    assert time.monotonic() - began < 60
    assert announcements.connections == 5
