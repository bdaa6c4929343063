"""Tells the webhooks what happened."""

from typing import Final

import structlog

from lamella.bootstrap.worker import WorkerServices

_AT_ONCE: Final = 20
_MOST: Final = 500


def empty_outbox(services: WorkerServices) -> None:
    """Try every delivery that is due, a few hundred at most; nothing where another worker is at it.

    What fails is due again later, so no webhook that does not answer holds up the others for long.
    """
    with services.turns.take("deliver_webhooks") as is_mine:
        tried = 0
        while is_mine and tried < _MOST:
            count = services.delivering.deliver(limit=_AT_ONCE)
            tried += count
            if count < _AT_ONCE:
                break
        if tried:
            structlog.get_logger("lamella.deliver").info("delivered", tried=tried)
