"""`lamella up`: everything on this machine as one."""

import signal
import threading
from pathlib import Path
from types import FrameType

import click

from lamella.cli.options import data_dir, example, listening, settings_of


@click.command()
@listening
@data_dir
@example("lamella up --port 8080 --data-dir ./newsroom", "lamella keys create --role admin --data-dir ./newsroom")
def up(host: str | None, port: int | None, data_dir: Path | None) -> None:
    """Start the broker, web process, workers and schedule; watch them; stop them all with Ctrl-C.

    The store is SQLite in the data folder and the broker a private Valkey, unless LAMELLA_DATABASE_URL and
    LAMELLA_REDIS_URL name others. Children that die are started again. Logs are in DATA_DIR/logs.
    """
    from lamella.supervisor import Supervisor

    wanted = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        wanted.set()

    supervisor = Supervisor(settings_of(host=host, port=port, data_dir=data_dir), report=click.echo)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    supervisor.start()
    try:
        supervisor.wait_ready(give_up=wanted.is_set)
        if not wanted.is_set():
            click.echo(f"ready at {supervisor.url}")
        while not wanted.wait(0.2) and not supervisor.join(0):
            pass
        click.echo("stopping")
    finally:
        supervisor.stop()
    click.echo("stopped")
