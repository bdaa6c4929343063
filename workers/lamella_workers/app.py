"""The Celery application: how tasks are kept, routed and given back, and what runs on the schedule.

A message stays with the broker until its task has ended, and the worker renews its hold on it (`lease`): so the
visibility time-out can be some seconds, however long a task may run, and what a killed worker held is back in
those seconds.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Any, Final

from celery import Celery

from lamella.adapters.redis.broker import celery_url
from lamella.adapters.redis.queue import ANALYSE, DEFAULT_QUEUE, INGEST, TRAIN, TRAIN_QUEUE
from lamella.bootstrap.connections import broker_url
from lamella.config import Settings
from lamella.errors import Unavailable
from lamella_workers import lease, logs

ADVANCE: Final = "lamella.advance"
ANALYSE_ALL: Final = "lamella.analyse_all"
HOUSEKEEPING: Final = "lamella.housekeeping"
DELIVER: Final = "lamella.deliver_webhooks"

VISIBILITY_SECONDS: Final = 10
_TASK_SECONDS: Final = 600
_LONG: Final = {"time_limit": 6 * 3600, "soft_time_limit": 6 * 3600 - 60}
_RETRIED: Final = {"autoretry_for": (Unavailable,), "retry_backoff": 1, "retry_backoff_max": 60, "max_retries": None}
_HOUSEKEEPING_SECONDS: Final = 3600.0
_LONGEST_ADVANCE_SECONDS: Final = 60.0
_LEAST_LIFE_SECONDS: Final = 10.0


def create_app(settings: Settings) -> Celery:
    """The application without its tasks, which is what beat needs; connects to nothing.

    Raises BrokerUnavailable where neither a Redis URL is set nor `lamella up` ever ran over the data folder.
    """
    app = Celery("lamella", broker=celery_url(broker_url(settings)), set_as_current=False)
    app.conf.update(_configuration(settings))
    logs.connect(settings)
    return app


def create_worker_app(settings: Settings, queues: Collection[str]) -> Celery:
    """The application with the tasks of these queues; raises what `create_app` raises.

    What the tasks need is imported here, before the pool forks, so that its children share the memory. TensorFlow is
    not: it does not survive a fork, and each training imports it.
    """
    from lamella_workers.process import Work, tie_children

    app = create_app(settings)
    work = Work(settings)
    if DEFAULT_QUEUE in queues:
        from lamella_workers.tasks import advance, analyse, deliver, ingest, upkeep

        app.task(name=INGEST)(work.task(ingest.drain))
        app.task(name=ANALYSE_ALL)(work.task(analyse.every))
        app.task(name=ADVANCE)(work.task(advance.advance))
        app.task(name=HOUSEKEEPING, **_LONG)(work.task(upkeep.keep_house))
        app.task(name=DELIVER)(work.task(deliver.empty_outbox))
        app.task(name=ANALYSE, **_RETRIED)(work.task(analyse.one, is_retried=True))
    if TRAIN_QUEUE in queues:
        from lamella_workers.tasks import train

        app.task(name=TRAIN, **_RETRIED, **_LONG)(work.task(train.carry_out, is_retried=True))
    app.steps["consumer"].add(lease.Lease)
    tie_children()
    return app


def _configuration(settings: Settings) -> dict[str, Any]:
    return {
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_time_limit": _TASK_SECONDS,
        "task_soft_time_limit": _TASK_SECONDS - 30,
        "task_default_queue": DEFAULT_QUEUE,
        "task_routes": {TRAIN: {"queue": TRAIN_QUEUE}},
        "worker_prefetch_multiplier": 1,
        "worker_concurrency": settings.worker_processes,
        "worker_pool": "prefork",
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # Nobody listens to these two, and both cost a round trip for each task.
        "worker_send_task_events": False,
        "worker_enable_remote_control": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_SECONDS,
            "unacked_restore_interval": 2,
            "unacked_restore_throttle": 1,
            # A worker killed inside the sweep would otherwise stop everybody's for five minutes.
            "unacked_mutex_expire": VISIBILITY_SECONDS,
            "socket_keepalive": True,
        },
        "beat_schedule": _schedule(settings),
        "beat_max_loop_interval": 1.0,
        "timezone": "UTC",
    }


def _schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    wanted = {
        INGEST: settings.ingest_seconds,
        ANALYSE_ALL: settings.analyse_seconds,
        ADVANCE: min(settings.analyse_seconds, _LONGEST_ADVANCE_SECONDS),
        HOUSEKEEPING: _HOUSEKEEPING_SECONDS,
        DELIVER: settings.webhook_seconds,
    }
    return {
        task: {
            "task": task,
            "schedule": timedelta(seconds=seconds),
            # What no worker took in time is not worth doing: the next one does it.
            "options": {"expires": max(2 * seconds, _LEAST_LIFE_SECONDS)},
        }
        for task, seconds in wanted.items()
    }
