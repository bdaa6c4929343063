"""`lamella worker` and `lamella beat`: the processes behind the web."""

from importlib import import_module
from pathlib import Path

import click

from lamella.cli.options import data_dir, example, settings_of


@click.command()
@click.option(
    "--queue",
    "queues",
    multiple=True,
    type=click.Choice(["default", "train"]),
    help="Queue to work on; may be repeated.  [default: both]",
)
@click.option("--name", default="worker", show_default=True, help="Name of this worker on its host.")
@click.option("--processes", type=int, help="Child processes.  [default: $LAMELLA_WORKER_PROCESSES or 2]")
@data_dir
@example(
    "lamella worker --queue default --processes 4",
    "lamella worker --queue train --name trainer --processes 1",
)
def worker(queues: tuple[str, ...], name: str, processes: int | None, data_dir: Path | None) -> None:
    """Work on tasks: ingest, analyse, decide, train.

    What a killed worker held goes to another within seconds. A worker of its own for training keeps the record
    from waiting for models.
    """
    from lamella.bootstrap.connections import check_broker, check_store

    settings = settings_of(worker_processes=processes, data_dir=data_dir)
    check_store(settings)
    check_broker(settings)
    # The workers stand above the command line, which knows their program by name only.
    import_module("lamella_workers.run").worker(settings, name=name, queues=queues or ("default", "train"))


@click.command()
@data_dir
@example("LAMELLA_INGEST_SECONDS=1 LAMELLA_ANALYSE_SECONDS=60 lamella beat")
def beat(data_dir: Path | None) -> None:
    """Hand out the scheduled tasks; run exactly one."""
    from lamella.bootstrap.connections import check_broker

    settings = settings_of(data_dir=data_dir)
    check_broker(settings)
    import_module("lamella_workers.run").beat(settings)
