"""A worker's hold on the messages that it has taken, renewed for as long as it lives."""

import time
from typing import Any

from celery import bootsteps

from lamella.adapters.redis.liveness import RENEW_SECONDS, stamp


class Lease(bootsteps.StartStopStep):  # type: ignore[misc]  # celery publishes no types
    """Renews, every two seconds, the time stamps by which the broker tells abandoned messages.

    It runs in the worker's main loop, not in its children: it goes on through any long task and ends with the
    worker. It also keeps the key that says that this worker is alive.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._timer: Any = None

    def start(self, parent: Any) -> None:
        """Renew now and from now on."""
        self._timer = parent.timer.call_repeatedly(RENEW_SECONDS, renew, (parent,))
        renew(parent)

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Renew no more; the messages go back by themselves."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def renew(consumer: Any) -> None:
    """Stamp the messages that this worker holds with the present time; a broker that is away is met elsewhere."""
    channel = consumer.task_consumer.channel
    held = list(channel.qos._delivered)  # noqa: SLF001 - kombu has no public view of it
    now = time.time()
    try:
        with channel.conn_or_acquire() as client:
            stamp(client, consumer.hostname.partition("@")[0])
            if held:
                # xx: what was acknowledged meanwhile stays gone.
                client.zadd(channel.unacked_index_key, dict.fromkeys(held, now), xx=True)
    except consumer.connection_errors:
        return
