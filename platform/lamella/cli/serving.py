"""The web process: its application, and the parent that forks workers to serve it."""

import gc
import multiprocessing
import os
import tempfile
from typing import Any, Final

from lamella.config import Settings

METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
_COLLECTOR: Final = (20_000, 20, 100)
"""New objects before a search for cycles among them, and searches before one that goes further; else 700, 10, 10."""


def create() -> Any:
    """The ASGI application of a worker."""
    gc.disable()
    from lamella.web.asgi import create as create_application

    application = create_application()
    # What is here now stays: set apart, no later search walks over it while requests wait.
    gc.freeze()
    gc.set_threshold(*_COLLECTOR)
    gc.enable()
    return application


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; requests that are under way are answered first.

    The workers read LAMELLA_* from the environment of this process. Several workers keep their metrics in a common
    folder, so that whichever answers /metrics tells those of all. No search for cycles slows the start: it makes much
    and drops little.
    """
    # A list is made in one thread; more threads inside a product of matrices would only wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.disable()
    try:
        if settings.web_processes == 1 or METRICS_FOLDER in os.environ:
            _serve(settings)
            return
        with tempfile.TemporaryDirectory(prefix="lamella-metrics-", ignore_cleanup_errors=True) as folder:
            os.environ[METRICS_FOLDER] = folder
            _serve(settings)
    finally:
        gc.enable()


def _serve(settings: Settings) -> None:
    from lamella.adapters import logs
    from lamella.cli.processes import Server

    logs.configure(settings)
    if multiprocessing.get_start_method() == "fork":
        # Imported once here, the code is in every worker that is forked, and in memory that they share.
        import lamella.web.asgi  # noqa: F401 - for its modules

        gc.freeze()
    Server(settings, create).run()
