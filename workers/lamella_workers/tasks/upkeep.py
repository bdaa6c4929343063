"""What the store needs done now and then."""

from lamella.bootstrap.worker import WorkerServices


def keep_house(services: WorkerServices) -> None:
    """Make the partitions of this month and the next, before a row needs them; forget old deliveries of webhooks."""
    services.prepare_months()
    services.delivering.forget()
