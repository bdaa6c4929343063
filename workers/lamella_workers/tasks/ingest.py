"""Moves what the web processes accepted into the facts."""

from typing import Final

import structlog

from lamella.bootstrap.worker import WorkerServices

_BATCHES: Final = 20_000
"""A group is bounded by its bytes long before; small batches cost less together."""


def drain(services: WorkerServices) -> None:
    """Ingest until the inbox is empty; nothing where another worker is at it.

    Two at once would be safe (the store's transaction lets a batch in once), and no faster.
    """
    with services.turns.take("ingest") as is_mine:
        while is_mine and _ingest(services):
            pass


def _ingest(services: WorkerServices) -> bool:
    """Whether there was anything to ingest."""
    receipt = services.record.ingest(limit=_BATCHES, now=services.clock.now())
    log = structlog.get_logger("lamella.ingest").bind(batches=receipt.batches, stored=dict(receipt.stored))
    if receipt.quarantined:
        log.warning("records quarantined", quarantined=dict(receipt.quarantined))
    elif receipt.batches:
        log.debug("ingested", duplicate=dict(receipt.duplicate))
    return receipt.batches > 0
