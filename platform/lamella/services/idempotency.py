"""Retries that change nothing twice: a POST with an Idempotency-Key is done once, and its answer is kept for a day."""

import hashlib
from datetime import timedelta
from typing import Final

from lamella.errors import IdempotencyInProgress, IdempotencyMismatch
from lamella.services.admin_ports import Answer, AnswerStore
from lamella.services.ports import Clock

KEPT_TIME: Final = timedelta(hours=24)
"""How long a key and its answer are remembered."""

CLAIM_TIME: Final = timedelta(seconds=60)
"""When a request without an answer counts as dead, so that its key is free again."""

LONGEST_KEY: Final = 255


class Idempotency:
    """The keys of retries, each belonging to one holder of an API key."""

    def __init__(self, store: AnswerStore, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def begin(self, holder: str, key: str, request: bytes) -> Answer | None:
        """None where the request is to be carried out now; else the kept answer of the same request.

        Raises IdempotencyMismatch where the key belongs to another request, IdempotencyInProgress where the same one
        is at work.
        """
        digest = hashlib.sha256(request).digest()
        kept = self._store.claim(holder, key, digest, at=self._clock.now())
        if kept is None:
            return None
        if kept.digest != digest:
            raise IdempotencyMismatch(key)
        if kept.answer is None:
            raise IdempotencyInProgress(key)
        return kept.answer

    def end(self, holder: str, key: str, answer: Answer) -> None:
        """Keeps the answer; one that says "try again" (429, 5xx) is not kept, and the key is free."""
        if answer.status >= 500 or answer.status == 429:
            self._store.release(holder, key)
        else:
            self._store.keep(holder, key, answer)
