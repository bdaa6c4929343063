"""Who is alive: a key that each worker and beat renews, and that ends by itself."""

import socket
import time
from typing import Any, Final

RENEW_SECONDS: Final = 2.0
ALIVE_SECONDS: Final = 15


def alive_key(name: str) -> str:
    """The broker's key that exists while the process `name` of this host is alive."""
    return f"lamella:alive:{name}@{socket.gethostname()}"


def stamp(client: Any, name: str) -> None:
    """Say that the process `name` is alive, for the next 15 seconds."""
    client.set(alive_key(name), int(time.time()), ex=ALIVE_SECONDS)


def is_alive(url: str, name: str) -> bool:
    """Whether `name` has renewed its key in the last 15 seconds; False where the broker does not answer."""
    from redis import Redis
    from redis.exceptions import RedisError

    client = Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1)
    try:
        return bool(client.exists(alive_key(name)))
    except (RedisError, OSError):
        return False
    finally:
        client.close()


def forget(url: str, *names: str) -> None:
    """Remove the keys of processes that are known to have ended. Raises what the client raises."""
    from redis import Redis

    client = Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1)
    try:
        client.delete(*map(alive_key, names))
    finally:
        client.close()
