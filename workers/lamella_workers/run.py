"""The two programs of this package: the worker and beat."""

import socket
import sys
from collections.abc import Sequence

from lamella.adapters.niceness import be_nice
from lamella.adapters.redis.queue import DEFAULT_QUEUE
from lamella.config import Settings
from lamella_workers.app import create_app, create_worker_app
from lamella_workers.schedule import LivingScheduler


def worker(settings: Settings, *, name: str, queues: Sequence[str]) -> None:
    """Work on the queues until SIGTERM (running tasks end first) or SIGQUIT; exits the process."""
    be_nice(settings.worker_nice)
    app = create_worker_app(settings, queues)
    if DEFAULT_QUEUE not in queues:
        # TensorFlow keeps its memory until its process ends.
        app.conf.worker_max_tasks_per_child = 1
    program = app.Worker(
        hostname=f"{name}@{socket.gethostname()}",
        queues=list(queues),
        concurrency=settings.worker_processes,
        loglevel=settings.log_level.upper(),
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    program.start()
    sys.exit(program.exitcode)


def beat(settings: Settings) -> None:
    """Hand out the scheduled tasks until SIGTERM or SIGINT."""
    app = create_app(settings)
    app.Beat(scheduler=LivingScheduler, loglevel=settings.log_level.upper(), quiet=True).run()
