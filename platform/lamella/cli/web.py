"""`lamella web`: the web process."""

import os

import click

from lamella.cli.options import data_dir, example, listening, settings_of


@click.command()
@listening
@click.option("--processes", type=int, help="Worker processes.  [default: $LAMELLA_WEB_PROCESSES or 1]")
@data_dir
@example(
    "LAMELLA_DATABASE_URL=postgresql://lamella@db/lamella LAMELLA_REDIS_URL=redis://redis/0 \\",
    "  lamella web --host 0.0.0.0 --port 8000 --processes 4",
)
def web(host: str | None, port: int | None, processes: int | None, data_dir: str | None) -> None:
    """Serve assignments, recommendations, events, the admin API and the pages.

    The store has to be migrated (`lamella db upgrade`). Without the broker it serves and records all the same; what it
    recorded is analysed once the broker and a worker are there.
    """
    from lamella.bootstrap.connections import broker_url, check_store
    from lamella.cli.serving import serve
    from lamella.supervisor.programs import check_port

    settings = settings_of(host=host, port=port, web_processes=processes, data_dir=data_dir)
    check_port(settings)
    check_store(settings)
    # Fail-open: the broker has to be named, and is met lazily. One that does not answer keeps nothing waiting; the log
    # and /readyz name it.
    broker_url(settings)
    os.environ.update(settings.to_environment())
    serve(settings)
