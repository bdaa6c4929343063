"""JSON over HTTP with one kept-alive connection a thread, time-outs, and retries that repeat the same request."""

import http.client
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import orjson

from lamella.client.problems import decode
from lamella.errors import InvalidInput, LamellaError, Unavailable

_FIRST_WAIT_SECONDS: Final = 0.05
_LONGEST_WAIT_SECONDS: Final = 2.0
_TRY_AGAIN: Final = frozenset({429, 502, 503, 504})


class Transport:
    """Requests to one service. Safe to share between threads; each thread has its own connection.

    `patience_seconds` is how long a repeatable request is tried again, while the service refuses connections, breaks
    them off, or answers 429, 502, 503 or 504. Raises InvalidInput for a `base_url` that is not http:// or https://.
    """

    def __init__(
        self, base_url: str, key: str, *, timeout_seconds: float = 30.0, patience_seconds: float = 60.0
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(f"base_url {base_url!r} is not an address; use one like http://127.0.0.1:8000")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._timeout_seconds, self._patience_seconds = timeout_seconds, patience_seconds
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._local = threading.local()

    def call(self, method: str, path: str, body: object = None, *, is_repeatable: bool = False) -> object:
        """The decoded JSON answer, None where it is empty.

        A repeatable request has the same effect however often it arrives; any other is sent once, over a connection
        of its own, so that it cannot be lost in one that the service has closed meanwhile. Raises the LamellaError
        that the answer names, and Unavailable where no answer came.
        """
        if not is_repeatable:
            self.close()
        payload = None if body is None else orjson.dumps(body)
        deadline = time.monotonic() + (self._patience_seconds if is_repeatable else 0.0)
        wait = _FIRST_WAIT_SECONDS
        while True:
            status, failure, answer = self._try(method, path, payload)
            if failure is None:
                return answer
            if status not in _TRY_AGAIN or time.monotonic() + wait > deadline:
                raise failure
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    def fetch(self, path: str, tag: str | None) -> tuple[str | None, bytes] | None:
        """The tag and the bytes that GET answers with, tried once; None where `tag` still names the answer.

        Raises the LamellaError that the answer names, and Unavailable where no answer came.
        """
        headers = self._headers if tag is None else {**self._headers, "If-None-Match": tag}
        status, failure, raw, found = self._ask("GET", path, None, headers)
        if failure is not None:
            raise failure
        return None if status == 304 else (found, raw)

    def close(self) -> None:
        """Closes the calling thread's connection; a later call opens a new one."""
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _try(self, method: str, path: str, payload: bytes | None) -> tuple[int, LamellaError | None, object]:
        """Status, error and decoded answer of one attempt."""
        status, failure, raw, _ = self._ask(method, path, payload, self._headers)
        return status, failure, None if failure is not None else _parse(raw)

    def _ask(
        self, method: str, path: str, payload: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, LamellaError | None, bytes, str | None]:
        """Status, error, body and tag of one attempt; a connection that broke counts as status 503."""
        try:
            connection = self._connection()
            connection.request(method, self._prefix + path, payload, headers)
            response = connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            where = f"{self._host}:{self._port or (443 if self._secure else 80)}"
            reason = str(error) or type(error).__name__
            failure = Unavailable(f"{method} {path}: {where} does not answer ({reason}); is the service up?")
            return 503, failure, b"", None
        if response.status < 400:
            return response.status, None, raw, response.headers.get("ETag")
        answer = _parse(raw)
        problem: Mapping[str, object] = answer if isinstance(answer, dict) else {}
        return response.status, decode(response.status, problem, path=path), b"", None

    def _connection(self) -> http.client.HTTPConnection:
        held: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if held is not None:
            return held
        make: Callable[..., http.client.HTTPConnection] = (
            http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        )
        self._local.connection = make(self._host, self._port, timeout=self._timeout_seconds)
        return self._connection()


def _parse(raw: bytes) -> object:
    if not raw:
        return None
    try:
        parsed: object = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return parsed
