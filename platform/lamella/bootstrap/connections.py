"""What a process needs from outside, and whether it is there: the broker and the store."""

from lamella.adapters.redis import broker
from lamella.adapters.redis.queue import CeleryQueue
from lamella.config import Settings
from lamella.errors import BrokerUnavailable
from lamella.services.model_ports import TaskQueue


def broker_url(settings: Settings) -> str:
    """The broker's URL: the one that is set, else that of the `lamella up` over the data folder.

    Raises BrokerUnavailable where there is neither.
    """
    url = settings.redis_url or broker.address(settings.data_dir)
    if url is None:
        raise BrokerUnavailable(
            f"no broker: LAMELLA_REDIS_URL is not set and no `lamella up` ran over {settings.data_dir}; "
            "set it, or start `lamella up`"
        )
    return url


def task_queue(settings: Settings) -> TaskQueue:
    """The way to the workers; connects at the first task."""
    return CeleryQueue(broker_url(settings))


def check_broker(settings: Settings) -> None:
    """Returns where the broker answers. Raises BrokerUnavailable."""
    broker.ping(broker_url(settings))


def check_store(settings: Settings) -> None:
    """Returns where the store answers and has this version's schema. Raises StoreUnavailable or StoreNotMigrated."""
    from lamella.adapters.sql.engine import create_engine, require_migrated

    engine = create_engine(settings.sql_url)
    try:
        require_migrated(engine)
    finally:
        engine.dispose()


def migrate(settings: Settings) -> None:
    """Bring the store to this version's schema; safe to run twice at once. Raises StoreUnavailable."""
    from lamella.adapters.sql import migrations

    migrations.upgrade(settings.sql_url)
