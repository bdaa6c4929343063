"""The channel on which a new configuration is announced, so that every web process takes it over at once.

Nothing depends on it: who misses an announcement finds the new version when it polls.
"""

import threading
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Final

import structlog

from lamella.adapters.redis.broker import masked, unreachable

if TYPE_CHECKING:
    from redis import Redis

NAME: Final = "lamella:configuration"
_PATIENCE_SECONDS: Final = 0.5
_QUIET_SECONDS: Final = 5.0
_WAIT_SECONDS: Final = 1.0


class Channel:
    """Announcements over the Redis at `url`; connects at the first one, or when somebody listens."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._quiet_until = 0.0

    def announce(self, version: int) -> None:
        """Nothing; tells who listens of the version.

        Fail-open: where Redis does not answer within half a second that is logged, and not tried again for five.
        """
        from redis.exceptions import RedisError

        if time.monotonic() < self._quiet_until:
            return
        try:
            self._client.publish(NAME, version)
        except (RedisError, OSError, ValueError) as error:
            self._quiet_until = time.monotonic() + _QUIET_SECONDS
            log = structlog.get_logger("lamella.channel")
            log.warning("not_announced", version=version, broker=masked(self._url), reason=str(error))

    def listen(self, heard: Callable[[], None], stop: threading.Event) -> None:
        """Returns once `stop` is set; calls `heard` when it begins to listen and at each announcement from then on.

        Raises BrokerUnavailable where Redis does not answer, or no longer does.
        """
        from redis.exceptions import RedisError

        try:
            with self._connect(_WAIT_SECONDS * 5) as client, client.pubsub() as subscription:
                subscription.subscribe(NAME)
                while not stop.is_set():
                    # The confirmation of the subscription comes first: what was missed meanwhile is caught up with.
                    if subscription.get_message(timeout=_WAIT_SECONDS) is not None:
                        heard()
        except (RedisError, OSError, ValueError) as error:
            raise unreachable(self._url, error) from None

    @cached_property
    def _client(self) -> "Redis":
        return self._connect(_PATIENCE_SECONDS)

    def _connect(self, seconds: float) -> "Redis":
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        # A socket file, as the embedded broker has one, knows no keepalive.
        over_network = {} if self._url.startswith("unix:") else {"socket_keepalive": True}
        return Redis.from_url(
            self._url,
            **over_network,
            socket_connect_timeout=_PATIENCE_SECONDS,
            socket_timeout=seconds,
            health_check_interval=10,
            retry=Retry(NoBackoff(), 0),
        )
