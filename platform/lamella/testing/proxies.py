"""A network that fails: a TCP proxy on 127.0.0.1 that a test tells what to do with what passes through."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Final

_CHUNK: Final = 65_536


class Mode(Enum):
    """What the proxy does with a connection: all but OPEN are faults."""

    OPEN = "open"
    CUT = "cut"
    """The request arrives; the connection ends instead of the answer."""
    HANG = "hang"
    """The request arrives; the answer never does, and the connection stays open."""
    REFUSE = "refuse"
    """Nothing arrives."""


class Proxy:
    """Stands at `port` before a server. `mode` may be set at any time; `lost` counts answers that it kept back."""

    def __init__(self, host: str, port: int) -> None:
        self.mode = Mode.OPEN
        self.lost = 0
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def close(self) -> None:
        """Listens no more and ends every connection."""
        # Wakes the thread that waits in accept; closing alone does not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for each in list(self._open):
                self._end(each)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self.mode is Mode.REFUSE:
                    near.close()
                    continue
                try:
                    far = socket.create_connection(self._target, timeout=10)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                with self._lock:
                    self._open |= {near, far}
                threading.Thread(target=self._carry, args=(near, far), daemon=True).start()
                threading.Thread(target=self._answer, args=(far, near), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        """Requests, as they are."""
        with suppress(OSError):
            while (chunk := near.recv(_CHUNK)) and self.mode is not Mode.REFUSE:
                far.sendall(chunk)
        self._forget(near, far)

    def _answer(self, far: socket.socket, near: socket.socket) -> None:
        """Answers, where the mode lets them through."""
        with suppress(OSError):
            while chunk := far.recv(_CHUNK):
                if self.mode is Mode.OPEN:
                    near.sendall(chunk)
                    continue
                self.lost += 1
                if self.mode is Mode.CUT:
                    break
        self._forget(near, far)

    def _forget(self, *ends: socket.socket) -> None:
        with self._lock:
            for each in ends:
                self._end(each)

    def _end(self, each: socket.socket) -> None:
        # Closing wakes nobody who reads; shutting down does.
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        if each in self._open:
            self._open.remove(each)
            each.close()


@contextmanager
def proxy(host: str, port: int) -> Iterator[Proxy]:
    """A proxy before the server at `host`:`port`, gone at the end of the block."""
    made = Proxy(host, port)
    try:
        yield made
    finally:
        made.close()
