"""The port TaskQueue over Celery: tasks by name, so that no worker code is imported."""

from functools import cached_property
from typing import Any, Final

from lamella.adapters.redis.broker import celery_url, unreachable

TRAIN: Final = "lamella.train"
INGEST: Final = "lamella.ingest"
ANALYSE: Final = "lamella.analyse"

DEFAULT_QUEUE: Final = "default"
TRAIN_QUEUE: Final = "train"

_RETRY: Final = {"max_retries": 1, "interval_start": 0.1, "interval_max": 0.1}


class CeleryQueue:
    """Sends tasks to the broker at `url`; Celery is imported and connected at the first task."""

    def __init__(self, url: str) -> None:
        self._url = url

    def train(self, run_id: str) -> None:
        """Ask a worker to carry out a queued TrainingRun. Raises BrokerUnavailable."""
        self._send(TRAIN, run_id, queue=TRAIN_QUEUE)

    def ingest(self) -> None:
        """Ask a worker to drain the inbox now. Raises BrokerUnavailable."""
        self._send(INGEST)

    def analyse(self, experiment: str) -> None:
        """Ask a worker for a fresh report now. Raises BrokerUnavailable."""
        self._send(ANALYSE, experiment)

    @cached_property
    def _app(self) -> Any:
        from celery import Celery

        app = Celery("lamella", broker=celery_url(self._url), set_as_current=False)
        app.conf.update(
            task_serializer="json",
            task_ignore_result=True,
            task_default_queue=DEFAULT_QUEUE,
            broker_transport_options={"socket_connect_timeout": 2, "socket_timeout": 5},
        )
        return app

    def _send(self, task: str, *arguments: str, queue: str = DEFAULT_QUEUE) -> None:
        from celery.exceptions import OperationalError

        try:
            self._app.send_task(task, args=arguments, queue=queue, retry=True, retry_policy=_RETRY)
        except (OperationalError, OSError) as error:
            raise unreachable(self._url, error) from None
