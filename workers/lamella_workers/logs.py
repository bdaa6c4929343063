"""Logs of workers and beat, in the form that the settings ask for."""

from typing import Any

from celery import signals

from lamella.adapters.logs import configure
from lamella.config import Settings


def connect(settings: Settings) -> None:
    """Take logging over from Celery: its records and ours come out in one form on standard error."""

    def set_up(**_: Any) -> None:
        configure(settings)

    signals.setup_logging.connect(set_up, weak=False, dispatch_uid="lamella.logs")
