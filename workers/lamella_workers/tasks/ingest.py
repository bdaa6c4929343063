"""Moves what the web processes accepted into the facts."""

from typing import Final

import structlog

from lamella.bootstrap.worker import WorkerServices
from lamella.errors import StoreUnavailable

_BATCHES: Final = 20_000
"""A group is bounded by its bytes long before; small batches cost less together."""


def drain(services: WorkerServices) -> None:
    """Ingest what is in the inbox now; nothing where another worker is at it.

    Two at once would be safe (the store's transaction lets a batch in once), and no faster. What comes meanwhile waits
    for the next run: a transaction costs as much for a few batches as for hundreds.
    """
    with services.turns.take("ingest") as is_mine:
        if is_mine:
            _inherit(services)
        while is_mine and _ingest(services):
            pass


def _inherit(services: WorkerServices) -> None:
    """What web processes of this machine left when they were killed; a file that is out of reach stops no ingest."""
    try:
        services.left.refresh()
    except StoreUnavailable as error:
        structlog.get_logger("lamella.ingest").warning("left where it is", error=str(error))


def _ingest(services: WorkerServices) -> bool:
    """Whether there is more to ingest."""
    receipt = services.record.ingest(limit=_BATCHES, now=services.clock.now())
    log = structlog.get_logger("lamella.ingest").bind(batches=receipt.batches, stored=dict(receipt.stored))
    if receipt.quarantined:
        log.warning("records quarantined", quarantined=dict(receipt.quarantined))
    elif receipt.batches:
        log.debug("ingested", duplicate=dict(receipt.duplicate))
    return receipt.is_more
