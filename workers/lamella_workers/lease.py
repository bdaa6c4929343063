"""A worker's hold on the messages that it has taken, renewed for as long as it lives."""

import time
from collections.abc import Callable
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
        let_go_of_lost(parent)
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
    held = channel.qos._delivered.keys() - channel.qos._dirty  # noqa: SLF001 - kombu has no public view of them
    now = time.time()
    try:
        with channel.conn_or_acquire() as client:
            stamp(client, consumer.hostname.partition("@")[0])
            if held:
                # xx: what was acknowledged meanwhile stays gone.
                client.zadd(channel.unacked_index_key, dict.fromkeys(held, now), xx=True)
    except consumer.connection_errors:
        return


def let_go_of_lost(consumer: Any) -> None:
    """Make a message whose acknowledgement fails, because the broker is away, count as held no more.

    Kombu logs such a failure and goes on counting the message: with one message for each child it would never ask
    for another again, nor notice that its connection is dead. The broker still has the message, and gives it to
    somebody when its hold has ended; its task then finds its work done.
    """
    qos = consumer.task_consumer.channel.qos

    def freeing(method: Callable[..., None]) -> Callable[..., None]:
        def call(delivery_tag: str, *arguments: Any, **options: Any) -> None:
            try:
                method(delivery_tag, *arguments, **options)
            except consumer.connection_errors:
                qos._quick_ack(delivery_tag)  # noqa: SLF001 - only counts it as done
                raise

        return call

    qos.ack, qos.reject = freeing(qos.ack), freeing(qos.reject)
