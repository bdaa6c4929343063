"""Turns: work of which one at a time is enough, whoever does it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis import Redis
from redis.exceptions import LockError, RedisError
from redis.lock import Lock

TURN_SECONDS: Final = 10
_RENEW_SECONDS: Final = 2.0


class Turns:
    """Turns over the broker at `url`; one is renewed while it is held, and free 10 s after its holder was killed."""

    def __init__(self, url: str) -> None:
        self._client = Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)

    def close(self) -> None:
        """Disconnect; the next turn connects again."""
        self._client.close()

    @contextmanager
    def take(self, name: str) -> Iterator[bool]:
        """Whether the block may do the work: False where another holds the turn.

        Fail-open: True where the broker does not answer. Doing the work twice is safe, only wasteful.
        """
        lock = Lock(self._client, f"lamella:turn:{name}", timeout=TURN_SECONDS, thread_local=False)
        try:
            is_mine = lock.acquire(blocking=False)
        except RedisError:
            yield True
            return
        if not is_mine:
            yield False
            return
        done = threading.Event()
        threading.Thread(target=_renew, args=(lock, done), name=f"turn-{name}", daemon=True).start()
        try:
            yield True
        finally:
            done.set()
            _release(lock)


def _renew(lock: Lock, done: threading.Event) -> None:
    while not done.wait(_RENEW_SECONDS):
        try:
            lock.reacquire()
        except (RedisError, LockError):
            return


def _release(lock: Lock) -> None:
    try:
        lock.release()
    except (RedisError, LockError):
        # It was lost meanwhile, or ends by itself in 10 s.
        return
