"""The web process under granian."""

import os
import tempfile
from typing import Any, Final

from lamella.config import Settings

METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
_KILL_AFTER_SECONDS: Final = 4


def create() -> Any:
    """The WSGI application of a granian worker, which ends with the process that started it."""
    from lamella.adapters.lifeline import die_with_parent
    from lamella.web.wsgi import create as create_application

    die_with_parent()
    return create_application()


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; requests that are under way are answered first.

    The workers read LAMELLA_* from the environment of this process. Several workers keep their metrics in a common
    folder, so that whichever answers /metrics tells those of all.
    """
    # Each request scores in its own thread; more threads inside a product of matrices would only wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if settings.web_processes == 1 or METRICS_FOLDER in os.environ:
        _serve(settings)
        return
    with tempfile.TemporaryDirectory(prefix="lamella-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[METRICS_FOLDER] = folder
        _serve(settings)


def _serve(settings: Settings) -> None:
    from granian import Granian
    from granian.constants import Interfaces
    from granian.log import LogLevels

    Granian(
        f"{__name__}:create",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.web_processes,
        blocking_threads=settings.web_threads,
        websockets=False,
        log_level=LogLevels(settings.log_level),
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=_KILL_AFTER_SECONDS,
    ).serve()
