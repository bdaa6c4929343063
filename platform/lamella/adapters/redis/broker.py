"""Where the broker is, whether it answers, and how Celery calls it."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from lamella.errors import BrokerUnavailable

ADDRESS_FILE: Final = "broker.url"
_CONNECT_SECONDS: Final = 2.0


def masked(url: str) -> str:
    """`url` with its password replaced by ***."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{host}"))


def celery_url(url: str) -> str:
    """The URL in Celery's terms: a unix socket is `redis+socket://`."""
    return "redis+socket" + url.removeprefix("unix") if url.startswith("unix://") else url


def address(data_dir: Path) -> str | None:
    """The URL of the private broker that `lamella up` runs over `data_dir`; None where none was ever started."""
    try:
        return (data_dir / ADDRESS_FILE).read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def remember(data_dir: Path, url: str) -> None:
    """Write the URL down for `address`, readable by its owner only."""
    path = data_dir / ADDRESS_FILE
    path.touch(mode=0o600)
    path.write_text(url + "\n", encoding="utf-8")


def unreachable(url: str, reason: object) -> BrokerUnavailable:
    """The error for a broker that does not answer, with the next step and without the password."""
    return BrokerUnavailable(
        f"the broker at {masked(url)} does not answer ({reason}); start it, or correct LAMELLA_REDIS_URL"
    )


def ping(url: str) -> None:
    """Returns once the broker answered. Raises BrokerUnavailable."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
    from redis.retry import Retry

    client = Redis.from_url(
        url,
        socket_connect_timeout=_CONNECT_SECONDS,
        socket_timeout=_CONNECT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        client.ping()
    except (RedisError, OSError, ValueError) as error:
        raise unreachable(url, error) from None
    finally:
        client.close()
