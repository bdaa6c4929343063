"""`lamella health`: a health check for containers."""

from pathlib import Path

import click

from lamella.cli.options import data_dir, example, settings_of
from lamella.errors import Unavailable


@click.command()
@click.argument("name", default="worker")
@data_dir
@example("lamella health beat")
def health(name: str, data_dir: Path | None) -> None:
    """Exit with 0 where the process NAME of this host (web, worker, trainer, beat) is alive, else with 1."""
    from lamella.adapters.redis.liveness import is_alive
    from lamella.bootstrap.connections import broker_url
    from lamella.supervisor.programs import web_is_ready

    settings = settings_of(data_dir=data_dir)
    alive = web_is_ready(settings) if name == "web" else is_alive(broker_url(settings), name)
    if not alive:
        raise Unavailable(f"{name} is not alive on this host; see its log")
    click.echo(f"{name} is alive")
