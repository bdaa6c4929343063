"""Beat's scheduler: the schedule in memory, and the key that says that beat is alive."""

import time
from typing import Any

from celery.beat import Scheduler
from redis import Redis
from redis.exceptions import RedisError

from lamella.adapters.redis.liveness import RENEW_SECONDS, stamp


class LivingScheduler(Scheduler):  # type: ignore[misc]  # celery publishes no types
    """Keeps nothing on disk: every task of the schedule may run once more after a restart."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        url = self.app.conf.broker_url.replace("redis+socket://", "unix://")
        self._client = Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
        self._stamp_at = 0.0

    def tick(self, *arguments: Any, **options: Any) -> float:
        """The seconds until the next task is due; hands out those that are."""
        if time.monotonic() >= self._stamp_at:
            self._stamp_at = time.monotonic() + RENEW_SECONDS
            try:
                stamp(self._client, "beat")
            except (RedisError, OSError):
                # Sending the next task meets, reports and outlasts this.
                self._client.close()
        wait: float = super().tick(*arguments, **options)
        return wait
